//! What an inbound port takes: plaintext, mutual TLS, or both at once.

use model::Protocol;
use model::config::MutualTlsMode;
use xds::names;

use crate::cluster::tls::{TLS_SOCKET, combined, workload_secret};
use crate::context::Context;
use crate::proto::{any, boolean, core, listener, tls};

/// ALPN of mutual TLS that carries HTTP.
const HTTP_ALPN: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// ALPN of mutual TLS that carries other bytes.
const TCP_ALPN: [&str; 2] = ["istio-peer-exchange", "istio"];

/// What a filter chain takes its connections for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// ALPN it is chosen by; none means any.
    pub(super) alpn: &'static [&'static str],
    /// TLS or plaintext.
    pub(super) tls: bool,
    /// Whether the TLS is ours to terminate.
    pub(super) terminate: bool,
    /// HTTP, or opaque bytes.
    pub(super) http: bool,
}

/// ALPN of mutual TLS.
pub(crate) const ALL_ALPN: [&str; 5] = [TCP_ALPN[0], TCP_ALPN[1], HTTP_ALPN[0], HTTP_ALPN[1], HTTP_ALPN[2]];

const fn mutual(alpn: &'static [&'static str], http: bool) -> Kind {
    Kind { alpn, tls: true, terminate: true, http }
}

const fn plain(alpn: &'static [&'static str], http: bool) -> Kind {
    Kind { alpn, tls: false, terminate: false, http }
}

/// TLS of the app's own, passed through.
const FOREIGN: Kind = Kind { alpn: &[], tls: true, terminate: false, http: false };

/// The chains of a port, as istiod orders them.
pub(super) fn kinds(mode: MutualTlsMode, protocol: Protocol) -> Vec<Kind> {
    let (http, detected) = (protocol.is_http(), protocol == Protocol::Auto);
    match mode {
        MutualTlsMode::Strict if http => vec![mutual(&[], true)],
        MutualTlsMode::Strict if detected => vec![mutual(&HTTP_ALPN, true), mutual(&[], false)],
        MutualTlsMode::Strict => vec![mutual(&[], false)],
        MutualTlsMode::Permissive if http => vec![mutual(&ALL_ALPN, true), plain(&[], true)],
        MutualTlsMode::Permissive if detected => vec![
            mutual(&HTTP_ALPN, true),
            plain(&super::PLAIN_HTTP, true),
            mutual(&TCP_ALPN, false),
            plain(&[], false),
            FOREIGN,
        ],
        MutualTlsMode::Permissive => vec![mutual(&ALL_ALPN, false), FOREIGN, plain(&[], false)],
        MutualTlsMode::Disable if http => vec![plain(&[], true)],
        // Nobody looks for TLS on these ports, so all of it counts as plaintext.
        MutualTlsMode::Disable if detected => vec![plain(&super::PLAIN_HTTP, true), plain(&[], false)],
        MutualTlsMode::Disable => vec![plain(&[], false)],
    }
}

/// How a chain is chosen.
pub(super) fn conditions(kind: Kind, port: Option<u16>) -> listener::FilterChainMatch {
    listener::FilterChainMatch {
        destination_port: port.and_then(|port| crate::proto::uint32(port.into())),
        transport_protocol: if kind.tls { "tls" } else { "raw_buffer" }.to_owned(),
        application_protocols: kind.alpn.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

/// Termination of the mesh's mutual TLS.
pub(super) fn socket(context: &Context<'_>, kind: Kind) -> Option<core::TransportSocket> {
    kind.terminate.then(|| {
        let alpn: &[&str] =
            if kind.http { &["h2", "http/1.1"] } else { &["istio-peer-exchange", "h2", "http/1.1"] };
        let terminated = tls::DownstreamTlsContext {
            common_tls_context: Some(tls::CommonTlsContext {
                tls_params: Some(parameters(context)),
                tls_certificate_sds_secret_configs: vec![workload_secret(names::SECRET_WORKLOAD)],
                validation_context_type: Some(combined(&[], workload_secret(names::SECRET_ROOT))),
                alpn_protocols: alpn.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
            require_client_certificate: boolean(true),
            ..Default::default()
        };
        core::TransportSocket {
            name: TLS_SOCKET.to_owned(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(any(&terminated))),
        }
    })
}

fn parameters(context: &Context<'_>) -> tls::TlsParameters {
    use crds::mesh_config::MeshTlsProtocol;
    let mesh = context.mesh.settings.config.mesh_mtls.as_ref();
    let mut parameters = crate::cluster::tls::parameters();
    if mesh.and_then(|config| config.min_protocol_version) == Some(MeshTlsProtocol::TlsV1_3) {
        parameters.tls_minimum_protocol_version = tls::tls_parameters::TlsProtocol::TlSv13.into();
    }
    parameters.cipher_suites = mesh
        .map(|config| config.cipher_suites.clone())
        .filter(|suites| !suites.is_empty())
        .unwrap_or_else(|| SUITES.iter().map(ToString::to_string).collect());
    parameters
}

/// TLS 1.2 suites with forward secrecy and authenticated encryption, as istiod lists them; TLS 1.3 has its own.
const SUITES: [&str; 4] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
];
