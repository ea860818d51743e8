//! Gateway.

use crds::networking::{GatewaySpec, Server};

use crate::value::{Labels, Meta, Text, host_matches, intern};

/// Ports of gateway proxies and the hosts served there.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Identity and age.
    pub meta: Meta,
    /// Labels of the proxies that serve it.
    pub selector: Labels,
    /// Its servers.
    pub servers: Vec<Server>,
}

impl Gateway {
    /// From its spec.
    pub fn new(meta: Meta, spec: GatewaySpec) -> Self {
        Self { selector: Labels::new(&spec.selector), servers: spec.servers, meta }
    }

    /// Hosts of one of its servers.
    pub fn hosts_of(&self, server: &Server) -> Vec<ServerHost> {
        server.hosts.iter().map(|host| ServerHost::parse(host, &self.meta.name.namespace)).collect()
    }
}

/// A host of a server: `host`, `namespace/host`, `./host`, `*/host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHost {
    /// Namespace that routes must come from; none means any.
    pub namespace: Option<Text>,
    /// Host or wildcard, in lower case.
    pub host: Text,
}

impl ServerHost {
    fn parse(written: &str, own: &str) -> Self {
        let (namespace, host) = match written.split_once('/') {
            None | Some(("*", _)) => (None, written.rsplit('/').next().unwrap_or_default()),
            Some((".", host)) => (Some(intern(own)), host),
            Some((namespace, host)) => (Some(intern(namespace)), host),
        };
        Self { namespace, host: intern(&host.to_ascii_lowercase()) }
    }

    /// The part of a route's host that this server serves: the narrower of the two, if they overlap.
    pub fn common(&self, route_host: &Text, route_namespace: &str) -> Option<Text> {
        if self.namespace.as_ref().is_some_and(|namespace| **namespace != *route_namespace) {
            None
        } else if host_matches(&self.host, route_host) {
            Some(route_host.clone())
        } else if host_matches(route_host, &self.host) {
            Some(self.host.clone())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_serve_what_overlaps() {
        for (server, route, namespace, expected) in [
            ("*", "a.com", "x", Some("a.com")),
            ("a.com", "*", "x", Some("a.com")),
            ("*.com", "a.com", "x", Some("a.com")),
            ("b.com", "a.com", "x", None),
            ("x/*", "a.com", "x", Some("a.com")),
            ("y/*", "a.com", "x", None),
            ("./*", "a.com", "own", Some("a.com")),
            ("*/a.com", "a.com", "x", Some("a.com")),
            ("*.a.com", "*.com", "x", Some("*.a.com")),
        ] {
            let common = ServerHost::parse(server, "own").common(&intern(route), namespace);
            assert_eq!(common.as_deref(), expected, "{server} {route} {namespace}");
        }
    }
}
