//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as pb;

use super::error::{At as _, ConfigError, Result, each};
use super::filter_config::header_value;
use super::value::{enumeration, flag, number, timeout};
use super::{access_log, http_filter, route};
use crate::snapshot::http::{
    CertDetails, Codec, EscapedSlashes, ForwardClientCert, Http1Options, Http2Options, HttpConnectionManager,
    PathNormalisation, RouteSource, ServerHeader,
};

const UUID_REQUEST_ID: &str = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";

/// Compiles a connection manager.
pub(super) fn manager(value: &pb::HttpConnectionManager) -> Result<HttpConnectionManager> {
    refuse_unsupported(value)?;
    let mut manager = HttpConnectionManager::new(value.stat_prefix.as_str(), routes(value)?);
    manager.codec = codec(value.codec_type).field("codec_type")?;
    manager.access_logs = each("access_log", &value.access_log, access_log::access_log)?;
    manager.filters = http_filter::filters(&value.http_filters)?;
    if let Some(name) = header_value(&value.server_name).field("server_name")? {
        manager.server_name = name;
    } else {
        manager.server_name = HeaderValue::from_static("envoy");
    }
    manager.server_header = server_header(value.server_header_transformation)?;
    manager.forward_client_cert = forward_client_cert(value.forward_client_cert_details)?;
    manager.cert_details = cert_details(value.set_current_client_cert_details.as_ref());
    forwarding(&mut manager, value)?;
    manager.path = path_normalisation(value)?;
    manager.strip_port = matches!(
        value.strip_port_mode,
        Some(pb::http_connection_manager::StripPortMode::StripAnyHostPort(true))
    );
    manager.strip_trailing_dot = value.strip_trailing_host_dot;
    timeouts(&mut manager, value)?;
    manager.max_head_bytes = number(value.max_request_headers_kb.as_ref()).unwrap_or(60) as usize * 1024;
    manager.upgrades = upgrades(value)?;
    manager.http1 = http1(value.http_protocol_options.as_ref())?;
    manager.http2 = http2(value.http2_protocol_options.as_ref());
    Ok(manager)
}

fn refuse_unsupported(value: &pb::HttpConnectionManager) -> Result<()> {
    let request_id =
        value.request_id_extension.as_ref().and_then(|extension| extension.typed_config.as_ref());
    if let Some(any) = request_id.filter(|any| any.type_url != UUID_REQUEST_ID) {
        return Err(ConfigError::unknown_extension("request id", "request_id_extension", &any.type_url));
    }
    for (kind, list) in [
        ("original IP detection", &value.original_ip_detection_extensions),
        ("early header mutation", &value.early_header_mutation_extensions),
    ] {
        if let Some(extension) = list.first() {
            let type_url = extension.typed_config.as_ref().map_or("", |any| any.type_url.as_str());
            return Err(ConfigError::unknown_extension(kind, &extension.name, type_url));
        }
    }
    let fields = [
        ("local_reply_config", value.local_reply_config.is_some()),
        ("strip_matching_host_port", value.strip_matching_host_port),
        ("append_x_forwarded_port", value.append_x_forwarded_port),
        ("forward_client_cert_matcher", value.forward_client_cert_matcher.is_some()),
        ("typed_header_validation_config", value.typed_header_validation_config.is_some()),
    ];
    match fields.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(ConfigError::unsupported(field)),
        None => Ok(()),
    }
}

fn routes(value: &pb::HttpConnectionManager) -> Result<RouteSource> {
    use pb::http_connection_manager::RouteSpecifier;
    match &value.route_specifier {
        Some(RouteSpecifier::Rds(rds)) if !rds.route_config_name.is_empty() => {
            Ok(RouteSource::Named(rds.route_config_name.as_str().into()))
        }
        Some(RouteSpecifier::Rds(_)) => Err(ConfigError::new("rds.route_config_name is required")),
        Some(RouteSpecifier::RouteConfig(config)) => {
            let compiled = route::route_table(config).field("route_config")?;
            Ok(RouteSource::Inline(Arc::new(compiled.table)))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => Err(ConfigError::unsupported("scoped_routes")),
        None => Err(ConfigError::new("rds or route_config is required")),
    }
}

fn codec(value: i32) -> Result<Codec> {
    use pb::http_connection_manager::CodecType as Pb;
    match enumeration(value)? {
        Pb::Auto => Ok(Codec::Auto),
        Pb::Http1 => Ok(Codec::Http1),
        Pb::Http2 => Ok(Codec::Http2),
        Pb::Http3 => Err(ConfigError::unsupported("HTTP/3")),
    }
}

fn server_header(value: i32) -> Result<ServerHeader> {
    use pb::http_connection_manager::ServerHeaderTransformation as Pb;
    Ok(match enumeration(value).field("server_header_transformation")? {
        Pb::Overwrite => ServerHeader::Overwrite,
        Pb::AppendIfAbsent => ServerHeader::AppendIfAbsent,
        Pb::PassThrough => ServerHeader::PassThrough,
    })
}

fn forward_client_cert(value: i32) -> Result<ForwardClientCert> {
    use pb::http_connection_manager::ForwardClientCertDetails as Pb;
    Ok(match enumeration(value).field("forward_client_cert_details")? {
        Pb::Sanitize => ForwardClientCert::Sanitize,
        Pb::ForwardOnly => ForwardClientCert::ForwardOnly,
        Pb::AppendForward => ForwardClientCert::AppendForward,
        Pb::SanitizeSet => ForwardClientCert::SanitizeSet,
        Pb::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    })
}

fn cert_details(value: Option<&pb::http_connection_manager::SetCurrentClientCertDetails>) -> CertDetails {
    value.map_or_else(CertDetails::default, |details| CertDetails {
        subject: flag(details.subject.as_ref()),
        cert: details.cert,
        chain: details.chain,
        dns: details.dns,
        uri: details.uri,
    })
}

fn forwarding(manager: &mut HttpConnectionManager, value: &pb::HttpConnectionManager) -> Result<()> {
    manager.use_remote_address = flag(value.use_remote_address.as_ref());
    manager.xff_trusted_hops = value.xff_num_trusted_hops;
    manager.skip_xff_append = value.skip_xff_append;
    manager.via = header_value(&value.via).field("via")?;
    manager.generate_request_id = value.generate_request_id.as_ref().is_none_or(|generate| generate.value);
    manager.preserve_external_request_id = value.preserve_external_request_id;
    manager.request_id_in_response = value.always_set_request_id_in_response;
    Ok(())
}

fn path_normalisation(value: &pb::HttpConnectionManager) -> Result<PathNormalisation> {
    use pb::http_connection_manager::PathWithEscapedSlashesAction as Pb;
    if value.path_normalization_options.is_some() {
        return Err(ConfigError::unsupported("path_normalization_options"));
    }
    let action =
        enumeration(value.path_with_escaped_slashes_action).field("path_with_escaped_slashes_action")?;
    Ok(PathNormalisation {
        normalise: flag(value.normalize_path.as_ref()),
        merge_slashes: value.merge_slashes,
        escaped_slashes: match action {
            Pb::ImplementationSpecificDefault | Pb::KeepUnchanged => EscapedSlashes::Keep,
            Pb::RejectRequest => EscapedSlashes::Reject,
            Pb::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
            Pb::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
        },
    })
}

fn timeouts(manager: &mut HttpConnectionManager, value: &pb::HttpConnectionManager) -> Result<()> {
    let hour = Some(Duration::from_hours(1));
    manager.stream_idle_timeout =
        timeout("stream_idle_timeout", value.stream_idle_timeout.as_ref(), Some(Duration::from_mins(5)))?;
    manager.request_timeout = timeout("request_timeout", value.request_timeout.as_ref(), None)?;
    manager.request_headers_timeout =
        timeout("request_headers_timeout", value.request_headers_timeout.as_ref(), None)?;
    manager.drain_timeout =
        timeout("drain_timeout", value.drain_timeout.as_ref(), Some(Duration::from_secs(5)))?
            .unwrap_or_default();
    let Some(common) = &value.common_http_protocol_options else {
        manager.idle_timeout = hour;
        return Ok(());
    };
    let inner = || -> Result<()> {
        manager.idle_timeout = timeout("idle_timeout", common.idle_timeout.as_ref(), hour)?;
        manager.max_connection_duration =
            timeout("max_connection_duration", common.max_connection_duration.as_ref(), None)?;
        manager.max_stream_duration =
            timeout("max_stream_duration", common.max_stream_duration.as_ref(), None)?;
        manager.max_requests_per_connection =
            number(common.max_requests_per_connection.as_ref()).unwrap_or(0);
        manager.max_headers = number(common.max_headers_count.as_ref()).unwrap_or(100) as usize;
        Ok(())
    };
    let mut inner = inner;
    inner().field("common_http_protocol_options")
}

fn upgrades(value: &pb::HttpConnectionManager) -> Result<Vec<Box<str>>> {
    let mut allowed = Vec::new();
    for (index, upgrade) in value.upgrade_configs.iter().enumerate() {
        if !upgrade.filters.is_empty() {
            return Err(ConfigError::unsupported("filters")).entry("upgrade_configs", index);
        }
        if upgrade.enabled.as_ref().is_none_or(|enabled| enabled.value) {
            allowed.push(upgrade.upgrade_type.to_ascii_lowercase().into());
        }
    }
    Ok(allowed)
}

/// HTTP/1 knobs that listeners and clusters share.
pub(super) fn http1(value: Option<&core::Http1ProtocolOptions>) -> Result<Http1Options> {
    use core::http1_protocol_options::header_key_format::HeaderFormat;
    let Some(value) = value else { return Ok(Http1Options::default()) };
    let format = value.header_key_format.as_ref().and_then(|format| format.header_format.as_ref());
    let preserve = match format {
        Some(HeaderFormat::StatefulFormatter(extension)) => {
            if extension.name != "preserve_case" {
                let type_url = extension.typed_config.as_ref().map_or("", |any| any.type_url.as_str());
                return Err(ConfigError::unknown_extension("header formatter", &extension.name, type_url));
            }
            true
        }
        _ => false,
    };
    Ok(Http1Options {
        title_case: matches!(format, Some(HeaderFormat::ProperCaseWords(_))),
        preserve_case: preserve,
        accept_http_10: value.accept_http_10,
    })
}

fn http2(value: Option<&core::Http2ProtocolOptions>) -> Http2Options {
    let Some(value) = value else { return Http2Options::default() };
    Http2Options {
        max_concurrent_streams: number(value.max_concurrent_streams.as_ref()),
        stream_window: number(value.initial_stream_window_size.as_ref()),
        connection_window: number(value.initial_connection_window_size.as_ref()),
        extended_connect: value.allow_connect,
    }
}
