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

    /// One namespace alone.
    pub fn only(namespace: &str) -> Self {
        Self::Namespaces(BTreeSet::from([intern(namespace)]))
    }

    /// Whether a namespace alone sees the object.
    pub fn is_only(&self, namespace: &str) -> bool {
        matches!(self, Self::Namespaces(own) if own.len() == 1 && own.contains(namespace))
    }

    /// Whether some namespace sees both of two objects.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nobody, _) | (_, Self::Nobody) => false,
            (Self::Everyone, _) | (_, Self::Everyone) => true,
            (Self::Namespaces(own), Self::Namespaces(other)) => !own.is_disjoint(other),
        }
    }

    /// Whether it lists every namespace that another lists. `*` and `~` are no lists.
    pub fn lists_all_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Namespaces(own), Self::Namespaces(other)) if own.is_superset(other))
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

/// Whether a namespace sees an object of namespace `own`: by what the object says, which may leave out even its own, else
/// by the mesh's default, which never does.
pub(crate) fn is_exported(said: Option<&ExportTo>, default: &ExportTo, own: &str, namespace: &str) -> bool {
    match said {
        Some(said) => said.includes(namespace),
        None => own == namespace || default.includes(namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_itself_hides_from_its_own_namespace() {
        let to = |entries: &[&str]| ExportTo::parse(entries, "own").unwrap();
        for (said, default, namespace, expected) in [
            (None, &["~"][..], "own", true),
            (None, &["~"], "other", false),
            (None, &["*"], "other", true),
            (Some(&["~"][..]), &["*"], "own", false),
            (Some(&["other"]), &["*"], "own", false),
            (Some(&["other"]), &["~"], "other", true),
        ] {
            let found = is_exported(said.map(to).as_ref(), &to(default), "own", namespace);
            assert_eq!(found, expected, "{said:?} {default:?} {namespace}");
        }
    }

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

    #[test]
    fn only_lists_are_compared() {
        let to = |entries: &[&str]| ExportTo::parse(entries, "own").unwrap();
        assert!(to(&[".", "a"]).lists_all_of(&ExportTo::only("own")));
        assert!(to(&["."]).is_only("own") && !to(&[".", "a"]).is_only("own") && !to(&["*"]).is_only("own"));
        assert!(to(&["a"]).lists_all_of(&to(&["a"])));
        assert!(to(&["a", "b"]).meets(&to(&["b"])) && to(&["*"]).meets(&to(&["a"])));
        assert!(!to(&["a"]).meets(&to(&["b"])) && !to(&["*"]).meets(&to(&["~"])));
        for (wide, narrow) in [(&["a"][..], &["a", "b"][..]), (&["*"], &["a"]), (&["a"], &["~"])] {
            assert!(!to(wide).lists_all_of(&to(narrow)), "{wide:?} {narrow:?}");
        }
    }
}
