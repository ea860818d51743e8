//! Names by which apps address a service in the `Host` header.

use ipnet::IpNet;
use model::Service;

use crate::context::Context;

/// All names and addresses of a service that a client may use: `reviews`, `reviews.shop`, `reviews.shop.svc`, the full
/// name with and without the dot of absolute names, and its addresses. A name that means another service to this client
/// is left out, because route configurations must not name a domain twice. Ports are ignored in matching.
pub(super) fn domains(context: &Context<'_>, service: &Service, port: u16) -> Vec<String> {
    let host = &*service.key.host;
    let mut domains = vec![host.to_owned()];
    domains.extend(
        short(host, &context.view.dns_domain).into_iter().filter(|name| !is_taken(context, name, port)),
    );
    if service.is_headless() {
        let pods: Vec<String> = domains.iter().map(|domain| format!("*.{domain}")).collect();
        domains.extend(pods);
    }
    let absolute = format!("{host}.");
    let named = host.parse::<std::net::IpAddr>().is_err() && !model::is_wildcard(host);
    if named && !is_taken(context, &absolute, port) {
        domains.push(absolute);
    }
    let single = context.view.single_addresses(service);
    domains.extend(single.filter(|net| owns(context, service, port, *net)).map(bracketed));
    domains
}

/// Short forms of a Kubernetes host name, as seen by a client with this DNS suffix.
fn short(host: &str, dns_domain: &str) -> Vec<String> {
    let Some((client_namespace, cluster)) = dns_domain.split_once(".svc.") else { return Vec::new() };
    let Some(local) = host.strip_suffix(cluster).and_then(|rest| rest.strip_suffix(".svc.")) else {
        return Vec::new();
    };
    let mut names = vec![local.to_owned(), format!("{local}.svc")];
    if let Some((name, namespace)) = local.split_once('.')
        && namespace == client_namespace
    {
        names.insert(0, name.to_owned());
    }
    names
}

/// Whether a short name is some service's full name, or a VirtualService speaks for it as a host of its own.
fn is_taken(context: &Context<'_>, name: &str, port: u16) -> bool {
    (context.mesh.foreign_hosts.contains_key(name) && context.scope.service(name).is_some())
        || super::other::speaks(context, name, port)
}

/// Of several services with one address, the first counts.
fn owns(context: &Context<'_>, service: &Service, port: u16, net: IpNet) -> bool {
    let others = context.mesh.services_at.get(&net).into_iter().flatten();
    let first = others
        .filter_map(|key| context.mesh.services.get(key))
        .find(|other| other.port(port).is_some() && context.scope.sees(other, Some(port)));
    first.is_none_or(|first| first.key == service.key)
}

fn bracketed(net: IpNet) -> String {
    match net {
        IpNet::V4(net) => net.addr().to_string(),
        IpNet::V6(net) => format!("[{}]", net.addr()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_depend_on_the_clients_namespace() {
        let host = "reviews.shop.svc.cluster.local";
        assert_eq!(short(host, "shop.svc.cluster.local"), ["reviews", "reviews.shop", "reviews.shop.svc"]);
        assert_eq!(short(host, "other.svc.cluster.local"), ["reviews.shop", "reviews.shop.svc"]);
        assert!(short("example.com", "shop.svc.cluster.local").is_empty());
        assert!(short(host, "").is_empty());
    }
}
