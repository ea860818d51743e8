//! From one MeshInstall to a running mesh.
//!
//! ```text
//! MeshInstall ─┐
//! Release ─────┼─ desired::desired ── objects ──┐
//! ClusterFacts ┘      (pure)                    │
//!                                               ├─ reconcile: apply server-side, prune, report
//! objects that exist ─ plan::prune, plan::uninstall (pure) ─┘
//! Deployments that exist ─ status::of (pure) ─── .status
//!
//! MeshInstall as it would be stored ─ admission ─ judge (pure) ─── yes, or no and why
//! ```
//!
//! The pure halves are used offline by `trysailctl manifest generate`.

pub mod admission;
pub mod desired;
mod facts;
#[cfg(test)]
mod fake_api;
mod judge;
mod metrics;
mod names;
pub mod plan;
mod probe;
pub mod reconcile;
mod release;
pub mod serve;
mod settings;
pub mod status;

pub use self::{
    desired::desired,
    facts::ClusterFacts,
    metrics::Metrics,
    names::{
        CA_SECRET, COMPONENT, Component, FIELD_MANAGER, FINALIZER, LEASE, OWNER, REVISION, ROOT_CONFIG_MAP,
    },
    release::Release,
    settings::{Gateway, Settings, SettingsError},
};
