//! Proxies tell each other by header which workload they stand before.
//!
//! The headers are Istio's: `x-envoy-peer-metadata` holds a protobuf Struct in base64, `x-envoy-peer-metadata-id` the
//! node's id. Read once and remembered, since a peer always says the same.

use std::{collections::VecDeque, rc::Rc};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use envoy_types::pb::google::protobuf::Struct;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;

use super::{
    intern::FastMap,
    workload::{LocalWorkload, Peer},
};
use crate::snapshot::{
    Cluster,
    cluster::{Endpoint, EndpointMetadata},
};

const METADATA: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");
const ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");

/// The headers of the exchange.
pub const PEER_METADATA_HEADERS: [HeaderName; 2] = [METADATA, ID];

/// Bytes that a peer may say of itself; ours are some hundred.
const LONGEST: usize = 8 * 1024;
/// Peers that a worker remembers.
const REMEMBERED: usize = 2048;
/// Peers that are looked for first.
const RECENT: usize = 4;

/// Istio writes with padding and reads without minding it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What we say of ourselves.
#[derive(Debug)]
pub(super) struct Introduction {
    id: Option<HeaderValue>,
    metadata: Option<HeaderValue>,
}

impl Introduction {
    pub(super) fn new(local: &LocalWorkload, node: &str) -> Self {
        let metadata = STANDARD.encode(sorted_bytes(&local.to_struct()));
        Self { id: HeaderValue::from_str(node).ok(), metadata: HeaderValue::from_str(&metadata).ok() }
    }

    pub(super) fn insert(&self, headers: &mut HeaderMap) {
        if let (Some(id), Some(metadata)) = (&self.id, &self.metadata) {
            headers.insert(ID, id.clone());
            headers.insert(METADATA, metadata.clone());
        }
    }
}

/// The message with its fields in order, so that all workers say the same bytes.
fn sorted_bytes(message: &Struct) -> Vec<u8> {
    let mut keys: Vec<_> = message.fields.keys().collect();
    keys.sort_unstable();
    let mut bytes = Vec::new();
    for key in keys {
        let one = Struct { fields: [(key.clone(), message.fields[key].clone())].into() };
        // Maps are repeated fields: messages of one entry each add up to the whole.
        bytes.extend(one.encode_to_vec());
    }
    bytes
}

/// Removes the headers.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(METADATA);
    headers.remove(ID);
}

/// Whether the cluster's endpoints are of the mesh, so that they may know who we are.
pub(super) fn stays_in_mesh(cluster: &Cluster) -> bool {
    !cluster.origin().external && &*cluster.name != "PassthroughCluster"
}

/// The peers that a worker knows.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    recent: VecDeque<(HeaderValue, Rc<Peer>)>,
    known: FastMap<Box<[u8]>, Rc<Peer>>,
    /// By metadata, which is kept alive so that its address stays its own.
    endpoints: FastMap<usize, (std::sync::Arc<EndpointMetadata>, Rc<Peer>)>,
}

impl Exchange {
    /// Reads and removes the headers.
    pub(super) fn take(&mut self, headers: &mut HeaderMap) -> Option<Rc<Peer>> {
        let value = headers.remove(METADATA);
        let id = headers.remove(ID);
        let value = value.filter(|value| id.is_some() || !value.is_empty())?;
        if let Some((_, peer)) = self.recent.iter().find(|(recent, _)| *recent == value) {
            return Some(peer.clone());
        }
        let peer = self.read(value.as_bytes())?;
        self.recent.truncate(RECENT - 1);
        self.recent.push_front((value, peer.clone()));
        Some(peer)
    }

    fn read(&mut self, value: &[u8]) -> Option<Rc<Peer>> {
        if let Some(peer) = self.known.get(value) {
            return Some(peer.clone());
        }
        if value.len() > LONGEST {
            return None;
        }
        let message = Struct::decode(LENIENT.decode(value).ok()?.as_slice()).ok()?;
        let peer = Rc::new(Peer::from_struct(&message));
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(value.into(), peer.clone());
        Some(peer)
    }

    /// The endpoint's workload, as the control plane tells.
    pub(super) fn of_endpoint(&mut self, endpoint: &Endpoint) -> Option<Rc<Peer>> {
        let metadata = &endpoint.metadata;
        let workload = metadata.workload.as_ref()?;
        let key = std::sync::Arc::as_ptr(metadata) as usize;
        if let Some((_, peer)) = self.endpoints.get(&key) {
            return Some(peer.clone());
        }
        if self.endpoints.len() >= REMEMBERED {
            self.endpoints.clear();
        }
        let peer = Rc::new(Peer::from(workload));
        self.endpoints.insert(key, (metadata.clone(), peer.clone()));
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> LocalWorkload {
        LocalWorkload {
            workload: Peer {
                workload: "productpage-v1".into(),
                namespace: "default".into(),
                canonical_name: "productpage".into(),
                canonical_revision: "v1".into(),
                app: "productpage".into(),
                version: "v1".into(),
                cluster: "Kubernetes".into(),
            },
            instance: "productpage-v1-0".into(),
            owner: "kubernetes://apis/apps/v1/namespaces/default/deployments/productpage-v1".into(),
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn what_we_say_is_what_a_peer_reads() {
        let mut headers = HeaderMap::new();
        Introduction::new(&local(), "sidecar~10.0.0.1~a.b~b.svc").insert(&mut headers);
        assert_eq!(headers[ID], "sidecar~10.0.0.1~a.b~b.svc");
        let mut exchange = Exchange::default();
        let peer = exchange.take(&mut headers.clone()).unwrap();
        assert_eq!(*peer, local().workload);
        assert!(Rc::ptr_eq(&peer, &exchange.take(&mut headers).unwrap()), "read once");
        assert!(headers.is_empty(), "goes no further");
    }

    #[test]
    fn what_istio_says_is_read() {
        // Without padding, as some versions write it: {"NAMESPACE":"ns","WORKLOAD_NAME":"w"}.
        let mut bytes = Vec::new();
        for (key, text) in [("NAMESPACE", "ns"), ("WORKLOAD_NAME", "w")] {
            let value = envoy_types::pb::google::protobuf::Value {
                kind: Some(envoy_types::pb::google::protobuf::value::Kind::StringValue(text.into())),
            };
            bytes.extend(Struct { fields: [(key.to_owned(), value)].into() }.encode_to_vec());
        }
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
        let mut headers = HeaderMap::new();
        headers.insert(METADATA, text.parse().unwrap());
        let peer = Exchange::default().take(&mut headers).unwrap();
        assert_eq!((&*peer.namespace, &*peer.workload, &*peer.app), ("ns", "w", ""));
    }

    #[test]
    fn nonsense_is_nobody() {
        let long = "A".repeat(LONGEST + 4);
        for value in ["", "!!!", "AAAA", "/////w==", &long] {
            let mut headers = HeaderMap::new();
            headers.insert(METADATA, value.parse().unwrap());
            assert!(Exchange::default().take(&mut headers).is_none(), "{value:?}");
            assert!(headers.is_empty());
        }
    }
}
