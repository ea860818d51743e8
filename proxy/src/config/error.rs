//! What is wrong with a resource, and where in it.

use std::fmt;

/// A resource can't be used. Its text is what the NACK says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: String,
}

impl ConfigError {
    /// A problem with the value at hand; `path` is added by the callers as they unwind.
    pub fn new(problem: impl fmt::Display) -> Self {
        Self { path: String::new(), problem: problem.to_string() }
    }

    /// An extension that this proxy does not have.
    pub fn unknown_extension(kind: &str, name: &str, type_url: &str) -> Self {
        Self::new(format!("{kind} {name:?} of type {type_url:?} is not supported by this proxy"))
    }

    /// A setting that this proxy can't honour.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(format!("{what} is not supported by this proxy"))
    }

    fn within(mut self, part: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{part}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Result of compiling a part of a resource.
pub(super) type Result<T> = std::result::Result<T, ConfigError>;

/// Adds where a problem is to an error on its way up.
pub(super) trait At<T> {
    /// In this field.
    fn field(self, name: &str) -> Result<T>;
    /// In this entry of the list `name`.
    fn entry(self, name: &str, index: usize) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    fn field(self, name: &str) -> Self {
        self.map_err(|error| error.within(name))
    }

    fn entry(self, name: &str, index: usize) -> Self {
        self.map_err(|error| error.within(&format!("{name}[{index}]")))
    }
}

/// Compiles every entry of a list; an error says which entry it is in.
pub(super) fn each<I, O>(name: &str, list: &[I], compile: impl Fn(&I) -> Result<O>) -> Result<Vec<O>> {
    list.iter().enumerate().map(|(index, item)| compile(item).entry(name, index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_outward() {
        let inner: Result<()> = Err(ConfigError::new("is empty"));
        let error = inner.field("name").entry("clusters", 2).field("route").unwrap_err();
        assert_eq!(error.to_string(), "route.clusters[2].name: is empty");
        assert_eq!(ConfigError::new("bad").to_string(), "bad");
    }
}
