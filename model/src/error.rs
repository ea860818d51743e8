//! What can be wrong with an object, said so that a person can mend it.

/// An object that cannot become part of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Not an object at all.
    #[error(
        "not a Kubernetes object: {0} is missing; every document needs apiVersion, kind and metadata.name"
    )]
    NotAnObject(&'static str),
    /// A known kind whose fields do not fit.
    #[error("{kind} {name}: {problem}")]
    Malformed {
        /// Kind as written.
        kind: String,
        /// Namespace and name as written.
        name: String,
        /// What is wrong, with the field's path where known.
        problem: String,
    },
    /// A field whose value cannot be used.
    #[error("{kind} {name}: {field} {problem}")]
    Field {
        /// Kind.
        kind: &'static str,
        /// Namespace and name.
        name: String,
        /// Path of the field.
        field: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}
