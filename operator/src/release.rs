//! What this operator installs unless a MeshInstall says otherwise.

/// A release of Trysail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Tag of its images.
    pub tag: String,
}

impl Default for Release {
    fn default() -> Self {
        Self { tag: env!("CARGO_PKG_VERSION").to_owned() }
    }
}
