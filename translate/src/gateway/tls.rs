//! TLS of a gateway's servers.

use crds::networking::{ServerTlsMode, ServerTlsSettings, TlsProtocol};
use xds::names;

use super::Serving;
use crate::cluster::tls::{
    TLS_SOCKET, combined, kubernetes_secret, parameters, with_revoked, workload_secret,
};
use crate::proto::{any, boolean, core, tls};
use tls::common_tls_context::ValidationContextType;
use tls::tls_parameters::TlsProtocol as Version;

/// Termination of TLS for a server; none if it does not terminate any.
pub(super) fn socket(serving: &Serving<'_>) -> Option<core::TransportSocket> {
    if !serving.terminates() {
        return None;
    }
    let settings = serving.server.tls.as_ref()?;
    let mode = serving.tls_mode()?;
    let alpn: &[&str] = if serving.is_http() { &["h2", "http/1.1"] } else { &[] };
    let terminated = tls::DownstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(versions(settings)),
            tls_certificate_sds_secret_configs: certificates(settings, mode),
            validation_context_type: validation(settings, mode),
            alpn_protocols: alpn.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }),
        require_client_certificate: boolean(matches!(
            mode,
            ServerTlsMode::Mutual | ServerTlsMode::IstioMutual
        )),
        ..Default::default()
    };
    Some(core::TransportSocket {
        name: TLS_SOCKET.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(any(&terminated))),
    })
}

fn certificates(settings: &ServerTlsSettings, mode: ServerTlsMode) -> Vec<tls::SdsSecretConfig> {
    if mode == ServerTlsMode::IstioMutual {
        return vec![workload_secret(names::SECRET_WORKLOAD)];
    }
    let named = credential_names(settings);
    if !named.is_empty() {
        return named.iter().map(|name| kubernetes_secret(name)).collect();
    }
    let file = |certificate: &Option<String>, key: &Option<String>| {
        Some(workload_secret(&format!("file-cert:{}~{}", certificate.as_ref()?, key.as_ref()?)))
    };
    if settings.tls_certificates.is_empty() {
        return file(&settings.server_certificate, &settings.private_key).into_iter().collect();
    }
    let listed = settings.tls_certificates.iter();
    listed.filter_map(|pair| file(&pair.server_certificate, &pair.private_key)).collect()
}

/// Secrets that a server's certificates come from.
pub(super) fn credential_names(settings: &ServerTlsSettings) -> Vec<&str> {
    let single = settings.credential_name.as_deref();
    single
        .into_iter()
        .chain(settings.credential_names.iter().map(String::as_str))
        .filter(|n| !n.is_empty())
        .collect()
}

/// Secret that the roots of client certificates come from.
pub(super) fn ca_credential(settings: &ServerTlsSettings) -> Option<String> {
    let given = settings.ca_cert_credential_name.clone().filter(|name| !name.is_empty());
    given.or_else(|| {
        credential_names(settings).first().map(|name| format!("{name}{}", names::SECRET_CA_SUFFIX))
    })
}

fn validation(settings: &ServerTlsSettings, mode: ServerTlsMode) -> Option<ValidationContextType> {
    let names = &settings.subject_alt_names;
    match mode {
        ServerTlsMode::IstioMutual => Some(combined(names, workload_secret(names::SECRET_ROOT))),
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            let roots = match ca_credential(settings) {
                Some(name) => kubernetes_secret(&name),
                None => workload_secret(&format!(
                    "file-root:{}",
                    settings.ca_certificates.as_deref().filter(|path| !path.is_empty())?
                )),
            };
            let mut validation = combined(names, roots);
            if let ValidationContextType::CombinedValidationContext(both) = &mut validation
                && let Some(context) = &mut both.default_validation_context
            {
                context.verify_certificate_spki.clone_from(&settings.verify_certificate_spki);
                context.verify_certificate_hash.clone_from(&settings.verify_certificate_hash);
            }
            Some(with_revoked(validation, settings.ca_crl.as_deref()))
        }
        _ => None,
    }
}

fn versions(settings: &ServerTlsSettings) -> tls::TlsParameters {
    let version = |written: Option<TlsProtocol>| match written {
        Some(TlsProtocol::TlsV1_0) => Some(Version::TlSv10),
        Some(TlsProtocol::TlsV1_1) => Some(Version::TlSv11),
        Some(TlsProtocol::TlsV1_2) => Some(Version::TlSv12),
        Some(TlsProtocol::TlsV1_3) => Some(Version::TlSv13),
        Some(TlsProtocol::TlsAuto | TlsProtocol::Unrecognized) | None => None,
    };
    let mut out = parameters();
    if let Some(minimum) = version(settings.min_protocol_version) {
        out.tls_minimum_protocol_version = minimum.into();
    }
    if let Some(maximum) = version(settings.max_protocol_version) {
        out.tls_maximum_protocol_version = maximum.into();
    }
    out.cipher_suites.clone_from(&settings.cipher_suites);
    out
}
