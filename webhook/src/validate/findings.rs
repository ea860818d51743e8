//! Collects what is wrong with an object, and where.

use std::fmt;

use crds::Problem;

/// A person mends a few things at a time; the answer to a hostile object stays small.
const MOST: usize = 50;

/// Errors and warnings found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl Findings {
    pub(super) fn error(&mut self, at: &At, message: impl Into<String>) {
        if self.errors.len() < MOST {
            self.errors.push(Problem { field: at.0.clone(), message: message.into() });
        }
    }

    pub(super) fn warning(&mut self, at: &At, message: impl fmt::Display) {
        if self.warnings.len() < MOST {
            self.warnings.push(if at.0.is_empty() {
                message.to_string()
            } else {
                format!("{at}: {message}")
            });
        }
    }

    /// Records the error of a check, if it has one.
    pub(super) fn check(&mut self, at: &At, checked: Result<(), String>) {
        if let Err(message) = checked {
            self.error(at, message);
        }
    }

    /// Records an error when a condition holds.
    pub(super) fn error_if(&mut self, wrong: bool, at: &At, message: &str) {
        if wrong {
            self.error(at, message);
        }
    }
}

/// The path of a field.
#[derive(Clone, Debug)]
pub(super) struct At(String);

impl At {
    pub(super) fn spec() -> Self {
        Self("spec".into())
    }

    pub(super) fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn field(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    pub(super) fn item(&self, list: &str, index: usize) -> Self {
        Self(format!("{}.{list}[{index}]", self.0))
    }

    pub(super) fn key(&self, map: &str, key: &str) -> Self {
        Self(format!("{}.{map}[{key}]", self.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
