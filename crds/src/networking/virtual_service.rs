//! VirtualService: routes for hosts.

use super::{HttpRoute, TcpRoute, TlsRoute};
use crate::{
    macros::{kind, message},
    meta::IstioStatus,
};

kind! {
    /// Routes for one or more hosts, applied by sidecars and gateways.
    VirtualService {
        spec: VirtualServiceSpec, status: IstioStatus, group: "networking.istio.io", version: "v1",
        plural: "virtualservices", scope: NamespaceResourceScope
    }
}

message! {
    /// Routes for one or more hosts.
    pub struct VirtualServiceSpec {
        /// The hosts whose traffic is routed; short names are completed with the object's namespace.
        pub hosts: Vec<String>,
        /// Gateways and, as `mesh`, sidecars that apply the routes. Empty means `mesh`.
        pub gateways: Vec<String>,
        /// Routes for HTTP traffic; the first that matches is taken.
        pub http: Vec<HttpRoute>,
        /// Routes for TLS traffic that isn't terminated, by server name.
        pub tls: Vec<TlsRoute>,
        /// Routes for all other traffic, by port and address.
        pub tcp: Vec<TcpRoute>,
        /// Namespaces that see this object: `.` its own, `*` all.
        pub export_to: Vec<String>,
    }
}
