//! Who a proxy says it is: its node id and metadata, as it sends them on its stream.

use std::collections::BTreeMap;

use crds::mesh_config::ProxyConfig;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use model::{Labels, Locality, NamespacedName, intern};
use xds::names::{NameError, NodeId, parse_bool};

use crate::proto::core;

/// What kind of client it is, and so what it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// A proxy of ours: virtual hosts one by one, ALPN chosen by the proxy.
    Trysail,
    /// A stock Envoy: none of Istio's extensions.
    Envoy,
}

/// How traffic reaches the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interception {
    /// Redirected, with a changed destination.
    #[default]
    Redirect,
    /// Redirected with source and destination kept.
    Transparent,
    /// Not at all: the proxy binds its ports itself.
    None,
}

/// A proxy, as it introduced itself.
#[derive(Clone, Debug)]
pub struct ProxyNode {
    /// Role, address, pod, namespace.
    pub id: NodeId,
    /// Kind of client.
    pub client: Client,
    /// Labels by its own account; those of its pod count if we know it.
    pub labels: Labels,
    /// Locality by its own account, likewise.
    pub locality: Locality,
    /// How traffic reaches it.
    pub interception: Interception,
    /// Whether the mesh resolves names for its apps (`ISTIO_META_DNS_CAPTURE`).
    pub dns_capture: bool,
    /// Its own settings, over the mesh's.
    pub config: ProxyConfig,
}

/// `user_agent_name` of our own proxies.
const TRYSAIL: &str = "trysail";

impl ProxyNode {
    /// From the node of a discovery request.
    pub fn from_envoy(node: &core::Node) -> Result<Self, NameError> {
        let id: NodeId = node.id.parse()?;
        let metadata = Metadata(node.metadata.as_ref());
        let locality = node.locality.as_ref().map_or_else(Locality::default, |locality| Locality {
            region: intern(&locality.region),
            zone: intern(&locality.zone),
            subzone: intern(&locality.sub_zone),
        });
        Ok(Self {
            client: if node.user_agent_name == TRYSAIL { Client::Trysail } else { Client::Envoy },
            labels: Labels::new(metadata.strings("LABELS")),
            locality,
            interception: match metadata.text("INTERCEPTION_MODE") {
                Some("TPROXY") => Interception::Transparent,
                Some("NONE") => Interception::None,
                _ => Interception::Redirect,
            },
            dns_capture: metadata.text("DNS_CAPTURE").and_then(parse_bool) == Some(true),
            // Broken settings of one proxy are its own loss; the mesh's apply.
            config: metadata
                .get("PROXY_CONFIG")
                .map(to_json)
                .and_then(|value| serde_json::from_value(value).ok())
                .unwrap_or_default(),
            id,
        })
    }

    /// Its pod's name.
    pub fn instance(&self) -> NamespacedName {
        NamespacedName::new(&self.id.namespace, &self.id.pod)
    }
}

/// Read access to a node's metadata.
struct Metadata<'a>(Option<&'a Struct>);

impl<'a> Metadata<'a> {
    fn get(&self, key: &str) -> Option<&'a Kind> {
        self.0?.fields.get(key)?.kind.as_ref()
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            Kind::StringValue(text) => Some(text),
            _ => None,
        }
    }

    fn strings(&self, key: &str) -> BTreeMap<&'a str, &'a str> {
        let Some(Kind::StructValue(fields)) = self.get(key) else { return BTreeMap::new() };
        let text = |value: &'a Value| match &value.kind {
            Some(Kind::StringValue(text)) => Some(text.as_str()),
            _ => None,
        };
        fields.fields.iter().filter_map(|(key, value)| Some((key.as_str(), text(value)?))).collect()
    }
}

fn to_json(kind: &Kind) -> serde_json::Value {
    let inner = |value: &Value| value.kind.as_ref().map_or(serde_json::Value::Null, to_json);
    match kind {
        Kind::NullValue(_) => serde_json::Value::Null,
        // Whole numbers stay whole: fields of type int do not read 2.0.
        #[expect(clippy::float_cmp, reason = "asks whether the number is whole")]
        Kind::NumberValue(number) if number.trunc() == *number && number.abs() < 9e15 => {
            (*number as i64).into()
        }
        Kind::NumberValue(number) => (*number).into(),
        Kind::StringValue(text) => text.clone().into(),
        Kind::BoolValue(flag) => (*flag).into(),
        Kind::StructValue(fields) => {
            fields.fields.iter().map(|(key, value)| (key.clone(), inner(value))).collect()
        }
        Kind::ListValue(list) => list.values.iter().map(inner).collect(),
    }
}
