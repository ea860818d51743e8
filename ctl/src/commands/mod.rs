//! One file for each command.

pub mod demo;
pub mod explain;
pub mod install;
pub mod kube_inject;
pub mod proxy_config;
pub mod proxy_status;
pub mod uninstall;
pub mod verify_install;
pub mod version;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// The text of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.with_context(|| format!("reading {}", path.display()))
}

/// How long to wait: as Go writes durations, which istioctl's flags take, or a number of seconds.
fn patience(text: &str) -> Result<Duration, crds::DurationError> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => text.parse::<crds::Duration>().map(Duration::from),
    }
}

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A table.
    #[value(alias = "table")]
    Short,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Output {
    /// The table, or the value as JSON or YAML text; only that one is made.
    fn print(
        self,
        table: impl FnOnce() -> crate::table::Columns,
        value: impl FnOnce() -> serde_json::Value,
    ) -> anyhow::Result<String> {
        if self == Self::Short { Ok(table().to_string()) } else { self.render(&value()) }
    }

    /// The value as JSON or YAML text.
    ///
    /// # Errors
    /// When it can't be written so.
    pub fn render(self, value: &impl serde::Serialize) -> anyhow::Result<String> {
        Ok(match self {
            Self::Yaml => serde_saphyr::to_string(value)?,
            Self::Short | Self::Json => serde_json::to_string_pretty(value)? + "\n",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_a_duration_or_a_number_of_seconds() {
        for (text, seconds) in [("300", 300), ("90s", 90), ("5m", 300), ("1m30s", 90), ("0", 0)] {
            assert_eq!(patience(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-5s"] {
            assert!(patience(text).is_err(), "{text}");
        }
    }
}
