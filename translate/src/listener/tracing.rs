//! Which requests are traced, and where spans go.

use crds::mesh_config::{ExtensionProvider, OpenTelemetryTracingProvider, ZipkinTracingProvider};
use envoy_types::pb::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use xds::names::ClusterName;

use crate::context::Context;
use crate::proto::{Any, any, boolean, core, duration, hcm, kinds, trace, uint32, written};
use hcm::http_connection_manager::Tracing;
use trace::tracing::{Http, http};

/// Traces per million requests where nobody says otherwise: 1 %.
const DEFAULT_SAMPLING: u32 = 10_000;

/// Tracing settings of an HTTP connection manager; none if the mesh does not trace.
pub(super) fn tracing(context: &Context<'_>) -> Option<Tracing> {
    let config = &context.mesh.settings.config;
    if config.enable_tracing == Some(false) {
        return None;
    }
    let all = || Some(kinds::Percent { value: 100.0 });
    let sampling = context.view.settings.sampling.unwrap_or(DEFAULT_SAMPLING);
    let settings = config.default_config.as_ref().and_then(|proxy| proxy.tracing.as_ref());
    let provider = provider(context);
    Some(Tracing {
        client_sampling: all(),
        overall_sampling: all(),
        random_sampling: Some(kinds::Percent { value: f64::from(sampling) / 10_000.0 }),
        max_path_tag_length: settings.and_then(|settings| settings.max_path_tag_length).and_then(uint32),
        spawn_upstream_span: provider.as_ref().filter(|_| context.is_gateway()).and_then(|_| boolean(true)),
        provider,
        custom_tags: tags(context),
        ..Default::default()
    })
}

/// Tags that tell who wrote a span. A proxy of ours knows itself.
fn tags(context: &Context<'_>) -> Vec<CustomTag> {
    let Some((service, revision)) = &context.view.canonical else { return Vec::new() };
    let tag = |tag: &str, value: &str| CustomTag {
        tag: tag.to_owned(),
        r#type: Some(custom_tag::Type::Literal(custom_tag::Literal { value: value.to_owned() })),
    };
    let mesh_id =
        context.mesh.settings.config.default_config.as_ref().and_then(|proxy| proxy.mesh_id.as_deref());
    vec![
        tag("istio.canonical_revision", revision),
        tag("istio.canonical_service", service),
        tag("istio.cluster_id", &context.mesh.cluster_id),
        tag("istio.mesh_id", mesh_id.unwrap_or(context.mesh.trust_domain())),
        tag("istio.namespace", &context.view.namespace),
    ]
}

/// The first default provider that can take spans and whose service exists.
fn provider(context: &Context<'_>) -> Option<Http> {
    let config = &context.mesh.settings.config;
    let names = &config.default_providers.as_ref()?.tracing;
    let by_name = |name: &String| {
        config.extension_providers.iter().find(|provider| provider.name.as_ref() == Some(name))
    };
    names.iter().filter_map(by_name).find_map(|provider| one(context, provider))
}

fn one(context: &Context<'_>, provider: &ExtensionProvider) -> Option<Http> {
    let (name, config) = if let Some(zipkin) = &provider.zipkin {
        ("envoy.tracers.zipkin", zipkin_config(context, zipkin)?)
    } else {
        ("envoy.tracers.opentelemetry", otlp_config(context, provider.opentelemetry.as_ref()?)?)
    };
    Some(Http { name: name.to_owned(), config_type: Some(http::ConfigType::TypedConfig(config)) })
}

/// Host and cluster of a provider's service, which may be written `namespace/host`.
fn cluster(context: &Context<'_>, service: Option<&str>, port: Option<u32>) -> Option<(String, String)> {
    let written = service?;
    let host = written.rsplit('/').next().unwrap_or(written);
    let host = model::resolve_host(host, &context.mesh.settings.root_namespace, &context.mesh.domain);
    let port = u16::try_from(port?).ok()?;
    context.scope.service(&host)?.port(port)?;
    let cluster = ClusterName::outbound(port, "", &host).to_string();
    Some((host.to_string(), cluster))
}

fn http_service(
    host: &str,
    cluster: String,
    path: &str,
    timeout: Option<crds::Duration>,
) -> core::HttpService {
    let default = || duration(std::time::Duration::from_secs(5));
    core::HttpService {
        http_uri: Some(core::HttpUri {
            uri: format!("http://{host}{path}"),
            http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(cluster)),
            timeout: written(timeout).or_else(default),
        }),
        ..Default::default()
    }
}

fn zipkin_config(context: &Context<'_>, zipkin: &ZipkinTracingProvider) -> Option<Any> {
    let (host, cluster) = cluster(context, zipkin.service.as_deref(), zipkin.port)?;
    let path = zipkin.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/api/v2/spans");
    Some(any(&trace::ZipkinConfig {
        collector_cluster: cluster,
        collector_endpoint: path.to_owned(),
        collector_hostname: host,
        collector_endpoint_version: trace::zipkin_config::CollectorEndpointVersion::HttpJson.into(),
        trace_id_128bit: zipkin.enable_64bit_trace_id != Some(true),
        shared_span_context: boolean(false),
        ..Default::default()
    }))
}

fn otlp_config(context: &Context<'_>, otlp: &OpenTelemetryTracingProvider) -> Option<Any> {
    let (host, cluster) = cluster(context, otlp.service.as_deref(), otlp.port)?;
    let mut config = trace::OpenTelemetryConfig {
        service_name: context
            .view
            .canonical
            .as_ref()
            .map_or_else(String::new, |(service, _)| format!("{service}.{}", context.view.namespace)),
        ..Default::default()
    };
    match &otlp.http {
        Some(http) => {
            let path = http.path.as_deref().unwrap_or("/v1/traces");
            config.http_service = Some(http_service(&host, cluster, path, http.timeout));
        }
        None => {
            config.grpc_service = Some(core::GrpcService {
                target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
                    core::grpc_service::EnvoyGrpc {
                        cluster_name: cluster,
                        authority: host,
                        ..Default::default()
                    },
                )),
                timeout: otlp.grpc.as_ref().and_then(|grpc| written(grpc.timeout)),
                ..Default::default()
            });
        }
    }
    Some(any(&config))
}
