//! API types: every Kubernetes kind that Trysail reads, as Istio defines them, and its own `MeshInstall`.
//!
//! YAML or JSON flows in (through serde, or [`decode`] where a person should hear what's wrong), typed values
//! flow out to `model`, `operator`, `webhook` and `trysailctl`; the CRDs in `charts/` are generated from the
//! same types by [`definition`].

mod bytes;
mod check;
pub mod definition;
mod duration;
mod effect;
mod macros;
pub mod mesh;
pub mod mesh_config;
pub mod meta;
pub mod networking;
pub mod reference;
mod rules;
pub mod security;
pub mod selector;

pub use bytes::Bytes;
pub use check::{
    DecodeError, Problem, Report, UnknownField, check, check_part, closest, decode, decode_part,
    definition_of, describe, drop_nulls,
};
pub use duration::{Duration, DurationError};
pub use effect::{FIELDS_WITHOUT_EFFECT, WithoutEffect, fields_without_effect};
pub use networking::unreachable_rules;
