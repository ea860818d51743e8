//! The mesh as values: services, workloads, endpoints, routes, policies, and who wins where they disagree.
//!
//! ```text
//! Kubernetes watch | folder of YAML -> Object -> Store::apply -> Changes (what may be affected)
//!                                                Store::mesh  -> Arc<Mesh> (immutable, structurally shared)
//! ```
//!
//! Pure: no I/O, no clock, no async, no client. The control plane feeds it, `translate` reads it, `trysailctl` uses
//! both offline.

mod changes;
pub mod config;
mod error;
mod findings;
mod kube;
mod lookup;
mod mesh;
mod object;
mod store;
mod value;
pub mod yaml;

pub use changes::{Change, ChangeMap, Changes};
pub use error::ModelError;
pub use findings::{
    Finding, FindingKind, Severity, all_findings, findings, findings_differ, findings_if_applied,
};
pub use kube::{EndpointSlice, Ingress, IngressClass, Namespace, Node, Pod, Secret, SliceEndpoint};
pub use lookup::{Door, MutualTls, Scope};
pub use mesh::{Aged, Mesh, Written};
pub use object::{Event, Object};
pub use store::{Missing, Store};
pub use value::{
    Address, Endpoint, EndpointGroup, Endpoints, ExportTo, Key, Kind, Labels, Locality, Meta, NamespacedName,
    Protocol, Registry, Resolution, Service, ServiceKey, ServicePort, TargetPort, Text, Workload,
    header_name_problem, header_problem, host_candidates, host_matches, intern, is_single, is_wildcard,
    resolve_host,
};
