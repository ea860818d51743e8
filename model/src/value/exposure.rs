//! `exportTo`: which namespaces may see an object.

use std::collections::BTreeSet;

use super::text::{Text, intern};

/// Which namespaces see an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExportTo {
    /// `*`: all, the default.
    #[default]
    Everyone,
    /// `~`: none.
    Nobody,
    /// These.
    Namespaces(BTreeSet<Text>),
}

impl ExportTo {
    /// From the entries as written in an object of `namespace`; `.` is that namespace. None means the default.
    pub fn parse<S: AsRef<str>>(entries: &[S], namespace: &str) -> Option<Self> {
        if entries.is_empty() {
            return None;
        }
        let mut namespaces = BTreeSet::new();
        for entry in entries {
            match entry.as_ref().trim() {
                "*" => return Some(Self::Everyone),
                "~" => {}
                "." => {
                    namespaces.insert(intern(namespace));
                }
                other => {
                    namespaces.insert(intern(other));
                }
            }
        }
        Some(if namespaces.is_empty() { Self::Nobody } else { Self::Namespaces(namespaces) })
    }

    /// Whether a namespace sees the object.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Nobody => false,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_to_is_read_as_istio_does() {
        for (entries, namespace, expected) in [
            (vec!["*"], "other", true),
            (vec!["."], "own", true),
            (vec!["."], "other", false),
            (vec!["~"], "own", false),
            (vec!["a", "b"], "b", true),
            (vec!["a", "b"], "own", false),
        ] {
            let parsed = ExportTo::parse(&entries, "own").unwrap();
            assert_eq!(parsed.includes(namespace), expected, "{entries:?} {namespace}");
        }
        assert_eq!(ExportTo::parse::<&str>(&[], "own"), None);
    }
}
