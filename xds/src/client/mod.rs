//! The proxy's end of a delta stream.
//!
//! In: interest in resources ([`DeltaClient::subscribe`]), responses ([`DeltaClient::receive`]) and what became of them
//! ([`DeltaClient::settle`]). Out: requests to send ([`DeltaClient::poll_request`]).
//! Interest and held versions outlive a stream: after [`DeltaClient::connected`] the first requests tell the new server what
//! is already held, and nothing is sent twice.

mod interest;
mod update;

use std::collections::{BTreeMap, VecDeque};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status;

use interest::Interest;
pub use update::{Changed, Receipt, Rejected, Update};

/// gRPC's code for a bad resource, which is what a NACK carries.
const INVALID_ARGUMENT: i32 = 3;
/// A NACK's text is for people; a thousand bad resources need not all be in it.
const MAX_NACK_TEXT: usize = 4096;

/// A response that cannot belong to this stream. It is safe to ignore it; a peer that keeps sending them is not an xDS server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The type was never subscribed to.
    #[error("the server sent resources of type {0:?}, which nobody asked for")]
    UnexpectedType(String),
}

/// State of one client over all of its streams.
#[derive(Debug)]
pub struct DeltaClient {
    node: Node,
    types: BTreeMap<&'static str, Interest>,
    /// Counts streams, so that an ACK never leaves on another stream than its response came from.
    stream: u64,
    open: bool,
    introduced: bool,
    acks: VecDeque<DeltaDiscoveryRequest>,
}

impl DeltaClient {
    /// A client that introduces itself as `node` and wants nothing yet.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            types: BTreeMap::new(),
            stream: 0,
            open: false,
            introduced: false,
            acks: VecDeque::new(),
        }
    }

    /// Replaces the node; servers hear of it on the next stream.
    pub fn set_node(&mut self, node: Node) {
        self.node = node;
    }

    /// Wants every resource of a type.
    pub fn subscribe_all(&mut self, type_url: &'static str) {
        self.types.entry(type_url).or_default().subscribe_all();
    }

    /// Wants a resource by name; `<prefix>/*` wants all whose names begin with `<prefix>/`.
    /// Wanting it again has the server send it again.
    pub fn subscribe(&mut self, type_url: &'static str, name: impl Into<String>) {
        self.types.entry(type_url).or_default().subscribe(name.into());
    }

    /// Wants it no longer; what is held of it is forgotten.
    pub fn unsubscribe(&mut self, type_url: &'static str, name: &str) {
        if let Some(interest) = self.types.get_mut(type_url) {
            interest.unsubscribe(name);
        }
    }

    /// A new stream is open; requests for everything wanted are due.
    pub fn connected(&mut self) {
        self.stream += 1;
        self.open = true;
        self.introduced = false;
        self.acks.clear();
        self.types.values_mut().for_each(Interest::restart);
    }

    /// The stream is gone; nothing is sent until [`Self::connected`].
    pub fn disconnected(&mut self) {
        self.open = false;
        self.acks.clear();
    }

    /// The next request to send, if one is due: what is newly wanted before what is acknowledged, so that a server never
    /// takes a client to be done that is about to ask for the routes of the listener that it acknowledges.
    pub fn poll_request(&mut self) -> Option<DeltaDiscoveryRequest> {
        if !self.open {
            return None;
        }
        let mut request = self.due_subscription().or_else(|| self.acks.pop_front())?;
        if !self.introduced {
            self.introduced = true;
            request.node = Some(self.node.clone());
        }
        Some(request)
    }

    /// Clusters before endpoints before listeners, so that a server may answer in the order of the requests.
    fn due_subscription(&mut self) -> Option<DeltaDiscoveryRequest> {
        let order =
            |url: &str| crate::ResourceType::from_url(url).map_or(usize::MAX, crate::ResourceType::index);
        let due = self.types.iter_mut().filter(|(_, interest)| interest.is_due());
        let (url, interest) = due.min_by_key(|(url, _)| order(url))?;
        Some(interest.request(url))
    }

    /// Takes a response apart. Apply the update, then call [`Self::settle`] with the receipt to acknowledge it.
    pub fn receive(&mut self, response: DeltaDiscoveryResponse) -> Result<(Update, Receipt), ClientError> {
        let Some((&type_url, interest)) = self.types.get_key_value(response.type_url.as_str()) else {
            return Err(ClientError::UnexpectedType(response.type_url));
        };
        Ok(update::split(type_url, self.stream, response, interest))
    }

    /// Records what was applied, and queues the ACK; or, if resources were rejected, a NACK that names each of them. The
    /// others count as applied.
    pub fn settle(&mut self, receipt: Receipt, rejected: &[Rejected]) {
        let Receipt { type_url, stream, nonce, versions, removed, rejected: unreadable } = receipt;
        let Some(interest) = self.types.get_mut(type_url) else { return };
        for (name, version) in versions {
            if !rejected.iter().any(|one| one.name == name) {
                interest.hold(name, version);
            }
        }
        for name in &removed {
            interest.forget(name);
        }
        if self.open && stream == self.stream {
            let error_detail = nack(unreadable.iter().chain(rejected));
            let type_url = type_url.to_owned();
            self.acks.push_back(DeltaDiscoveryRequest {
                type_url,
                response_nonce: nonce,
                error_detail,
                ..Default::default()
            });
        }
    }

    /// Names and versions held of a type.
    pub fn held(&self, type_url: &str) -> impl Iterator<Item = (&str, &str)> {
        self.types.get(type_url).into_iter().flat_map(Interest::held)
    }
}

fn nack<'a>(rejected: impl Iterator<Item = &'a Rejected>) -> Option<Status> {
    let mut message = String::new();
    for one in rejected {
        if message.len() > MAX_NACK_TEXT {
            message.push_str("; and more");
            break;
        }
        let separator = if message.is_empty() { "" } else { "; " };
        let reason: String = one.reason.chars().take(MAX_NACK_TEXT).collect();
        message.push_str(&format!("{separator}{}: {reason}", one.name));
    }
    (!message.is_empty()).then(|| Status { code: INVALID_ARGUMENT, message, details: Vec::new() })
}
