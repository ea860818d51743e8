//! Collects findings and says where.

use std::fmt;

use super::{Finding, FindingKind, Severity};

/// A person mends a few things at a time; the answer about a hostile object stays small.
const MOST: usize = 50;

/// Findings so far.
#[derive(Debug, Default)]
pub(super) struct List(Vec<Finding>);

impl List {
    pub(super) fn error(&mut self, kind: FindingKind, at: &At, message: impl fmt::Display) {
        self.add(kind, Severity::Error, at, message);
    }

    pub(super) fn warning(&mut self, kind: FindingKind, at: &At, message: impl fmt::Display) {
        self.add(kind, Severity::Warning, at, message);
    }

    pub(super) fn info(&mut self, kind: FindingKind, at: &At, message: impl fmt::Display) {
        self.add(kind, Severity::Info, at, message);
    }

    fn add(&mut self, kind: FindingKind, severity: Severity, at: &At, message: impl fmt::Display) {
        if !self.is_full() {
            self.0.push(Finding { kind, severity, field: at.0.clone(), message: message.to_string() });
        }
    }

    /// Whether nothing more will be taken in, so that nobody need look further.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    pub(super) fn done(self) -> Vec<Finding> {
        self.0
    }
}

/// The path of a field.
#[derive(Clone, Debug)]
pub(super) struct At(String);

impl At {
    pub(super) fn spec() -> Self {
        Self("spec".to_owned())
    }

    pub(super) fn of(path: String) -> Self {
        Self(path)
    }

    pub(super) fn field(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    pub(super) fn key(&self, map: &str, key: &str) -> Self {
        Self(format!("{}.{map}[{key}]", self.0))
    }

    pub(super) fn item(&self, list: &str, index: usize) -> Self {
        Self(format!("{}.{list}[{index}]", self.0))
    }
}
