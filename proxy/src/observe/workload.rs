//! Workloads as metrics name them: our own and those at the other end.

use std::sync::Arc;

use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};

use crate::{bootstrap::NodeIdentity, snapshot::cluster::Workload};

const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// The workload that we stand before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalWorkload {
    /// What peers are told of it.
    pub workload: Peer,
    /// The pod's name.
    pub instance: Arc<str>,
    /// `OWNER` of the node's metadata.
    pub owner: Arc<str>,
    /// Our version, for `istio_build`.
    pub version: Arc<str>,
}

impl LocalWorkload {
    /// As the node's metadata tells.
    pub fn of(node: &NodeIdentity) -> Self {
        let text = |key| node.text(key).unwrap_or_default().into();
        let label = |key| node.label(key).unwrap_or_default().into();
        let workload = Peer {
            workload: text("WORKLOAD_NAME"),
            namespace: text("NAMESPACE"),
            canonical_name: label(CANONICAL_NAME),
            canonical_revision: label(CANONICAL_REVISION),
            app: label("app"),
            version: label("version"),
            cluster: text("CLUSTER_ID"),
        };
        Self { workload, instance: text("NAME"), owner: text("OWNER"), version: text("ISTIO_VERSION") }
    }

    /// As Istio's proxies tell each other.
    pub(super) fn to_struct(&self) -> Struct {
        let string = |text: &Arc<str>| Value { kind: Some(Kind::StringValue(text.to_string())) };
        let fields = |pairs: &[(&str, &Arc<str>)]| Struct {
            fields: pairs
                .iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(key, text)| ((*key).to_owned(), string(text)))
                .collect(),
        };
        let workload = &self.workload;
        let labels = fields(&[
            (CANONICAL_NAME, &workload.canonical_name),
            (CANONICAL_REVISION, &workload.canonical_revision),
            ("app", &workload.app),
            ("version", &workload.version),
        ]);
        let mut whole = fields(&[
            ("NAME", &self.instance),
            ("NAMESPACE", &workload.namespace),
            ("WORKLOAD_NAME", &workload.workload),
            ("CLUSTER_ID", &workload.cluster),
            ("OWNER", &self.owner),
        ]);
        whole.fields.insert("LABELS".into(), Value { kind: Some(Kind::StructValue(labels)) });
        whole
    }
}

/// A workload. Empty texts are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Peer {
    /// The Deployment's (or other owner's) name.
    pub workload: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The service it belongs to.
    pub canonical_name: Arc<str>,
    /// Its version in that service.
    pub canonical_revision: Arc<str>,
    /// Label `app`.
    pub app: Arc<str>,
    /// Label `version`.
    pub version: Arc<str>,
    /// The cluster it runs in.
    pub cluster: Arc<str>,
}

impl Peer {
    pub(super) fn from_struct(whole: &Struct) -> Self {
        let text = |of: &Struct, key: &str| -> Arc<str> {
            match of.fields.get(key).and_then(|value| value.kind.as_ref()) {
                Some(Kind::StringValue(text)) => text.as_str().into(),
                _ => Arc::default(),
            }
        };
        let none = Struct::default();
        let labels = match whole.fields.get("LABELS").and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(labels)) => labels,
            _ => &none,
        };
        Self {
            workload: text(whole, "WORKLOAD_NAME"),
            namespace: text(whole, "NAMESPACE"),
            canonical_name: text(labels, CANONICAL_NAME),
            canonical_revision: text(labels, CANONICAL_REVISION),
            app: text(labels, "app"),
            version: text(labels, "version"),
            cluster: text(whole, "CLUSTER_ID"),
        }
    }
}

impl From<&Workload> for Peer {
    fn from(workload: &Workload) -> Self {
        Self {
            workload: workload.name.clone(),
            namespace: workload.namespace.clone(),
            canonical_name: workload.canonical_name.clone(),
            canonical_revision: workload.canonical_revision.clone(),
            app: Arc::default(),
            version: Arc::default(),
            cluster: workload.cluster.clone(),
        }
    }
}
