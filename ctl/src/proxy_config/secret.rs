//! `proxy-config secret`: certificates and trust bundles a proxy holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate, parse_x509_pem};

use super::{json, resources, text};
use crate::table::Columns;

/// The secrets of a dump.
pub fn select(dump: &Value) -> Vec<&Value> {
    let lists = [("dynamic_active_secrets", "/secret"), ("static_secrets", "/secret")];
    let mut secrets = resources(dump, "SecretsConfigDump", &lists);
    secrets.sort_by_key(|secret| text(secret, "/name"));
    secrets
}

/// The whole section of the dump, in istioctl's spelling.
pub fn section(dump: &Value) -> Value {
    let sections = dump.get("configs").and_then(Value::as_array).into_iter().flatten();
    let mut secrets = sections.filter(|section| text(section, "/@type").ends_with("SecretsConfigDump"));
    secrets.next().map_or_else(|| serde_json::json!({}), |section| json::istioctl(section, ""))
}

/// The table; `now` is in seconds since 1970 and decides VALID CERT.
pub fn table(secrets: &[&Value], now: i64) -> Columns {
    let headings =
        ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"];
    let mut columns = Columns::new(&headings);
    for secret in secrets {
        let chain = text(secret, "/tls_certificate/certificate_chain/inline_bytes");
        let bundle = text(secret, "/validation_context/trusted_ca/inline_bytes");
        let (kind, encoded) = if chain.is_empty() { ("CA", bundle) } else { ("Cert Chain", chain) };
        let name = text(secret, "/name");
        match describe(encoded, now) {
            Some([valid, serial, after, before]) => {
                columns.row(&[name, kind, "ACTIVE", &valid, &serial, &after, &before]);
            }
            None => columns.row(&[name, kind, "WARMING", "false", "", "", ""]),
        }
    }
    columns
}

/// Valid, serial number, not after and not before of the first certificate.
fn describe(encoded: &str, now: i64) -> Option<[String; 4]> {
    let pem = STANDARD.decode(encoded).ok()?;
    let (_, block) = parse_x509_pem(&pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    let (before, after) = (certificate.validity().not_before, certificate.validity().not_after);
    let valid = before.timestamp() <= now && now < after.timestamp();
    let instant =
        |time: i64| jiff::Timestamp::from_second(time).map(|time| time.to_string()).unwrap_or_default();
    let serial = certificate.raw_serial_as_string().replace(':', "");
    Some([valid.to_string(), serial, instant(after.timestamp()), instant(before.timestamp())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What people write behind `istioctl proxy-config secret -o json | jq`.
    #[test]
    fn the_certificate_is_where_istioctl_has_it() {
        let dump = json!({ "configs": [{
            "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
            "dynamic_active_secrets": [{
                "name": "default", "last_updated": "2026-01-01T00:00:00.000Z",
                "secret": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                    "name": "default",
                    "tls_certificate": { "certificate_chain": { "inline_bytes": "QUJD" } },
                },
            }],
        }] });
        let path = "/dynamicActiveSecrets/0/secret/tlsCertificate/certificateChain/inlineBytes";
        assert_eq!(section(&dump).pointer(path), Some(&json!("QUJD")));
    }
}
