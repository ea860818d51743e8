//! TLS of a cluster's connections: the mesh's own by default, else what a DestinationRule says.

use crds::networking::{ClientTlsMode, ClientTlsSettings};
use model::{Endpoints, Protocol, Service, Text};
use xds::names;

use super::Upstream;
use crate::context::Context;
use crate::proto::{any, cluster, core, exactly, raw_buffer, tls};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};

/// Name of a TLS socket.
pub(crate) const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
/// ALPN of opaque bytes within the mesh.
const ISTIO: &str = "istio";

/// Where the mutual TLS of one destination comes from.
pub(crate) struct Peer<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) service: &'a Service,
    pub(crate) endpoints: Option<&'a Endpoints>,
    pub(crate) protocol: Protocol,
    /// The name that the server's sidecar may route by.
    pub(crate) sni: String,
    /// Whether the rule is for certain workloads only.
    pub(crate) selected: bool,
}

/// Secrets that a policy names, of a client that is entitled to them.
pub(crate) fn credentials(settings: &ClientTlsSettings) -> Vec<String> {
    let name = settings.credential_name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Vec::new();
    }
    let mut all = vec![format!("{name}{}", names::SECRET_CA_SUFFIX)];
    if settings.mode == Some(ClientTlsMode::Mutual) {
        all.push(name.to_owned());
    }
    all
}

/// What carries bytes as they are.
pub(super) fn plain() -> core::TransportSocket {
    core::TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(any(
            &raw_buffer::RawBuffer::default(),
        ))),
    }
}

/// Applies TLS to a cluster.
pub(super) fn apply(
    settings: Option<&ClientTlsSettings>,
    peer: &Peer<'_>,
    cluster: &mut cluster::Cluster,
    options: &mut Upstream,
) {
    let mode =
        settings.and_then(|settings| settings.mode).filter(|mode| *mode != ClientTlsMode::Unrecognized);
    match (settings, mode) {
        (Some(settings), Some(ClientTlsMode::IstioMutual)) => {
            cluster.transport_socket = Some(socket(&peer.context(Some(settings), is_http2(options))));
        }
        (Some(settings), Some(ClientTlsMode::Simple | ClientTlsMode::Mutual)) => {
            // Credentials by name are secrets that only gateways are entitled to, and workloads that a rule selects.
            let by_name = settings.credential_name.as_deref().is_some_and(|name| !name.is_empty());
            if !by_name || peer.context.is_gateway() || peer.selected {
                cluster.transport_socket = Some(socket(&originated(settings, peer, options)));
            }
        }
        // A block without a mode is DISABLE, protobuf's zero value.
        (Some(_), _) => {}
        (None, _) => automatic(peer, cluster, options),
    }
}

/// Mutual TLS to endpoints that are in the mesh, plaintext to others.
fn automatic(peer: &Peer<'_>, cluster: &mut cluster::Cluster, options: &Upstream) {
    let mesh = peer.context.mesh;
    if peer.service.external || !mesh.settings.config.auto_mtls() {
        return;
    }
    let namespace_mode = mesh.mutual_tls(&peer.service.key.namespace, &model::Labels::default()).mode;
    if namespace_mode == model::config::MutualTlsMode::Disable {
        return;
    }
    let secured = socket(&peer.context(None, is_http2(options)));
    let original = super::of_type(cluster::cluster::DiscoveryType::OriginalDst);
    if cluster.cluster_discovery_type == original {
        // The endpoint is known only by its address, so it is all or nothing.
        let mut endpoints =
            peer.endpoints.into_iter().flat_map(|known| &known.groups).flat_map(|g| &g.endpoints);
        let any = peer.endpoints.is_some_and(|known| known.groups.iter().any(|g| !g.endpoints.is_empty()));
        if any && endpoints.all(model::Endpoint::mutual_tls) {
            cluster.transport_socket = Some(secured);
        }
        return;
    }
    let tls_mode = Value { kind: Some(Kind::StringValue("istio".to_owned())) };
    cluster.transport_socket_matches = vec![
        cluster::cluster::TransportSocketMatch {
            name: "tlsMode-istio".to_owned(),
            r#match: Some(Struct { fields: [("tlsMode".to_owned(), tls_mode)].into() }),
            transport_socket: Some(secured),
        },
        cluster::cluster::TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(Struct::default()),
            transport_socket: Some(plain()),
        },
    ];
}

impl Peer<'_> {
    /// The mesh's own mutual TLS.
    fn context(&self, settings: Option<&ClientTlsSettings>, http2: bool) -> tls::UpstreamTlsContext {
        let written = settings.map_or(&[][..], |settings| &settings.subject_alt_names);
        let names = if written.is_empty() { self.identities() } else { written.to_vec() };
        let sni = settings.and_then(|settings| settings.sni.clone()).filter(|sni| !sni.is_empty());
        tls::UpstreamTlsContext {
            common_tls_context: Some(tls::CommonTlsContext {
                tls_params: Some(parameters()),
                tls_certificate_sds_secret_configs: vec![workload_secret(names::SECRET_WORKLOAD)],
                validation_context_type: Some(combined(&names, workload_secret(names::SECRET_ROOT))),
                alpn_protocols: self.alpn(http2),
                ..Default::default()
            }),
            sni: sni.unwrap_or_else(|| self.sni.clone()),
            ..Default::default()
        }
    }

    /// Identities that the server may have. None means any of the mesh's.
    fn identities(&self) -> Vec<String> {
        let mesh = self.context.mesh;
        let trust_domain = mesh.trust_domain();
        let accounts = self.endpoints.into_iter().flat_map(|known| known.accounts.iter());
        let mut all: Vec<String> =
            accounts.map(|(namespace, account)| mesh.identity(namespace, account)).collect();
        all.extend(self.service.subject_alt_names.iter().map(|name: &Text| match name.strip_prefix("ns/") {
            Some(_) => format!("spiffe://{trust_domain}/{name}"),
            None => name.to_string(),
        }));
        let aliases = &mesh.settings.config.trust_domain_aliases;
        let own = format!("spiffe://{trust_domain}/");
        let aliased: Vec<String> = all
            .iter()
            .filter_map(|name| name.strip_prefix(&own))
            .flat_map(|path| aliases.iter().map(move |alias| format!("spiffe://{alias}/{path}")))
            .collect();
        all.extend(aliased);
        all.sort();
        all.dedup();
        all
    }

    /// A proxy of ours chooses among `istio*` by what it carries. A stock Envoy cannot, so the port's protocol decides,
    /// and the server's filter chains take it for what it is.
    fn alpn(&self, http2: bool) -> Vec<String> {
        let offers: &[&str] = match (self.context.is_envoy(), http2) {
            (false, false) => &[ISTIO],
            (false, true) => &[ISTIO, "h2"],
            (true, true) => &["istio-h2"],
            (true, false) if self.protocol.is_http() => &["istio-http/1.1"],
            (true, false) => &[ISTIO],
        };
        offers.iter().map(ToString::to_string).collect()
    }
}

fn is_http2(options: &Upstream) -> bool {
    use super::http_options::{UpstreamProtocolOptions, explicit_http_config::ProtocolConfig};
    matches!(
        &options.upstream_protocol_options,
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit))
            if matches!(explicit.protocol_config, Some(ProtocolConfig::Http2ProtocolOptions(_)))
    )
}

/// TLS to a server outside of the mesh.
fn originated(
    settings: &ClientTlsSettings,
    peer: &Peer<'_>,
    options: &mut Upstream,
) -> tls::UpstreamTlsContext {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let sni = given(&settings.sni);
    let skip = settings.insecure_skip_verify == Some(true);
    if sni.is_none() {
        let upstream = options.upstream_http_protocol_options.get_or_insert_default();
        upstream.auto_sni = true;
        upstream.auto_san_validation = settings.subject_alt_names.is_empty() && !skip;
    }
    let mut names = settings.subject_alt_names.clone();
    if names.is_empty() && peer.service.registry == model::Registry::ServiceEntry {
        names = peer.service.subject_alt_names.iter().map(ToString::to_string).collect();
    }
    let mutual = settings.mode == Some(ClientTlsMode::Mutual);
    let mut certificates = Vec::new();
    let roots = match (given(&settings.credential_name), given(&settings.ca_certificates)) {
        (Some(name), _) => {
            if mutual {
                certificates.push(kubernetes_secret(&name));
            }
            Some(kubernetes_secret(&format!("{name}{}", names::SECRET_CA_SUFFIX)))
        }
        (None, ca) => {
            if let (true, Some(certificate), Some(key)) =
                (mutual, given(&settings.client_certificate), given(&settings.private_key))
            {
                certificates.push(workload_secret(&format!("file-cert:{certificate}~{key}")));
            }
            Some(workload_secret(&match ca {
                Some(path) if path != "system" => format!("file-root:{path}"),
                _ => "file-root:system".to_owned(),
            }))
        }
    };
    tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(parameters()),
            tls_certificate_sds_secret_configs: certificates,
            validation_context_type: match roots {
                Some(roots) if !skip => {
                    Some(with_revoked(combined(&names, roots), settings.ca_crl.as_deref()))
                }
                _ => Some(ValidationContextType::ValidationContext(Default::default())),
            },
            alpn_protocols: if is_http2(options) { vec!["h2".to_owned()] } else { Vec::new() },
            ..Default::default()
        }),
        sni: sni.unwrap_or_default(),
        ..Default::default()
    }
}

/// TLS 1.2 at least; Envoy's clients would stop there if not told otherwise.
pub(crate) fn parameters() -> tls::TlsParameters {
    tls::TlsParameters {
        tls_minimum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv12.into(),
        tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
        ..Default::default()
    }
}

/// Roots from a secret, and names that the peer must have one of.
pub(crate) fn combined(names: &[String], roots: tls::SdsSecretConfig) -> ValidationContextType {
    // The untyped list is what istiod writes; Envoy takes it for every kind of name.
    #[allow(deprecated)]
    let context = tls::CertificateValidationContext {
        match_subject_alt_names: names.iter().map(|name| exactly(name)).collect(),
        ..Default::default()
    };
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(context),
        validation_context_sds_secret_config: Some(roots),
        ..Default::default()
    })
}

/// The same, with a file of revoked certificates, which counts where the roots are a file as well.
pub(crate) fn with_revoked(
    mut validation: ValidationContextType,
    path: Option<&str>,
) -> ValidationContextType {
    if let (ValidationContextType::CombinedValidationContext(both), Some(path)) =
        (&mut validation, path.filter(|path| !path.is_empty()))
        && let Some(context) = &mut both.default_validation_context
        && both
            .validation_context_sds_secret_config
            .as_ref()
            .is_some_and(|roots| roots.name.starts_with(FILE_ROOT))
    {
        let specifier = Some(core::data_source::Specifier::Filename(path.to_owned()));
        context.crl = Some(core::DataSource { specifier, ..Default::default() });
    }
    validation
}

/// How secrets are named whose roots are a file.
const FILE_ROOT: &str = "file-root:";

/// A secret of the workload itself, served by the agent beside an Envoy; a proxy of ours has it at hand.
pub(crate) fn workload_secret(name: &str) -> tls::SdsSecretConfig {
    let service = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc { cluster_name: "sds-grpc".to_owned(), ..Default::default() },
        )),
        ..Default::default()
    };
    let source = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![service],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    tls::SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(core::ConfigSource {
            config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::ApiConfigSource(
                source,
            )),
            ..crate::proto::ads()
        }),
    }
}

/// A Kubernetes Secret, served by the control plane to gateways entitled to it.
pub(crate) fn kubernetes_secret(name: &str) -> tls::SdsSecretConfig {
    let name =
        if name.contains("://") { name.to_owned() } else { format!("{}{name}", names::SECRET_KUBERNETES) };
    tls::SdsSecretConfig { name, sds_config: Some(crate::proto::ads()) }
}

fn socket(context: &tls::UpstreamTlsContext) -> core::TransportSocket {
    core::TransportSocket {
        name: TLS_SOCKET.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(any(context))),
    }
}
