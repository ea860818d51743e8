//! Names: which service the app means, and whom a request's authority leads to on a port.

use std::net::IpAddr;
use std::sync::Arc;

use model::config::VirtualService;
use model::{Protocol, Registry, Service, Text, is_wildcard};

use crate::evaluator::View;
use crate::unanswerable::Unanswerable;

/// The kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Full,
    Short,
    Absolute,
    Pod,
    Address,
    Wildcard,
}

impl Name {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Full => "its full name",
            Self::Short => "a short name of it",
            Self::Absolute => "its full name with a dot",
            Self::Pod => "the name of a pod of it",
            Self::Address => "its address",
            Self::Wildcard => "a wildcard that covers it",
        }
    }
}

/// Whom a virtual host is for.
pub(crate) enum Owner<'a> {
    Service(&'a Arc<Service>),
    /// A host of VirtualServices that no service has.
    Other(Text),
}

/// Names of a service, as a workload of a namespace may write them.
pub(crate) fn names(service: &Service, namespace: &str, domain: &str) -> Vec<(String, Name)> {
    let host = service.key.host.to_string();
    let full = if is_wildcard(&host) { Name::Wildcard } else { Name::Full };
    let mut all = vec![(host.clone(), full)];
    if let Some(local) = host.strip_suffix(&format!(".svc.{domain}")) {
        if let Some((name, of)) = local.split_once('.')
            && of == namespace
        {
            all.push((name.to_owned(), Name::Short));
        }
        all.push((local.to_owned(), Name::Short));
        all.push((format!("{local}.svc"), Name::Short));
    }
    if service.is_headless() {
        let pods: Vec<_> = all.iter().map(|(name, _)| (format!("*.{name}"), Name::Pod)).collect();
        all.extend(pods);
    }
    if full == Name::Full && host.parse::<IpAddr>().is_err() {
        all.push((format!("{host}."), Name::Absolute));
    }
    all.extend(addresses(service).map(|ip| (written(ip), Name::Address)));
    all
}

/// Addresses of a service that are not ranges.
pub(crate) fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    service.addresses.iter().filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr())
}

fn written(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// An authority without its port, in lower case.
fn host_part(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    };
    host.to_ascii_lowercase()
}

/// Whether a pattern, which may begin with a star, takes a name. The star stands for at least one character.
pub(crate) fn takes(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(rest) => name.len() > rest.len() && name.ends_with(rest),
        None => pattern == name,
    }
}

fn carries_http(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| port.protocol.is_http() || port.protocol == Protocol::Auto)
}

impl<'a> View<'a> {
    /// The service that the app connects to; none for hosts outside of the mesh's knowledge.
    pub(crate) fn connected(&self) -> Result<Option<(&'a Arc<Service>, Name)>, Unanswerable> {
        let host = self.request.host.to_ascii_lowercase();
        let port = self.request.port;
        let namespace = &*self.source.namespace;
        let mut found: Vec<(&'a Arc<Service>, Name)> = Vec::new();
        for service in self.mesh.services.values() {
            let names = names(service, namespace, &self.mesh.domain);
            found.extend(names.iter().find(|(name, _)| takes(name, &host)).map(|(_, kind)| (service, *kind)));
        }
        // The most literal name counts, then the service that has the port and is seen.
        let seen = |service: &Service| self.scope.sees(service, Some(port)) && self.scope.chooses(service);
        found.sort_by_key(|(service, kind)| {
            (matches!(kind, Name::Wildcard | Name::Pod), !seen(service), service.port(port).is_none())
        });
        let Some((service, kind)) = found.first().copied() else {
            return if self.looks_local(&host) { Err(self.unknown(&host)) } else { Ok(None) };
        };
        let name = || service.key.host.to_string();
        if service.port(port).is_none() {
            let ports: Vec<String> =
                service.ports.iter().map(|port| format!("{} ({})", port.number, port.name)).collect();
            let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
            return Err(Unanswerable::NoPort { service: name(), port, ports });
        }
        if !seen(service) {
            let (namespace, why) = (namespace.to_owned(), self.why_unseen(service));
            return Err(Unanswerable::NotVisible { service: name(), namespace, why });
        }
        if service.port(port).is_some_and(|port| port.protocol == Protocol::Udp) {
            return Err(Unanswerable::Datagrams { service: name(), port });
        }
        Ok(Some((service, kind)))
    }

    /// Whether a host could only be a service of the cluster, and isn't one that a VirtualService speaks for.
    fn looks_local(&self, host: &str) -> bool {
        let local = !host.contains('.')
            || host.rsplit_once('.').is_some_and(|(_, last)| last == "svc")
            || host.ends_with(&format!(".svc.{}", self.mesh.domain))
            || host.split_once('.').is_some_and(|(_, rest)| self.mesh.namespaces.contains_key(rest));
        local && host.parse::<IpAddr>().is_err() && self.owner(host).is_none()
    }

    fn unknown(&self, host: &str) -> Unanswerable {
        let namespace = &*self.source.namespace;
        let names: Vec<String> = self
            .mesh
            .services
            .values()
            .flat_map(|service| names(service, namespace, &self.mesh.domain))
            .filter(|(_, kind)| matches!(kind, Name::Full | Name::Short))
            .map(|(name, _)| name)
            .collect();
        // A name that is right but of another namespace is what people forget most.
        let elsewhere = names.iter().find(|name| {
            name.split_once('.').is_some_and(|(first, rest)| first == host && !rest.contains('.'))
        });
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let closest = elsewhere.map(String::as_str).or_else(|| crds::closest(host, &known));
        Unanswerable::UnknownHost {
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            closest: closest.map(str::to_owned),
        }
    }

    fn why_unseen(&self, service: &Service) -> String {
        let by = match service.registry {
            Registry::Kubernetes => {
                format!("the annotation networking.istio.io/exportTo of Service {}", service.name)
            }
            Registry::ServiceEntry => format!("exportTo of ServiceEntry {}", service.name),
        };
        if !self.mesh.discovers(&service.key.namespace) {
            return format!("discoverySelectors of the mesh leave out namespace {}", service.key.namespace);
        }
        if !self.mesh.is_service_exported(service, &self.source.namespace) {
            return match service.export_to {
                Some(_) => format!("{by} in {} leaves it out", service.key.namespace),
                None => "defaultServiceExportTo of the mesh leaves it out".to_owned(),
            };
        }
        match self.scope.sidecar() {
            Some(sidecar) if !self.scope.sees(service, Some(self.request.port)) => {
                format!(
                    "no egress host of Sidecar {} covers it on port {}",
                    sidecar.meta.name, self.request.port
                )
            }
            _ => format!(
                "a service of the same name in another namespace counts instead; {} is hidden by it",
                service.key
            ),
        }
    }

    /// Whom an authority leads to among the services and VirtualServices of the request's port, by which name.
    pub(crate) fn owner(&self, authority: &str) -> Option<(Owner<'a>, String, Name)> {
        let port = self.request.port;
        let host = host_part(authority);
        let mut found: Vec<(Owner<'a>, String, Name)> = Vec::new();
        for service in self.mesh.services.values().filter(|service| self.routes_to(service, port)) {
            for (name, kind) in names(service, &self.source.namespace, &self.mesh.domain) {
                if takes(&name, &host) {
                    found.push((Owner::Service(service), name, kind));
                }
            }
        }
        for (name, kind) in self.others(&host) {
            found.push((Owner::Other(name.clone()), name.to_string(), kind));
        }
        // A longer name is more particular; what an object calls itself counts more than what follows from it.
        let derived = |kind: Name| !matches!(kind, Name::Full | Name::Wildcard);
        found.into_iter().min_by_key(|(owner, name, kind)| {
            let (age, key) = match owner {
                Owner::Service(service) => (service.created, service.key.host.clone()),
                Owner::Other(host) => (0, host.clone()),
            };
            let age = if *kind == Name::Address { 0 } else { age };
            (is_wildcard(name), std::cmp::Reverse(name.len()), derived(*kind), age, key)
        })
    }

    /// Whether requests on a port may be for a service.
    pub(crate) fn routes_to(&self, service: &Service, port: u16) -> bool {
        carries_http(service, port) && self.scope.sees(service, Some(port)) && self.scope.chooses(service)
    }
}

/// Whether a VirtualService says how its hosts are to be reached by sidecars that see it.
pub(crate) fn is_visible(view: &View<'_>, service: &VirtualService) -> bool {
    view.scope.sees_routes(service)
}
