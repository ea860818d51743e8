//! HTTP connection managers.

use crds::mesh_config::NormalizationType;

use super::{access_log, tracing};
use crate::context::Context;
use crate::node::Client;
use crate::proto::{
    Any, ads, any, boolean, core, cors, duration, fault, grpc_stats, grpc_web, hcm, listener, route, router,
};
use crate::route::{CORS, FAULT};
use hcm::http_connection_manager::{
    CodecType, ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
    SetCurrentClientCertDetails, UpgradeConfig,
};
use listener::filter::ConfigType;

/// Header `server` of responses.
const SERVER: &str = "istio-envoy";

/// Which side of the mesh a manager stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Requests of the app.
    Outbound,
    /// Requests to the app.
    Inbound,
    /// Requests from outside.
    Gateway,
}

/// Where routes come from.
pub(crate) enum Routes {
    /// By name, from the stream.
    Discovered(String),
    /// Part of the listener.
    Inline(Box<route::RouteConfiguration>),
}

/// What differs between connection managers.
pub(crate) struct Manager {
    pub(crate) class: Class,
    pub(crate) stat_prefix: String,
    pub(crate) routes: Routes,
    /// The port carries gRPC-Web, which the app expects as gRPC.
    pub(crate) grpc_web: bool,
}

/// The filter that speaks HTTP.
pub(crate) fn http_filter(context: &Context<'_>, manager: Manager) -> listener::Filter {
    listener::Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&connection_manager(context, manager)))),
    }
}

fn connection_manager(context: &Context<'_>, manager: Manager) -> hcm::HttpConnectionManager {
    let class = manager.class;
    let mut out = hcm::HttpConnectionManager {
        codec_type: CodecType::Auto.into(),
        stat_prefix: manager.stat_prefix,
        access_log: access_log::of_requests(context),
        tracing: tracing::tracing(context),
        // Our proxy has no gRPC-Web bridge and would refuse the listener: gRPC-Web passes through it as it is.
        http_filters: http_filters(manager.grpc_web && context.view.client == Client::Envoy),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
        stream_idle_timeout: duration(std::time::Duration::ZERO),
        use_remote_address: boolean(class == Class::Gateway),
        route_specifier: Some(match manager.routes {
            Routes::Inline(configuration) => RouteSpecifier::RouteConfig(*configuration),
            Routes::Discovered(name) => {
                RouteSpecifier::Rds(hcm::Rds { config_source: Some(ads()), route_config_name: name })
            }
        }),
        ..Default::default()
    };
    normalize(context, &mut out);
    match class {
        // The app's own `server` header is replaced by `envoy` on this side, as istiod does.
        Class::Outbound => {}
        Class::Inbound => {
            SERVER.clone_into(&mut out.server_name);
            out.forward_client_cert_details = ForwardClientCertDetails::AppendForward.into();
            out.set_current_client_cert_details = Some(client_cert(false));
        }
        Class::Gateway => gateway(context, &mut out),
    }
    out
}

fn gateway(context: &Context<'_>, out: &mut hcm::HttpConnectionManager) {
    use crds::mesh_config::ForwardClientCertDetails as Written;
    let settings = &context.view.settings;
    SERVER.clone_into(&mut out.server_name);
    out.xff_num_trusted_hops = settings.trusted_proxies;
    out.forward_client_cert_details = match settings.forward_client_cert {
        Written::Sanitize => ForwardClientCertDetails::Sanitize,
        Written::ForwardOnly => ForwardClientCertDetails::ForwardOnly,
        Written::AppendForward => ForwardClientCertDetails::AppendForward,
        Written::AlwaysForwardOnly => ForwardClientCertDetails::AlwaysForwardOnly,
        Written::SanitizeSet | Written::Undefined | Written::Unrecognized => {
            ForwardClientCertDetails::SanitizeSet
        }
    }
    .into();
    out.set_current_client_cert_details = Some(client_cert(true));
    out.http_protocol_options = Some(core::Http1ProtocolOptions::default());
}

fn client_cert(certificate: bool) -> SetCurrentClientCertDetails {
    SetCurrentClientCertDetails {
        subject: boolean(true),
        cert: certificate,
        dns: true,
        uri: true,
        ..Default::default()
    }
}

fn normalize(context: &Context<'_>, out: &mut hcm::HttpConnectionManager) {
    let config = context.mesh.settings.config.path_normalization.as_ref();
    let mode = config.and_then(|config| config.normalization).unwrap_or_default();
    out.normalize_path = boolean(mode != NormalizationType::None);
    out.merge_slashes =
        matches!(mode, NormalizationType::MergeSlashes | NormalizationType::DecodeAndMergeSlashes);
    out.path_with_escaped_slashes_action = match mode {
        NormalizationType::DecodeAndMergeSlashes => PathWithEscapedSlashesAction::UnescapeAndForward,
        _ => PathWithEscapedSlashesAction::KeepUnchanged,
    }
    .into();
}

fn http_filters(web: bool) -> Vec<hcm::HttpFilter> {
    let stats = grpc_stats::FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: Some(
            grpc_stats::filter_config::PerMethodStatSpecifier::StatsForAllMethods(crate::proto::BoolValue {
                value: false,
            }),
        ),
        ..Default::default()
    };
    let mut filters = Vec::new();
    if web {
        filters.push(filter("envoy.filters.http.grpc_web", any(&grpc_web::GrpcWeb {})));
    }
    filters.push(filter("envoy.filters.http.grpc_stats", any(&stats)));
    // Routes configure these two; they must be in the chain to be configured.
    filters.push(filter(FAULT, any(&fault::HttpFault::default())));
    filters.push(filter(CORS, any(&cors::Cors {})));
    filters.push(filter("envoy.filters.http.router", any(&router::Router::default())));
    filters
}

fn filter(name: &str, config: Any) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
