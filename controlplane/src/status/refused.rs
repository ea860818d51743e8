//! Whose fault a refusal is: a proxy names resources, a person wrote objects. Pure.

use model::{Key, Kind, Mesh, host_matches};
use xds::ResourceType;
use xds::names::{self, ClusterName};

use crate::ads::Refusal;

/// Whether an object may have a part in what was refused. A refusal that names no resource concerns every object of a kind
/// that such resources are made from.
pub(super) fn concerns(mesh: &Mesh, key: &Key, refusal: &Refusal) -> bool {
    let fits = shapes(key.kind, refusal.kind);
    fits && (refusal.names.is_empty()
        || refusal.names.iter().any(|name| names_object(mesh, key, refusal.kind, name)))
}

/// Whether resources of a type are made from objects of a kind.
fn shapes(kind: Kind, resource: ResourceType) -> bool {
    use ResourceType::{Cluster, Endpoints, Listener, NameTable, Route, Secret, VirtualHost};
    match kind {
        Kind::VirtualService => matches!(resource, Route | VirtualHost | Listener),
        Kind::DestinationRule => matches!(resource, Cluster | Endpoints | VirtualHost | Route),
        Kind::Gateway => matches!(resource, Listener | Route | VirtualHost | Secret),
        Kind::ServiceEntry => {
            matches!(resource, Cluster | Endpoints | Listener | VirtualHost | Route | NameTable)
        }
        Kind::WorkloadEntry => resource == Endpoints,
        Kind::PeerAuthentication => matches!(resource, Listener | Cluster | Endpoints),
        _ => true,
    }
}

fn names_object(mesh: &Mesh, key: &Key, resource: ResourceType, name: &str) -> bool {
    let Some(host) = host_of(resource, name) else {
        // Listeners and whole route configurations belong to a port, not to a host.
        return key.kind != Kind::PeerAuthentication || name == names::VIRTUAL_INBOUND;
    };
    let covers = |written: &str| host_matches(written, host) || host_matches(host, written);
    match key.kind {
        Kind::VirtualService => {
            let service = mesh.virtual_services.get(&key.name);
            // Rules of a delegate are in its roots' virtual hosts.
            service.is_some_and(|one| one.hosts.is_empty() || one.hosts.iter().any(|host| covers(host)))
        }
        Kind::DestinationRule => {
            let rules = mesh.destination_rules.get(&key.name.namespace).into_iter().flatten();
            let own = |rule: &model::config::MergedRule| rule.sources.contains(&key.name);
            rules.flat_map(|(_, list)| list.iter()).any(|rule| own(rule) && covers(&rule.host))
        }
        Kind::ServiceEntry => {
            let services = mesh.services.values();
            let own =
                |one: &model::Service| one.key.namespace == key.name.namespace && one.name == key.name.name;
            services.filter(|one| own(one)).any(|one| covers(&one.key.host))
        }
        _ => true,
    }
}

/// The host that a resource is about, where its name says so.
fn host_of(resource: ResourceType, name: &str) -> Option<&str> {
    match resource {
        ResourceType::Cluster | ResourceType::Endpoints => {
            ClusterName::parse(name).ok().map(|name| name.host)
        }
        ResourceType::VirtualHost => {
            let (_, virtual_host) = names::parse_virtual_host_resource(name).ok()?;
            virtual_host.rsplit_once(':').map(|(host, _)| host)
        }
        ResourceType::NameTable => Some(name),
        ResourceType::Listener | ResourceType::Route | ResourceType::Secret => None,
    }
}
