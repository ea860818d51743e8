//! Names on the wire: made and parsed here and nowhere else.
//!
//! `translate` makes them, the proxy, the control plane's debug endpoints and `trysailctl` parse them.
//! All follow istiod's spelling, because dashboards, config dumps and people's habits depend on it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Type URLs of the resources that travel on ADS.
pub mod type_url {
    /// `envoy.config.cluster.v3.Cluster`
    pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`
    pub const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    /// `envoy.config.listener.v3.Listener`
    pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    /// `envoy.config.route.v3.RouteConfiguration`
    pub const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    /// `envoy.config.route.v3.VirtualHost`, one by one, as Trysail proxies take them
    pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`
    pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    /// `istio.networking.nds.v1.NameTable`, one name each, as Trysail proxies take them
    pub const NAME_TABLE: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";
}

/// Listener that takes all captured outbound connections and hands them to the listener of their destination.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// Listener that takes all captured inbound connections.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Where outbound traffic to unknown destinations goes under `ALLOW_ANY`.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// Where outbound traffic to unknown destinations goes under `REGISTRY_ONLY`: a cluster without endpoints.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";
/// Where inbound traffic to ports that no service declares goes.
pub const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// Secret with the workload's own certificate and key.
pub const SECRET_WORKLOAD: &str = "default";
/// Secret with the roots that peers are verified against.
pub const SECRET_ROOT: &str = "ROOTCA";
/// Prefix of secrets that are Kubernetes Secrets: `kubernetes://name` or `kubernetes://namespace/name`.
pub const SECRET_KUBERNETES: &str = "kubernetes://";
/// Suffix of the secret that holds only the CA certificate.
pub const SECRET_CA_SUFFIX: &str = "-cacert";

/// What Go's `strconv.ParseBool`, by which Istio reads its variables and metadata, makes of a text. None: neither.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Which way traffic goes, seen from the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the app behind this proxy.
    Outbound,
    /// To the app behind this proxy.
    Inbound,
}

impl Direction {
    /// As written in names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that does not have the expected shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not of the form {form}")]
pub struct NameError {
    /// What the name should have been of.
    pub kind: &'static str,
    /// The name as found.
    pub name: String,
    /// The form it should have.
    pub form: &'static str,
}

/// `outbound|9080|v1|reviews.default.svc.cluster.local`, `inbound|9080||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName<'a> {
    /// Which way.
    pub direction: Direction,
    /// Service port (outbound) or workload port (inbound).
    pub port: u16,
    /// Subset of a DestinationRule, or empty.
    pub subset: &'a str,
    /// Host name of the service; empty for inbound.
    pub host: &'a str,
}

impl<'a> ClusterName<'a> {
    /// The cluster of one port of a service, seen from its clients.
    pub fn outbound(port: u16, subset: &'a str, host: &'a str) -> Self {
        Self { direction: Direction::Outbound, port, subset, host }
    }

    /// The cluster of one port of the workload itself.
    pub fn inbound(port: u16) -> Self {
        Self { direction: Direction::Inbound, port, subset: "", host: "" }
    }

    /// Reads `direction|port|subset|host`.
    pub fn parse(name: &'a str) -> Result<Self, NameError> {
        Self::split(name, "|").ok_or_else(|| NameError {
            kind: "cluster",
            name: name.to_owned(),
            form: "direction|port|subset|host",
        })
    }

    /// The name a client puts into SNI when it speaks Istio's mutual TLS:
    /// `outbound_.9080_.v1_.reviews.default.svc.cluster.local`.
    pub fn sni(&self) -> String {
        format!("{}_.{}_.{}_.{}", self.direction, self.port, self.subset, self.host)
    }

    /// Reads what [`ClusterName::sni`] wrote.
    pub fn parse_sni(sni: &'a str) -> Result<Self, NameError> {
        Self::split(sni, "_.").ok_or_else(|| NameError {
            kind: "SNI",
            name: sni.to_owned(),
            form: "direction_.port_.subset_.host",
        })
    }

    fn split(name: &'a str, separator: &str) -> Option<Self> {
        let mut parts = name.splitn(4, separator);
        let direction = match parts.next()? {
            "outbound" => Direction::Outbound,
            "inbound" => Direction::Inbound,
            _ => return None,
        };
        let port = parts.next()?.parse().ok()?;
        Some(Self { direction, port, subset: parts.next()?, host: parts.next()? })
    }
}

impl fmt::Display for ClusterName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}|{}", self.direction, self.port, self.subset, self.host)
    }
}

/// Name of a listener bound to an address: `0.0.0.0_9080`, `10.96.0.7_3306`, `::_9080`.
pub fn listener(bind: IpAddr, port: u16) -> String {
    format!("{bind}_{port}")
}

/// Name of the outbound HTTP routes of a port: `9080`.
pub fn outbound_route(port: u16) -> String {
    port.to_string()
}

/// Name of the outbound routes of one service whose protocol is detected: `reviews.default.svc.cluster.local:9080`.
pub fn detected_route(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Name of the inbound routes of a workload port: `inbound|9080||`.
pub fn inbound_route(port: u16) -> String {
    ClusterName::inbound(port).to_string()
}

/// Name of a gateway's plain HTTP routes: `http.8080`.
pub fn gateway_http_route(port: u16) -> String {
    format!("http.{port}")
}

/// Name of a gateway's HTTPS routes, one per server: `https.443.https.my-gateway.default`.
pub fn gateway_https_route(port: u16, port_name: &str, gateway: &str, namespace: &str) -> String {
    format!("https.{port}.{port_name}.{gateway}.{namespace}")
}

/// Name of a virtual host within a route configuration: `reviews.default.svc.cluster.local:9080`.
pub fn virtual_host(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Name of a virtual host as a resource of its own: `<route>/<virtual host>`.
pub fn virtual_host_resource(route: &str, virtual_host: &str) -> String {
    format!("{route}/{virtual_host}")
}

/// Splits `<route>/<virtual host>`; the virtual host is `*` in a subscription to all of a route.
pub fn parse_virtual_host_resource(name: &str) -> Result<(&str, &str), NameError> {
    name.split_once('/').ok_or_else(|| NameError {
        kind: "virtual host",
        name: name.to_owned(),
        form: "<route>/<virtual host>",
    })
}

/// What kind of proxy a node id speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Beside an app.
    Sidecar,
    /// A gateway.
    Router,
}

impl Role {
    /// As written in node ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(role: &str) -> Result<Self, NameError> {
        match role {
            "sidecar" => Ok(Self::Sidecar),
            "router" => Ok(Self::Router),
            _ => Err(NameError { kind: "role", name: role.to_owned(), form: "sidecar or router" }),
        }
    }
}

/// Node id: `sidecar~10.0.0.7~reviews-v1-5d.default~default.svc.cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId {
    /// Sidecar or gateway.
    pub role: Role,
    /// The workload's address.
    pub address: IpAddr,
    /// Pod name.
    pub pod: String,
    /// Pod namespace.
    pub namespace: String,
    /// DNS suffix of short names.
    pub domain: String,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, address, pod, namespace, domain } = self;
        write!(f, "{}~{address}~{pod}.{namespace}~{domain}", role.as_str())
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(id: &str) -> Result<Self, NameError> {
        let error =
            || NameError { kind: "node", name: id.to_owned(), form: "role~address~pod.namespace~domain" };
        let mut parts = id.split('~');
        let mut next = || parts.next().ok_or_else(error);
        let role = next()?.parse().map_err(|_| error())?;
        let address = next()?.parse().map_err(|_| error())?;
        // Pod names may hold dots, namespaces may not.
        let (pod, namespace) = next()?.rsplit_once('.').ok_or_else(error)?;
        let (pod, namespace) = (pod.to_owned(), namespace.to_owned());
        let domain = next()?.to_owned();
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self { role, address, pod, namespace, domain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_survive_a_round_trip() {
        for name in [
            "outbound|9080|v1|reviews.default.svc.cluster.local",
            "outbound|443||*.example.com",
            "inbound|9080||",
        ] {
            assert_eq!(ClusterName::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn sni_survives_a_round_trip() {
        let name = ClusterName::outbound(9080, "", "reviews.default.svc.cluster.local");
        assert_eq!(name.sni(), "outbound_.9080_._.reviews.default.svc.cluster.local");
        assert_eq!(ClusterName::parse_sni(&name.sni()).unwrap(), name);
    }

    #[test]
    fn names_of_another_shape_are_refused() {
        for name in
            ["", "outbound", "outbound|x||h", "sideways|1||h", "outbound|70000||h", "BlackHoleCluster"]
        {
            assert!(ClusterName::parse(name).is_err(), "{name}");
        }
        for id in
            ["", "sidecar~1.2.3.4", "sidecar~nowhere~p.ns~d", "goblin~1.2.3.4~p.ns~d", "sidecar~1.2.3.4~p~d"]
        {
            assert!(id.parse::<NodeId>().is_err(), "{id}");
        }
    }

    #[test]
    fn node_ids_survive_a_round_trip() {
        for id in [
            "sidecar~10.0.0.7~reviews-v1-5d.default~default.svc.cluster.local",
            "router~fd00::7~my.gateway.istio-system~istio-system.svc.cluster.local",
        ] {
            assert_eq!(id.parse::<NodeId>().unwrap().to_string(), id);
        }
    }
}
