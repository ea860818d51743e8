//! How requests are logged.

use crds::mesh_config::{AccessLogEncoding, MeshConfig};

use crate::value::{Text, intern};

/// Where and how requests are logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessLog {
    /// File.
    pub path: Text,
    /// Format; empty means the default.
    pub format: Text,
    /// One JSON object per request instead of a line of text.
    pub json: bool,
}

impl AccessLog {
    /// What the mesh's configuration asks for, if logging is on. A format that proxies would refuse, with every listener
    /// that has it, gives way to the default.
    pub(super) fn of(config: &MeshConfig) -> Option<Self> {
        let format = config.access_log_format.as_deref().filter(|_| format_problem(config).is_none());
        Some(Self {
            path: intern(config.access_log_file()?),
            format: intern(format.unwrap_or_default()),
            json: is_json(config),
        })
    }
}

fn is_json(config: &MeshConfig) -> bool {
    config.access_log_encoding == Some(AccessLogEncoding::Json)
}

/// Why proxies would refuse the format that is asked for, and what to write instead; nothing if they take it.
pub(crate) fn format_problem(config: &MeshConfig) -> Option<String> {
    xds::operators::format_problem(config.access_log_format.as_deref().unwrap_or_default(), is_json(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_proxies_refuse_gives_way_to_the_default() {
        for (encoding, format, taken) in [
            ("TEXT", "%DURATION%", true),
            ("TEXT", "%NOPE%", false),
            ("JSON", r#"{"a": "%DURATION%"}"#, true),
            ("JSON", "%DURATION%", false),
        ] {
            let config = serde_json::json!({
                "accessLogFile": "/dev/stdout", "accessLogEncoding": encoding, "accessLogFormat": format,
            });
            let config: MeshConfig = serde_json::from_value(config).unwrap();
            let log = AccessLog::of(&config).unwrap();
            assert_eq!(&*log.format, if taken { format } else { "" });
            assert_eq!(format_problem(&config).is_none(), taken, "{format}");
        }
    }
}
