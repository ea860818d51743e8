//! A mesh made of names and versions, and the two ends of a stream as a test drives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prost::Message as _;
use xds::server::{Plan, Snapshot};
use xds::{ResourceType, wire};

/// A snapshot that compares itself in full.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(pub(crate) BTreeMap<(ResourceType, Arc<str>), u64>);

impl World {
    pub(crate) fn of(resources: &[(ResourceType, &str, u64)]) -> Arc<Self> {
        Arc::new(Self(
            resources.iter().map(|(kind, name, version)| ((*kind, (*name).into()), *version)).collect(),
        ))
    }

    pub(crate) fn with(&self, kind: ResourceType, name: &str, version: u64) -> Arc<Self> {
        let mut next = self.clone();
        next.0.insert((kind, name.into()), version);
        Arc::new(next)
    }

    pub(crate) fn without(&self, kind: ResourceType, name: &str) -> Arc<Self> {
        let mut next = self.clone();
        next.0.remove(&(kind, name.into()));
        Arc::new(next)
    }
}

impl Snapshot for World {
    fn version(&self, kind: ResourceType, name: &str) -> Option<u64> {
        self.0.get(&(kind, name.into())).copied()
    }

    fn size(&self, _: ResourceType, _: &str) -> usize {
        100
    }

    fn names(&self, kind: ResourceType, prefix: &str) -> Vec<Arc<str>> {
        let mine = self.0.keys().filter(|(one, name)| *one == kind && name.starts_with(prefix));
        mine.map(|(_, name)| name.clone()).collect()
    }

    fn changed_since(&self, base: &Self, kind: ResourceType) -> Vec<Arc<str>> {
        let mut names = self.names(kind, "");
        names.extend(base.names(kind, ""));
        names.retain(|name| self.version(kind, name) != base.version(kind, name));
        names
    }
}

/// Turns a plan into the response that travels.
pub(crate) fn response(plan: &Plan, world: &World) -> DeltaDiscoveryResponse {
    let nonce = plan.nonce_text();
    let resources = plan.send.iter().map(|name| wire::Resource {
        name,
        version: world.version(plan.kind, name).unwrap(),
        body: name.as_bytes(),
    });
    let response = wire::Response {
        kind: plan.kind,
        nonce: &nonce,
        resources,
        removed: &plan.remove,
        control_plane: &[],
    };
    let mut out = Vec::new();
    response.write(&mut out);
    DeltaDiscoveryResponse::decode(out.as_slice()).unwrap()
}

pub(crate) fn ask(kind: ResourceType, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn ack(plan: &Plan) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: plan.kind.url().into(),
        response_nonce: plan.nonce_text(),
        ..Default::default()
    }
}

/// A version as the wire shows it.
pub(crate) fn v(version: u64) -> String {
    wire::version_text(version)
}
