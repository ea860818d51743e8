//! Access logs: files and the standard streams.

use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3 as pb;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::access_loggers::{file::v3 as file, stream::v3 as stream};

use super::error::{At as _, ConfigError, Result};
use super::in_use::InUse;
use super::value::{data, decode, json};
use crate::observe::log::Format;
use crate::snapshot::http::{AccessLog, LogFormat};

const FILE: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT: &str = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
const STDERR: &str = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog";

/// What Envoy writes when no format is configured.
const ENVOY_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// A log of requests or connections.
pub(super) fn access_log(value: &pb::AccessLog) -> Result<AccessLog> {
    if value.filter.is_some() {
        return Err(ConfigError::unsupported("filter"));
    }
    target(value)
}

/// A log of connections that no filter chain takes: the filter that asks for just these is met already.
pub(super) fn listener_access_log(value: &pb::AccessLog) -> Result<AccessLog> {
    use pb::access_log_filter::FilterSpecifier;
    match value.filter.as_ref().and_then(|filter| filter.filter_specifier.as_ref()) {
        None => target(value),
        Some(FilterSpecifier::ResponseFlagFilter(filter)) if filter.flags.iter().all(|flag| flag == "NR") => {
            target(value)
        }
        Some(_) => Err(ConfigError::unsupported("filter")),
    }
}

/// Where the lines go and how they look. A format that can't be filled in is refused now, not at the first line.
fn target(value: &pb::AccessLog) -> Result<AccessLog> {
    let log = described(value)?;
    match Format::new(&log.format) {
        Ok(_) => Ok(shared(log)),
        Err(bad) => Err(ConfigError::new(bad.to_string())),
    }
}

// Hundreds of listeners have the same log, and workers tell logs apart by pointer.
static TEXTS: InUse<str> = InUse::new();
static TREES: InUse<serde_json::Value> = InUse::new();

fn shared(log: AccessLog) -> AccessLog {
    let format = match log.format {
        LogFormat::Text(text) => LogFormat::Text(TEXTS.one(text)),
        LogFormat::Json(tree) => LogFormat::Json(TREES.one(tree)),
    };
    AccessLog { path: TEXTS.one(log.path), format }
}

fn described(value: &pb::AccessLog) -> Result<AccessLog> {
    let Some(pb::access_log::ConfigType::TypedConfig(any)) = &value.config_type else {
        return Err(ConfigError::new("typed_config is required"));
    };
    match any.type_url.as_str() {
        FILE => {
            let log: file::FileAccessLog = decode(any)?;
            Ok(AccessLog { format: file_format(log.access_log_format)?, path: log.path.into() })
        }
        STDOUT => {
            use stream::stdout_access_log::AccessLogFormat::LogFormat as Configured;
            let log: stream::StdoutAccessLog = decode(any)?;
            let format = log.access_log_format.map(|Configured(format)| format);
            Ok(AccessLog { format: substitution(format.as_ref())?, path: "/dev/stdout".into() })
        }
        STDERR => {
            use stream::stderr_access_log::AccessLogFormat::LogFormat as Configured;
            let log: stream::StderrAccessLog = decode(any)?;
            let format = log.access_log_format.map(|Configured(format)| format);
            Ok(AccessLog { format: substitution(format.as_ref())?, path: "/dev/stderr".into() })
        }
        unknown => Err(ConfigError::unknown_extension("access log", &value.name, unknown)),
    }
}

fn file_format(value: Option<file::file_access_log::AccessLogFormat>) -> Result<LogFormat> {
    use file::file_access_log::AccessLogFormat as Pb;
    match value {
        None => Ok(text(ENVOY_FORMAT)),
        Some(Pb::Format(format)) if format.is_empty() => Ok(text(ENVOY_FORMAT)),
        Some(Pb::Format(format)) => Ok(text(&format)),
        Some(Pb::JsonFormat(format) | Pb::TypedJsonFormat(format)) => {
            Ok(LogFormat::Json(Arc::new(json(&format))))
        }
        Some(Pb::LogFormat(format)) => substitution(Some(&format)),
    }
}

fn substitution(value: Option<&core::SubstitutionFormatString>) -> Result<LogFormat> {
    use core::substitution_format_string::Format;
    match value.and_then(|value| value.format.as_ref()) {
        None => Ok(text(ENVOY_FORMAT)),
        Some(Format::TextFormat(format)) => Ok(text(format)),
        Some(Format::JsonFormat(format)) => Ok(LogFormat::Json(Arc::new(json(format)))),
        Some(Format::TextFormatSource(source)) => {
            let bytes = data(Some(source)).field("text_format_source")?.unwrap_or_default();
            let format = String::from_utf8(bytes).map_err(|_| ConfigError::new("the format is not text"))?;
            Ok(text(&format))
        }
    }
}

fn text(format: &str) -> LogFormat {
    LogFormat::Text(format.into())
}
