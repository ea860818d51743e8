//! Log levels, at start and at run time, in the words that Envoy and Istio use for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::reload;

use super::{Params, Shared};

/// Envoy's loggers and our modules that say what they say.
const LOGGERS: [(&str, &[&str]); 9] = [
    ("admin", &["proxy::admin", "proxy::status"]),
    ("config", &["proxy::config", "proxy::subscribe"]),
    ("connection", &["proxy::listen", "proxy::tcp"]),
    ("http", &["proxy::request"]),
    ("main", &["proxy", "trysail_proxy"]),
    ("router", &["proxy::stage"]),
    ("secret", &["proxy::identity"]),
    ("stats", &["proxy::observe"]),
    ("upstream", &["proxy::upstream"]),
];

/// Those that do what Istio's agent does beside Envoy.
const AGENT_LOGGERS: [&str; 4] = ["admin", "config", "main", "secret"];

/// Levels that make no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogLevelsError {
    /// Not a level.
    #[error("{0:?} is not a log level; use trace, debug, info, warning, error, critical or off")]
    Level(String),
}

/// The level of everything, and those of single loggers.
#[derive(Debug, Clone)]
pub struct LogLevels {
    state: Arc<Mutex<Levels>>,
    apply: Option<reload::Handle<Targets, tracing_subscriber::Registry>>,
}

#[derive(Debug, Clone)]
struct Levels {
    default: LevelFilter,
    loggers: BTreeMap<&'static str, LevelFilter>,
}

impl LogLevels {
    /// From `--log_output_level`, which is for what Istio's agent does, and `--proxyLogLevel` and
    /// `--proxyComponentLogLevel`, which are for what Envoy does: a level, levels of loggers (`upstream:debug`), or both.
    /// Loggers that we don't have are passed over: Envoy and the agent have many more.
    pub fn parse(agent: &str, level: &str, components: &str) -> Result<Self, LogLevelsError> {
        let mut levels = Levels { default: LevelFilter::WARN, loggers: BTreeMap::new() };
        for part in agent.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once(':').unwrap_or(("default", part)) {
                ("default" | "all", level) => {
                    let level = parse_level(level)?;
                    levels.loggers.extend(AGENT_LOGGERS.map(|name| (name, level)));
                }
                (scope, level) => {
                    levels.set(scope, parse_level(level)?);
                }
            }
        }
        for part in
            level.split(',').chain(components.split(',')).map(str::trim).filter(|part| !part.is_empty())
        {
            match part.split_once(':') {
                Some((logger, level)) => {
                    levels.set(logger, parse_level(level)?);
                }
                None => levels.default = parse_level(part)?,
            }
        }
        Ok(Self { state: Arc::new(Mutex::new(levels)), apply: None })
    }

    /// The filter for the subscriber.
    pub fn targets(&self) -> Targets {
        self.state.lock().targets()
    }

    /// Makes later changes take effect through this handle.
    #[must_use]
    pub fn with_handle(self, handle: reload::Handle<Targets, tracing_subscriber::Registry>) -> Self {
        Self { apply: Some(handle), ..self }
    }

    /// Changes levels: `level=debug` is everything, `upstream=debug` one logger, `paths=a:debug,b:info` several.
    fn change(&self, params: &[(String, String)]) -> Result<(), String> {
        let mut next = self.state.lock().clone();
        for (key, value) in params {
            let single = [(key.as_str(), value.as_str())];
            let pairs: Vec<(&str, &str)> = match key.as_str() {
                "level" => {
                    next.default = parse_level(value).map_err(|error| error.to_string())?;
                    next.loggers.clear();
                    continue;
                }
                "paths" => value.split(',').filter_map(|pair| pair.split_once(':')).collect(),
                _ => single.to_vec(),
            };
            for (logger, level) in pairs {
                if !next.set(logger, parse_level(level).map_err(|error| error.to_string())?) {
                    return Err(format!("there is no logger {logger:?}"));
                }
            }
        }
        if let Some(handle) = &self.apply {
            handle.reload(next.targets()).map_err(|error| error.to_string())?;
        }
        *self.state.lock() = next;
        Ok(())
    }

    fn list(&self) -> String {
        let levels = self.state.lock();
        let lines = LOGGERS.iter().map(|(name, _)| {
            format!("  {name}: {}\n", spelled(levels.loggers.get(name).copied().unwrap_or(levels.default)))
        });
        format!("active loggers:\n{}", lines.collect::<String>())
    }
}

impl Levels {
    /// Whether there is such a logger.
    fn set(&mut self, logger: &str, level: LevelFilter) -> bool {
        let known = LOGGERS.iter().find(|(name, _)| *name == logger);
        if let Some((name, _)) = known {
            self.loggers.insert(name, level);
        }
        known.is_some()
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::new().with_default(self.default);
        for (name, modules) in LOGGERS {
            let level = self.loggers.get(name).copied().unwrap_or(self.default);
            targets = targets.with_targets(modules.iter().map(|module| (*module, level)));
        }
        targets
    }
}

fn parse_level(text: &str) -> Result<LevelFilter, LogLevelsError> {
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warning" | "warn" => LevelFilter::WARN,
        "error" | "critical" | "fatal" => LevelFilter::ERROR,
        "off" | "none" => LevelFilter::OFF,
        _ => return Err(LogLevelsError::Level(text.to_owned())),
    })
}

/// As Envoy spells levels.
fn spelled(level: LevelFilter) -> &'static str {
    match level.into_level() {
        None => "off",
        Some(Level::ERROR) => "error",
        Some(Level::WARN) => "warning",
        Some(Level::INFO) => "info",
        Some(Level::DEBUG) => "debug",
        Some(_) => "trace",
    }
}

pub(super) async fn logging(State(admin): Shared, Query(params): Params) -> Response {
    match admin.levels.change(&params) {
        Ok(()) => admin.levels.list().into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(levels: &LogLevels, key: &str, value: &str) -> Result<(), String> {
        levels.change(&[(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn levels_are_read_as_envoys_flags_write_them() {
        let levels = LogLevels::parse("default:info", "warning", "misc:error,upstream:debug").unwrap();
        assert!(levels.list().contains("  secret: info\n"));
        assert!(levels.list().contains("  upstream: debug\n"));
        assert!(levels.list().contains("  http: warning\n"));
        assert!(levels.targets().would_enable("proxy::upstream::pool", &Level::DEBUG));
        assert!(!levels.targets().would_enable("proxy::request", &Level::INFO));
        assert_eq!(LogLevels::parse("", "loud", "").unwrap_err(), LogLevelsError::Level("loud".to_owned()));
        assert!(LogLevels::parse("", "info,http:trace", "").unwrap().list().contains("http: trace"));
    }

    #[test]
    fn levels_change_at_run_time() {
        let levels = LogLevels::parse("", "warning", "").unwrap();
        assert_eq!(change(&levels, "upstream", "debug"), Ok(()));
        assert_eq!(change(&levels, "paths", "http:info,admin:off"), Ok(()));
        assert!(levels.list().contains("admin: off"));
        assert_eq!(change(&levels, "level", "info"), Ok(()));
        assert!(levels.list().contains("admin: info"));
        assert_eq!(change(&levels, "nobody", "info").unwrap_err(), "there is no logger \"nobody\"");
        assert!(change(&levels, "level", "loud").is_err());
    }
}
