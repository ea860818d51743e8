//! Command line of `trysail-proxy proxy`: the flags that Istio's templates pass.

use clap::{Args, ValueEnum};

/// What the proxy is in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Beside one application.
    Sidecar,
    /// A gateway.
    Router,
}

impl Role {
    /// As written at the start of a node id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

/// Flags of `trysail-proxy proxy`.
#[derive(Debug, Clone, Args)]
pub struct ProxyArgs {
    /// Sidecar or gateway
    #[arg(value_enum, default_value = "sidecar")]
    pub role: Role,
    /// DNS domain of the workload; `$(POD_NAMESPACE).svc.cluster.local` when empty
    #[arg(long, default_value = "")]
    pub domain: String,
    /// Level of the proxy's log, with scopes as Envoy writes them: `warning` or `info,upstream:debug`
    #[arg(long = "proxyLogLevel", default_value = "warning")]
    pub log_level: String,
    /// Levels of single components, as Envoy writes them: `misc:error`
    #[arg(long = "proxyComponentLogLevel", default_value = "")]
    pub component_log_level: String,
    /// Number of worker threads; 0 leaves it to the proxy configuration
    #[arg(long, default_value_t = 0)]
    pub concurrency: usize,
    /// File with a mesh configuration whose `defaultConfig` applies
    #[arg(long = "meshConfig", default_value = "./etc/istio/config/mesh")]
    pub mesh_config: String,
    /// Cluster name that is announced on xDS
    #[arg(long = "serviceCluster", default_value = "istio-proxy")]
    pub service_cluster: String,
}
