//! A mesh on one machine, without Kubernetes: what the tests, the demo and the benches run on.
//!
//! In: Kubernetes and Istio YAML, as a person would apply it. Out: real processes.
//! The control plane reads the YAML from a folder; each pod is a set of namespaces on a bridge, injected by the
//! real webhook function, redirected by the real init step, and its containers are real processes.
//!
//! ```text
//! enter() ── re-executes the test in namespaces of its own, so that everything ends with it
//!    └─ LocalMesh ── folder of YAML ── trysail-controlplane
//!          ├─ network: a bridge; an address for each pod
//!          ├─ pods:    pause process, files of its volumes, init step, sidecar, app
//!          └─ endpoints: what the endpoint controller and the kubelet would write
//! ```
//!
//! Works as root, and without root where the kernel allows unprivileged user namespaces.

mod binaries;
mod cluster_state;
mod endpoints;
mod envoy;
mod http;
mod inject;
mod mesh;
mod namespaces;
mod network;
mod pod;
mod process;
mod runner;
mod table;
mod volumes;

pub use binaries::{BASELINE, Binaries};
pub use envoy::{ENVOY_PACKAGE, EnvoyNode, bootstrap, envoy_binary};
pub use http::{Reply, get, get_with};
pub use mesh::{LocalMesh, eventually};
pub use namespaces::{Privilege, enter, privilege};
pub use pod::LocalPod;
pub use process::{Process, TempFolder};
pub use runner::{Scenario, run};
pub use table::run as run_table;
