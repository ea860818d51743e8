//! `trysailctl proxy-config`: what one proxy has been told, from its own admin port.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::Output;
use crate::cluster::{Cluster, Connection};
use crate::proxy_config::{cluster, endpoint, listener, route, secret};

/// The proxy's admin port, on its loopback.
const ADMIN: u16 = 15000;

/// Shows a proxy's configuration.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    section: Section,
}

/// Which proxy, and how to print.
#[derive(Debug, clap::Args)]
struct Target {
    /// POD, POD.NAMESPACE, deploy/NAME or svc/NAME
    pod: String,
    /// Namespace of the pod
    #[arg(short, long, default_value = "default")]
    namespace: String,
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
        /// Only this service name
        #[arg(long)]
        fqdn: Option<String>,
        /// Only this port
        #[arg(long)]
        port: Option<u16>,
        /// Only this subset
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
            print(target.output, &found, || cluster::table(&found).to_string())
        }
        Section::Listener { target, address, port } => {
            let dump = config_dump(&cluster, &target).await?;
            let found = listener::select(&dump, &listener::Filter { address: address.as_deref(), port });
            print(target.output, &found, || listener::table(&found).to_string())
        }
        Section::Route { target, name } => {
            let dump = config_dump(&cluster, &target).await?;
            let found = route::select(&dump, name.as_deref());
            print(target.output, &found, || route::table(&found).to_string())
        }
        Section::Endpoint { target, address, port, cluster: name, status } => {
            let clusters = admin(&cluster, &target, "/clusters?format=json").await?;
            let (address, name, status) = (address.as_deref(), name.as_deref(), status.as_deref());
            let filter = endpoint::Filter { address, port, cluster: name, status };
            let found = endpoint::select(&clusters, &filter);
            print(target.output, &found, || endpoint::table(&found, &filter).to_string())
        }
        Section::Secret { target } => {
            let dump = config_dump(&cluster, &target).await?;
            let found = secret::select(&dump);
            let now = Timestamp::now().as_second();
            print(target.output, &found, || secret::table(&found, now).to_string())
        }
    }
}

fn print(output: Output, found: &[&Value], table: impl FnOnce() -> String) -> Result<String> {
    if output == Output::Short { Ok(table()) } else { output.render(&found) }
}

async fn config_dump(cluster: &Cluster, target: &Target) -> Result<Value> {
    admin(cluster, target, "/config_dump").await
}

async fn admin(cluster: &Cluster, target: &Target, path: &str) -> Result<Value> {
    let pod = cluster.find_pod(&target.pod, &target.namespace).await?;
    let body = cluster.get(&pod, ADMIN, path).await.context("has the pod a sidecar?")?;
    serde_json::from_slice(&body).with_context(|| format!("{path} is not JSON"))
}
