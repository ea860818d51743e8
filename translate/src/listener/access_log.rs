//! Access logs, in Istio's formats unless the mesh's configuration gives one.

use model::config::AccessLog;
use prost::Message as _;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::proto::{Any, accesslog, core};
use crate::wire;
use accesslog::access_log::ConfigType;
use accesslog::access_log_filter::FilterSpecifier;
use core::data_source::Specifier;

/// Istio's line of text.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's fields of a JSON object.
const JSON: [(&str, &str); 24] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// Field numbers of `FileAccessLog` and `SubstitutionFormatString`.
const LOG_FORMAT: u32 = 5;
const JSON_FORMAT: u32 = 2;
const FORMATTERS: u32 = 6;

/// Logs of requests or connections.
pub(super) fn of_requests(context: &Context<'_>) -> Vec<accesslog::AccessLog> {
    context.mesh.settings.access_log.iter().map(|settings| file(settings, None)).collect()
}

/// Logs of connections that no filter chain took, which leave no other trace.
pub(crate) fn of_listener(context: &Context<'_>) -> Vec<accesslog::AccessLog> {
    let only_unrouted = accesslog::AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(accesslog::ResponseFlagFilter {
            flags: vec!["NR".to_owned()],
        })),
    };
    let settings = context.mesh.settings.access_log.iter();
    settings.map(|settings| file(settings, Some(only_unrouted.clone()))).collect()
}

fn file(settings: &AccessLog, filter: Option<accesslog::AccessLogFilter>) -> accesslog::AccessLog {
    // By hand, because a JSON format is a map whose order would otherwise change from one encoding to the next.
    let mut config = Vec::new();
    wire::append(&mut config, 1, settings.path.as_bytes());
    let mut format = Vec::new();
    if settings.json {
        wire::append(&mut format, JSON_FORMAT, &wire::structure(&json_format(settings)));
    } else {
        let text = if settings.format.is_empty() { TEXT } else { &settings.format };
        let source = core::DataSource {
            specifier: Some(Specifier::InlineString(text.to_owned())),
            ..Default::default()
        };
        wire::append(&mut format, 5, &source.encode_to_vec());
    }
    if settings.format.contains("%REQ_WITHOUT_QUERY(") {
        wire::append(&mut format, FORMATTERS, &without_query().encode_to_vec());
    }
    wire::append(&mut config, LOG_FORMAT, &format);
    accesslog::AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        filter,
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url: "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog".to_owned(),
            value: config,
        })),
    }
}

/// What an Envoy needs to know the one operator that is not built in.
fn without_query() -> core::TypedExtensionConfig {
    core::TypedExtensionConfig {
        name: "envoy.formatter.req_without_query".to_owned(),
        typed_config: Some(Any {
            type_url: "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
                .to_owned(),
            value: Vec::new(),
        }),
    }
}

/// The configured JSON object, or Istio's where there is none.
fn json_format(settings: &AccessLog) -> Value {
    match serde_json::from_str(&settings.format) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ => Value::Object(
            JSON.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect::<Map<_, _>>(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::file_log::{FileAccessLog, file_access_log::AccessLogFormat};
    use prost::Message;

    #[test]
    fn the_operator_that_is_not_built_in_is_named_to_envoy() {
        for (json, format) in [
            (false, "%REQ_WITHOUT_QUERY(:PATH)%\n"),
            (true, "{\"a\": \"%REQ_WITHOUT_QUERY(:PATH)%\"}"),
            (false, "%REQ(:PATH)%\n"),
        ] {
            let settings = AccessLog { path: "/dev/stdout".into(), format: format.into(), json };
            let Some(ConfigType::TypedConfig(any)) = file(&settings, None).config_type else {
                panic!("typed")
            };
            let decoded = FileAccessLog::decode(&*any.value).unwrap();
            let Some(AccessLogFormat::LogFormat(string)) = decoded.access_log_format else {
                panic!("a format")
            };
            let named: Vec<_> = string.formatters.iter().map(|one| one.name.as_str()).collect();
            let wanted: &[&str] =
                if format.contains("WITHOUT") { &["envoy.formatter.req_without_query"] } else { &[] };
            assert_eq!(named, wanted, "{format}");
        }
    }

    #[test]
    fn formats_decode_to_what_envoy_expects() {
        for (json, format) in
            [(false, ""), (false, "%DURATION%\n"), (true, ""), (true, "{\"a\": \"%DURATION%\"}")]
        {
            let settings = AccessLog { path: "/dev/stdout".into(), format: format.into(), json };
            let Some(ConfigType::TypedConfig(any)) = file(&settings, None).config_type else {
                panic!("typed")
            };
            let decoded = FileAccessLog::decode(&*any.value).unwrap();
            assert_eq!(decoded.path, "/dev/stdout");
            let Some(AccessLogFormat::LogFormat(string)) = decoded.access_log_format else {
                panic!("a format")
            };
            use crate::proto::core::substitution_format_string::Format;
            if let Some(Format::JsonFormat(fields)) = &string.format {
                assert_eq!(fields.fields.len(), if format.is_empty() { 24 } else { 1 });
                continue;
            }
            let Some(Format::TextFormatSource(source)) = string.format else { panic!("text") };
            let expected = if format.is_empty() { TEXT } else { format };
            assert_eq!(source.specifier, Some(Specifier::InlineString(expected.to_owned())));
        }
    }
}
