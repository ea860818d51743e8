//! Why a pod can't be injected. The API server shows the message to whoever creates the pod.

/// Why a pod can't be injected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// An annotation has a value that can't be used.
    #[error("{pod}: annotation {annotation}: {value:?} {problem}")]
    Annotation {
        /// The pod.
        pod: String,
        /// The annotation.
        annotation: String,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The pod asks for a template that nobody defined.
    #[error(
        "{pod}: annotation inject.istio.io/templates: there is no template {template:?}; there are {known}"
    )]
    UnknownTemplate {
        /// The pod.
        pod: String,
        /// The template.
        template: String,
        /// Those that exist.
        known: String,
    },
    /// A setting of the mesh can't be used.
    #[error("{pod}: {setting}: {problem}")]
    Setting {
        /// The pod.
        pod: String,
        /// Where the setting is.
        setting: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The object is no pod.
    #[error("the object can't be read as a Pod: {0}")]
    NotAPod(String),
}
