//! `/certs`: certificates and roots, with when they end.

use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Shared, rfc3339};

pub(super) async fn certs(State(admin): Shared) -> Response {
    let now = SystemTime::now();
    let chains = admin.secrets.certificates().into_iter().map(|(name, cert)| {
        json!({
            "cert_chain": [{
                "path": name,
                "serial_number": cert.serial().replace(':', ""),
                "subject_alt_names": cert.id().map(|id| vec![json!({ "uri": id.as_str() })]).unwrap_or_default(),
                "days_until_expiration": days_until(cert.not_after(), now),
                "valid_from": rfc3339(cert.not_before()),
                "expiration_time": rfc3339(cert.not_after()),
            }],
        })
    });
    let roots = admin
        .secrets
        .all_roots()
        .into_iter()
        .map(|(name, roots)| json!({ "ca_cert": [{ "path": name, "number": roots.roots().len() }] }));
    let all: Vec<Value> = chains.chain(roots).collect();
    let health = admin.identity.report();
    super::json(&json!({
        "certificates": all,
        "renewal": {
            "obtained": health.obtained,
            "failures": health.failures,
            "last_error": health.last_error,
            "next": health.renewal_at.map(rfc3339),
        },
    }))
}

fn days_until(end: SystemTime, now: SystemTime) -> String {
    end.duration_since(now).map_or(0, |left| left.as_secs() / 86_400).to_string()
}
