//! Injection and validation of what the API server is about to store.
//!
//! ```text
//! AdmissionReview ── admission (axum edge, served by the control plane on 15017, and by the operator for MeshInstalls)
//!    ├─ /inject   ── inject::inject     Pod -> Pod, a pure function ── JSON patch
//!    └─ /validate ── validate           object -> errors and warnings, a pure function
//! ```
//!
//! The pure halves are used offline too: `trysailctl kube-inject` and `analyze`, and the local mesh of `testkit`.

pub mod admission;
pub mod inject;
pub mod validate;

pub use admission::{Judge, Metrics, ValidationMetrics, WebhookState, router, validation_router};
