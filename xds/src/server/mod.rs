//! The control plane's end of a delta stream.
//!
//! In: requests ([`DeltaServer::request`]) and, whenever the caller likes, the newest [`Snapshot`] of what this client
//! should have ([`DeltaServer::poll`]). Out: at most one response in flight per type, always computed against the newest
//! snapshot, so a slow client skips what was overtaken instead of growing a queue.
//!
//! What a stream remembers is small: per type a set of subscribed names (hashed) and the snapshot that was last sent. A
//! resource counts as held when it is subscribed and in that snapshot, unless it is listed as owed.
//!
//! Order: clusters, endpoints, then what refers to them (listeners, routes, virtual hosts), then names, whose addresses the
//! listeners take, then removals of endpoints and clusters. Each step waits for the acknowledgement of the one before, and
//! for the endpoints of new clusters to be asked for, because a client that learns of a route before it can reach the
//! cluster answers 503.

mod hold;
mod plan;
mod subscription;
mod type_state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use crate::ResourceType;
use hold::Hold;
pub use plan::Plan;
use type_state::TypeState;

/// Everything that clients of one view should have, at one moment. Cheap to share; never changes.
pub trait Snapshot {
    /// The version of a resource.
    fn version(&self, kind: ResourceType, name: &str) -> Option<u64>;
    /// The size of a resource on the wire.
    fn size(&self, kind: ResourceType, name: &str) -> usize;
    /// Every name of a type; with a prefix, only those that begin with it.
    fn names(&self, kind: ResourceType, prefix: &str) -> Vec<Arc<str>>;
    /// At least all names of a type whose version differs between `base` and this snapshot, gone and new ones included.
    fn changed_since(&self, base: &Self, kind: ResourceType) -> Vec<Arc<str>>;
}

/// Bounds of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Names that may be subscribed per type.
    pub names_per_type: usize,
    /// Bytes of one name.
    pub name_bytes: usize,
    /// A response gets no further resources once it is this large.
    pub response_bytes: usize,
    /// How long dependent types wait for clients that never ask for the endpoints of a new cluster.
    pub hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names_per_type: 100_000,
            name_bytes: 4096,
            response_bytes: 512 << 10,
            hold: Duration::from_secs(2),
        }
    }
}

/// A client that breaks the protocol or a bound; the stream should end with this as its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Too many names.
    #[error("more than {limit} {kind} resources subscribed on one stream")]
    TooManyNames {
        /// Of this type.
        kind: ResourceType,
        /// The bound.
        limit: usize,
    },
    /// A name that cannot be one.
    #[error("a subscribed {kind} name has {len} bytes, more than {limit}")]
    NameTooLong {
        /// Of this type.
        kind: ResourceType,
        /// Its length.
        len: usize,
        /// The bound.
        limit: usize,
    },
}

/// What a request meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// New, more or less interest.
    Subscription(ResourceType),
    /// The last response of this type was applied.
    Ack(ResourceType),
    /// The last response of this type was rejected, at least in part.
    Nack {
        /// The type.
        kind: ResourceType,
        /// What the client says about it.
        message: String,
    },
    /// An answer to a response that is not the last one.
    StaleNonce(ResourceType),
    /// A type that this control plane doesn't serve.
    UnknownType(String),
}

/// What to do next on a stream.
#[derive(Debug)]
pub enum Next {
    /// Send this.
    Send(Plan),
    /// Nothing now; poll again at this time even if nothing happens.
    Wait(Instant),
    /// Nothing until a request or a new snapshot comes.
    Idle,
}

/// State of one stream.
#[derive(Debug)]
pub struct DeltaServer<S> {
    /// What is subscribed, in this snapshot and not owed has been sent in this snapshot's version.
    base: Option<Arc<S>>,
    types: [TypeState; ResourceType::ALL.len()],
    hold: Hold,
    limits: Limits,
    responses: u64,
    resend_endpoints: bool,
}

impl<S: Snapshot> DeltaServer<S> {
    /// A stream on which nothing was said yet. A stock Envoy waits for endpoints again whenever a cluster changes
    /// (`resend_endpoints`); Trysail's proxy keeps them.
    pub fn new(limits: Limits, resend_endpoints: bool) -> Self {
        let types = ResourceType::ALL.map(TypeState::new);
        Self { base: None, types, hold: Hold::default(), limits, responses: 0, resend_endpoints }
    }

    /// Takes a request in, against the snapshot that is current.
    pub fn request(
        &mut self,
        request: DeltaDiscoveryRequest,
        target: &Arc<S>,
    ) -> Result<Received, Violation> {
        let Some(kind) = ResourceType::from_url(&request.type_url) else {
            return Ok(Received::UnknownType(request.type_url));
        };
        self.catch_up(target);
        let state = &mut self.types[kind.index()];
        let received = state.acknowledge(&request);
        state.subscribe(request, target.as_ref(), &self.limits)?;
        self.hold.learn(kind, &received, &self.types[ResourceType::Endpoints.index()]);
        Ok(received)
    }

    /// What is due, given the newest snapshot.
    pub fn poll(&mut self, target: &Arc<S>, now: Instant) -> Next {
        self.catch_up(target);
        use ResourceType::{Cluster, Endpoints, Listener, NameTable, Route, Secret, VirtualHost};
        for kind in [Secret, Cluster, Endpoints] {
            if let Some(plan) = self.plan(kind, target, now, plan::Part::additions(kind)) {
                return Next::Send(plan);
            }
        }
        if !self.settled(&[Cluster, Endpoints], plan::Part::Additions, target) {
            return Next::Idle;
        }
        if let Some(until) = self.hold.waiting(now) {
            let refers =
                [Listener, Route, VirtualHost, NameTable].iter().any(|kind| self.types[kind.index()].owes());
            let removes = [Endpoints, Cluster].iter().any(|kind| self.types[kind.index()].owes());
            return if refers || removes { Next::Wait(until) } else { Next::Idle };
        }
        for kind in [Listener, Route, VirtualHost] {
            if let Some(plan) = self.plan(kind, target, now, plan::Part::Everything) {
                return Next::Send(plan);
            }
        }
        if !self.settled(&[Listener, Route, VirtualHost], plan::Part::Everything, target) {
            return Next::Idle;
        }
        for kind in [NameTable, Endpoints, Cluster] {
            if let Some(plan) = self.plan(kind, target, now, plan::Part::Everything) {
                return Next::Send(plan);
            }
        }
        Next::Idle
    }

    /// Owes what changed since the last look. Most looks find the snapshot that the one before saw.
    fn catch_up(&mut self, target: &Arc<S>) {
        if self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, target)) {
            return;
        }
        if let Some(base) = self.base.replace(target.clone()) {
            for state in &mut self.types {
                state.catch_up(base.as_ref(), target.as_ref());
            }
        }
    }

    fn plan(&mut self, kind: ResourceType, target: &Arc<S>, now: Instant, part: plan::Part) -> Option<Plan> {
        let nonce = self.responses + 1;
        let plan = self.types[kind.index()].plan(target.as_ref(), part, nonce, self.limits.response_bytes)?;
        self.responses = nonce;
        if kind == ResourceType::Cluster {
            let endpoints = &mut self.types[ResourceType::Endpoints.index()];
            self.hold.sent_clusters(&plan, target.as_ref(), endpoints, now + self.limits.hold);
            if self.resend_endpoints {
                endpoints.owe_again(&plan.send);
            }
        }
        Some(plan)
    }

    /// Nothing of these types is in flight, and nothing of this part is left to send.
    fn settled(&self, kinds: &[ResourceType], part: plan::Part, target: &Arc<S>) -> bool {
        kinds.iter().all(|kind| self.types[kind.index()].settled(part, target.as_ref()))
    }

    /// Whether the client has answered everything that this snapshot has for it: nothing is owed, nothing in flight.
    pub fn is_settled(&self, target: &Arc<S>) -> bool {
        self.types.iter().all(|state| !state.owes() && state.settled(plan::Part::Everything, target.as_ref()))
    }

    /// Whether the client wants a resource and was sent the version of this snapshot: what `proxy-status` calls synced.
    pub fn is_synced(&self, kind: ResourceType, target: &Arc<S>) -> bool {
        let current = self.base.as_ref().is_some_and(|base| Arc::ptr_eq(base, target));
        current && self.types[kind.index()].is_at_rest()
    }

    /// Whether anything of this type was ever asked for.
    pub fn is_subscribed(&self, kind: ResourceType) -> bool {
        self.types[kind.index()].is_subscribed()
    }

    /// Whether this resource is subscribed to.
    pub fn wants(&self, kind: ResourceType, name: &str) -> bool {
        self.types[kind.index()].wants(name)
    }

    /// Nonces of the last response sent and of the last one acknowledged.
    pub fn nonces(&self, kind: ResourceType) -> (u64, u64) {
        self.types[kind.index()].nonces()
    }
}
