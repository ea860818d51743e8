//! From a MeshInstall to a running mesh.
//!
//! ```text
//! MeshInstall ── desired (pure) ── objects ── server-side apply, prune, status
//! ```

pub mod desired;
