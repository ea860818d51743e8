//! The values that the mesh consists of, each kept as small as its readers allow.

mod endpoint;
mod exposure;
mod header;
mod host;
mod labels;
mod meta;
mod protocol;
mod service;
mod text;
mod workload;

pub use endpoint::{Address, Endpoint, EndpointGroup, Endpoints};
pub use exposure::ExportTo;
pub(crate) use exposure::is_exported;
pub(crate) use header::is_authority;
pub use header::{header_name_problem, header_problem};
pub(crate) use host::by_host;
pub use host::{host_candidates, host_matches, is_wildcard, resolve_host};
pub use labels::Labels;
pub use meta::{Key, Kind, Meta, NamespacedName, ServiceKey};
pub use protocol::Protocol;
pub use service::{Registry, Resolution, Service, ServicePort, TargetPort, is_single};
pub use text::{Text, intern};
pub use workload::{Locality, Workload};
