//! `trysailctl proxy-config`: what one proxy has been told, from its own admin port.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::Output;
use crate::cluster::{Cluster, Connection};
use crate::proxy_config::{cluster, endpoint, istioctl, listener, route, secret};
use crate::target::{find, with_proxy};

/// The proxy's admin port, on its loopback.
pub(super) const ADMIN: u16 = 15000;

/// Shows a proxy's configuration.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    section: Section,
}

/// Which proxy, and how to print.
#[derive(Debug, clap::Args)]
struct Target {
    /// POD, POD.NAMESPACE, deploy/NAME, svc/NAME, ...
    pod: String,
    /// Namespace of the pod (default: that of the kubeconfig's context)
    #[arg(short, long)]
    namespace: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "short")]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum Section {
    /// Clusters: the services the proxy knows
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster {
        #[command(flatten)]
        target: Target,
        /// Only services whose name contains this
        #[arg(long)]
        fqdn: Option<String>,
        /// Only this port
        #[arg(long)]
        port: Option<u16>,
        /// Only subsets whose name contains this
        #[arg(long)]
        subset: Option<String>,
        /// Only inbound or outbound
        #[arg(long)]
        direction: Option<String>,
    },
    /// Listeners: where the proxy listens, and where each filter chain leads
    #[command(visible_aliases = ["listeners", "l"])]
    Listener {
        #[command(flatten)]
        target: Target,
        /// Only this address
        #[arg(long)]
        address: Option<String>,
        /// Only this port
        #[arg(long)]
        port: Option<u16>,
        /// Only HTTP, TCP or HTTP+TCP
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Routes: virtual hosts and what they match
    #[command(visible_aliases = ["routes", "r"])]
    Route {
        #[command(flatten)]
        target: Target,
        /// Only the route configuration of this name
        #[arg(long)]
        name: Option<String>,
    },
    /// Endpoints: the addresses behind each cluster
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint {
        #[command(flatten)]
        target: Target,
        /// Only this address
        #[arg(long)]
        address: Option<String>,
        /// Only this port
        #[arg(long)]
        port: Option<u16>,
        /// Only the cluster of this name
        #[arg(long)]
        cluster: Option<String>,
        /// Only this health status
        #[arg(long)]
        status: Option<String>,
    },
    /// Secrets: certificates and trust bundles
    #[command(visible_aliases = ["secrets", "s"])]
    Secret {
        #[command(flatten)]
        target: Target,
    },
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When the pod isn't found or its proxy doesn't answer.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let cluster = Cluster::connect(connection).await?;
    match arguments.section {
        Section::Cluster { target, fqdn, port, subset, direction } => {
            let dump = config_dump(&cluster, &target).await?;
            let (fqdn, subset, direction) = (fqdn.as_deref(), subset.as_deref(), direction.as_deref());
            let found = cluster::select(&dump, &cluster::Filter { fqdn, port, subset, direction });
            target.output.print(|| cluster::table(&found), || istioctl(&found, ""))
        }
        Section::Listener { target, address, port, kind } => {
            let dump = config_dump(&cluster, &target).await?;
            let filter = listener::Filter { address: address.as_deref(), port, kind: kind.as_deref() };
            let found = listener::select(&dump, &filter);
            target.output.print(|| listener::table(&found), || istioctl(&found, ""))
        }
        Section::Route { target, name } => {
            let dump = config_dump(&cluster, &target).await?;
            let found = route::select(&dump, name.as_deref());
            target.output.print(|| route::table(&found), || istioctl(&found, ""))
        }
        Section::Endpoint { target, address, port, cluster: name, status } => {
            let clusters = admin(&cluster, &target, "/clusters?format=json").await?;
            let (address, name, status) = (address.as_deref(), name.as_deref(), status.as_deref());
            let filter = endpoint::Filter { address, port, cluster: name, status };
            let found = endpoint::select(&clusters, &filter);
            target.output.print(|| endpoint::table(&found, &filter), || istioctl(&found, endpoint::MESSAGE))
        }
        Section::Secret { target } => {
            let dump = config_dump(&cluster, &target).await?;
            let now = Timestamp::now().as_second();
            target.output.print(|| secret::table(&secret::select(&dump), now), || secret::section(&dump))
        }
    }
}

async fn config_dump(cluster: &Cluster, target: &Target) -> Result<Value> {
    admin(cluster, target, "/config_dump").await
}

async fn admin(cluster: &Cluster, target: &Target, path: &str) -> Result<Value> {
    let pod = with_proxy(find(cluster, &target.pod, target.namespace.as_deref()).await?)?;
    let body = cluster.get(&pod, ADMIN, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("{path} is not JSON"))
}
