//! A view's resources as an `envoy.admin.v3.ConfigDump`, the way istiod answers `/debug/config_dump`.

use model::Endpoints;
use prost::Message as _;
use serde_json::{Map, Value, json};
use translate::{Resource, Resources};
use xds::json::{Spelling, any_to_json};
use xds::{NameInfo, NameTable, ResourceType};

/// Everything that proxies of the view are sent; keys are left out.
pub(super) fn config_dump(resources: &Resources) -> Value {
    let section = |kind: ResourceType, name: &str, list: &str, entry: fn(&Resource, Value) -> Value| {
        let entries = resources.iter(kind).map(|resource| entry(resource, printed(kind, resource)));
        json!({ "@type": format!("type.googleapis.com/envoy.admin.v3.{name}"), list: entries.collect::<Vec<_>>() })
    };
    let routes = resources.iter(ResourceType::Route).map(
        |route| json!({ "versionInfo": version(route), "routeConfig": with_virtual_hosts(route, resources) }),
    );
    json!({ "configs": [
        section(ResourceType::Cluster, "ClustersConfigDump", "dynamicActiveClusters", |resource, value| {
            json!({ "versionInfo": version(resource), "cluster": value })
        }),
        section(ResourceType::Listener, "ListenersConfigDump", "dynamicListeners", |resource, value| {
            json!({ "name": &*resource.name, "activeState": { "versionInfo": version(resource), "listener": value } })
        }),
        json!({
            "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
            "dynamicRouteConfigs": routes.collect::<Vec<_>>(),
        }),
        section(ResourceType::Endpoints, "EndpointsConfigDump", "dynamicEndpointConfigs", |resource, value| {
            json!({ "versionInfo": version(resource), "endpointConfig": value })
        }),
        section(ResourceType::Secret, "SecretsConfigDump", "dynamicActiveSecrets", |resource, value| {
            json!({ "name": &*resource.name, "versionInfo": version(resource), "secret": value })
        }),
    ]})
}

/// The names that proxies of the view answer for, as one `NameTable`, the way istiod answers `/debug/ndsz`.
pub(super) fn name_table(resources: &Resources) -> Value {
    let tables = resources.iter(ResourceType::NameTable);
    let entries = tables.flat_map(|one| NameTable::decode(&*one.body).unwrap_or_default().table);
    let entry =
        |(name, info): (String, NameInfo)| (name, json!({ "ips": info.ips, "registry": info.registry }));
    json!({ "table": entries.map(entry).collect::<Map<_, _>>() })
}

fn version(resource: &Resource) -> String {
    xds::wire::version_text(resource.version)
}

fn printed(kind: ResourceType, resource: &Resource) -> Value {
    let mut value = any_to_json(kind.url(), &resource.body, Spelling::Camel);
    if kind == ResourceType::Secret
        && let Some(key) = value.pointer_mut("/tlsCertificate/privateKey")
    {
        *key = json!({ "inlineString": "[redacted]" });
    }
    value
}

/// Proxies of ours get virtual hosts one by one; people look for them in their route.
fn with_virtual_hosts(route: &Resource, resources: &Resources) -> Value {
    let mut value = printed(ResourceType::Route, route);
    let prefix = format!("{}/", route.name);
    let hosts = resources.with_prefix(ResourceType::VirtualHost, &prefix);
    let mut hosts: Vec<Value> = hosts.map(|host| printed(ResourceType::VirtualHost, host)).collect();
    if !hosts.is_empty() {
        if let Some(Value::Array(own)) = value.get_mut("virtualHosts").map(Value::take) {
            hosts.splice(0..0, own);
        }
        value["virtualHosts"] = hosts.into();
    }
    value
}

/// Endpoints of one service, for `/debug/endpointz`.
pub(super) fn endpoints(endpoints: &Endpoints) -> Value {
    let group = |group: &std::sync::Arc<model::EndpointGroup>| {
        let ports: Map<_, _> =
            group.ports.iter().map(|(name, port)| (name.to_string(), (*port).into())).collect();
        let addresses = group.endpoints.iter().map(|endpoint| {
            let workload = endpoint.workload.as_ref().map(|workload| workload.instance.to_string());
            json!({ "address": endpoint.address.to_string(), "workload": workload, "mutualTls": endpoint.mutual_tls() })
        });
        json!({ "ports": ports, "endpoints": addresses.collect::<Vec<_>>() })
    };
    endpoints.groups.iter().map(group).collect::<Vec<_>>().into()
}
