//! The configuration, as the control plane streams it: delta ADS.
//!
//! In: responses of one gRPC stream, reopened for as long as the process runs. Out: snapshots in [`Live`], secrets in
//! [`Secrets`], and what the admin interface shows ([`Held`], [`Progress`]). `main` starts [`run`] on the control thread.
//!
//! `stream` does the talking, `xds::client` the protocol, `apply` decides what may be put in force when. The last good
//! configuration serves for as long as there is no stream.

mod apply;
mod held;
mod node;
mod progress;
mod stream;

use std::sync::Arc;

pub use apply::Applier;
pub use held::{Held, Stored};
pub use node::node;
pub use progress::{Counters, Progress, Report};
pub use stream::run;

use crate::bootstrap::Discovery;
use crate::identity::Secrets;

/// What a subscription works with.
#[derive(Debug)]
pub struct Subscription {
    /// Where the control plane is.
    pub discovery: Discovery,
    /// Our own certificate, presented when it is there.
    pub secrets: Arc<Secrets>,
    /// Mark on the socket, so that redirect rules let it through.
    pub packet_mark: Option<u32>,
    /// The cluster that we say we are in.
    pub cluster_id: Option<String>,
    /// What is applied.
    pub applier: Applier,
    /// Who we are.
    pub node: envoy_types::pb::envoy::config::core::v3::Node,
}
