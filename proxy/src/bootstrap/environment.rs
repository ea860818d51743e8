//! Environment variables and mounted files, behind one value so that tests can make their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::{BootstrapError, duration};

/// A snapshot of the environment, and the root of the file system.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    root: PathBuf,
}

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Self { variables: std::env::vars().collect(), root: PathBuf::from("/") }
    }

    /// One made of these variables, with files below `root`.
    pub fn new<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
        root: impl Into<PathBuf>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, root: root.into() }
    }

    /// A variable that is set and not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A variable without which the proxy can't start.
    pub fn required(&self, name: &'static str) -> Result<String, BootstrapError> {
        self.text(name).ok_or(BootstrapError::Missing(name))
    }

    /// A variable of a type; unset is `None`, nonsense is an error.
    pub fn parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, BootstrapError> {
        let parse = |value: String| {
            value.trim().parse().map_err(|_| BootstrapError::Variable {
                name,
                expected: short_type_name::<T>(),
                value,
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// A variable in Go's duration syntax.
    pub fn duration(&self, name: &'static str) -> Result<Option<Duration>, BootstrapError> {
        let parse = |value: String| {
            duration::parse(&value).ok_or(BootstrapError::Variable {
                name,
                expected: "a duration such as 5s or 1h30m",
                value,
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// All variables with this prefix, without it.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.variables
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// An absolute path as this environment sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}

fn short_type_name<T>() -> &'static str {
    match std::any::type_name::<T>() {
        "bool" => "true or false",
        "core::net::ip_addr::IpAddr" => "an IP address",
        _ => "a number",
    }
}
