//! From one MeshInstall to a running mesh.
//!
//! ```text
//! MeshInstall ─┐
//! Release ─────┼─ desired::desired ── objects ──┐
//! ClusterFacts ┘      (pure)                    │
//!                                               ├─ reconcile: apply server-side, prune, report
//! objects that exist ─ plan::prune, plan::uninstall (pure) ─┘
//! Deployments that exist ─ status::of (pure) ─── .status
//! ```
//!
//! The pure halves are used offline by `trysailctl manifest generate`.

pub mod desired;
mod facts;
pub mod leader;
mod metrics;
mod names;
pub mod plan;
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
