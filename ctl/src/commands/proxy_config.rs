//! `trysailctl proxy-config`: what one proxy has been told, from its own admin port.

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
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

/// Which proxy.
#[derive(Debug, clap::Args)]
struct Named {
    /// POD, POD.NAMESPACE, deploy/NAME, svc/NAME, ...
    pod: String,
    /// Namespace of the pod (default: that of the kubeconfig's context)
    #[arg(short, long)]
    namespace: Option<String>,
}

/// Which proxy, and how to print.
#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    pod: Named,
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
    /// All of these one after the other; as JSON or YAML, the whole dump as the proxy gives it
    #[command(visible_alias = "a")]
    All {
        #[command(flatten)]
        target: Target,
    },
    /// Log levels, and how to change them until the proxy restarts
    #[command(visible_alias = "o")]
    Log {
        #[command(flatten)]
        pod: Named,
        /// LEVEL for all loggers, or LOGGER:LEVEL,... for some
        #[arg(long)]
        level: Option<String>,
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
        Section::All { target } => {
            let dump = config_dump(&cluster, &target).await?;
            if target.output != Output::Short {
                return target.output.render(&dump);
            }
            Ok(all(&dump, &admin(&cluster, &target, "/clusters?format=json").await?))
        }
        Section::Log { pod, level } => {
            let pod = pod.find(&cluster).await?;
            let path = level.as_deref().map_or_else(|| "/logging".to_owned(), logging);
            let levels = cluster.ask(http::Method::POST, &pod, ADMIN, &path).await?;
            Ok(String::from_utf8_lossy(&levels).into_owned())
        }
    }
}

/// Every table of a dump, and of the proxy's endpoints.
fn all(dump: &Value, clusters: &Value) -> String {
    let endpoints = endpoint::Filter::default();
    let tables = [
        cluster::table(&cluster::select(dump, &cluster::Filter::default())),
        listener::table(&listener::select(dump, &listener::Filter::default())),
        route::table(&route::select(dump, None)),
        endpoint::table(&endpoint::select(clusters, &endpoints), &endpoints),
        secret::table(&secret::select(dump), Timestamp::now().as_second()),
    ];
    tables.map(|table| table.to_string()).join("\n")
}

/// The admin port's path that changes levels.
fn logging(level: &str) -> String {
    let parameter = if level.contains(':') { "paths" } else { "level" };
    format!("/logging?{parameter}={level}")
}

impl Named {
    async fn find(&self, cluster: &Cluster) -> Result<Pod> {
        with_proxy(find(cluster, &self.pod, self.namespace.as_deref()).await?)
    }
}

async fn config_dump(cluster: &Cluster, target: &Target) -> Result<Value> {
    admin(cluster, target, "/config_dump").await
}

async fn admin(cluster: &Cluster, target: &Target, path: &str) -> Result<Value> {
    let pod = target.pod.find(cluster).await?;
    let body = cluster.get(&pod, ADMIN, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("{path} is not JSON"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_level_is_for_all_loggers_and_pairs_are_for_some() {
        assert_eq!(logging("debug"), "/logging?level=debug");
        assert_eq!(logging("http:debug,admin:info"), "/logging?paths=http:debug,admin:info");
    }

    #[test]
    fn all_is_a_table_of_each_kind() {
        let text = all(&json!({}), &json!({}));
        for heading in ["SERVICE FQDN", "ADDRESSES", "VHOST NAME", "ENDPOINT", "RESOURCE NAME"] {
            assert!(text.contains(heading), "{heading} in {text}");
        }
    }
}
