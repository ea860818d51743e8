//! `trysailctl proxy-status`: which proxies are connected to which istiod, and whether they hold what it last sent; of one
//! proxy, which resources it holds otherwise.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::Output;
use super::proxy_config::ADMIN;
use crate::cluster::{Cluster, Connection};
use crate::proxy_config::sync::compare;
use crate::table::Columns;
use crate::target::{PROXY, find, with_proxy};

/// Where istiod answers `/debug`.
pub(super) const MONITORING: u16 = 15014;

/// Shows the proxies connected to the control plane.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Compares what this proxy has with what it was sent: POD, POD.NAMESPACE, deploy/NAME, svc/NAME, ...
    pod: Option<String>,
    /// Only proxies of this namespace; of one proxy, its namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "short")]
    output: Output,
}

/// One entry of istiod's `/debug/syncz`; the sent and acknowledged nonces or versions of each type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Proxy {
    /// `pod.namespace`.
    #[serde(default, rename = "proxy")]
    pub(super) name: String,
    /// The proxy's own version.
    #[serde(default)]
    pub(super) istio_version: String,
    /// The cluster it runs in.
    #[serde(default)]
    pub(super) cluster_id: String,
    #[serde(flatten)]
    nonces: BTreeMap<String, serde_json::Value>,
}

impl Proxy {
    /// `SYNCED` or `STALE` for a type, or `None` where the proxy doesn't subscribe to it.
    fn status(&self, kind: &str) -> Option<&'static str> {
        let text = |end: &str| {
            self.nonces.get(&format!("{kind}_{end}")).and_then(|value| value.as_str()).unwrap_or("")
        };
        match (text("sent"), text("acked")) {
            ("", _) => None,
            (sent, acked) if sent == acked => Some("SYNCED"),
            _ => Some("STALE"),
        }
    }

    /// `CDS,EDS,LDS,RDS`, each followed by its state where that isn't SYNCED.
    fn types(&self) -> String {
        let types = [("cluster", "CDS"), ("listener", "LDS"), ("endpoint", "EDS"), ("route", "RDS")];
        let shown = types.iter().filter_map(|(kind, short)| match self.status(kind)? {
            "SYNCED" => Some((*short).to_owned()),
            other => Some(format!("{short} ({other})")),
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        format!("{} ({})", shown.len(), shown.join(","))
    }
}

/// The proxies of every istiod, each with the istiod it is connected to.
pub(super) async fn proxies(cluster: &Cluster, connection: &Connection) -> Result<Vec<(Proxy, String)>> {
    let istiods = cluster.running_pods(Some(&connection.istio_namespace), "app=istiod").await?;
    if istiods.is_empty() {
        bail!("no istiod is running in namespace {}; -i names another", connection.istio_namespace);
    }
    let mut all = Vec::new();
    for istiod in istiods {
        let body = cluster.get(&istiod, MONITORING, "/debug/syncz").await?;
        let proxies: Vec<Proxy> = serde_json::from_slice(&body).context("/debug/syncz")?;
        all.extend(proxies.into_iter().map(|proxy| (proxy, istiod.name_any())));
    }
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    Ok(all)
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When no istiod answers.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let cluster = Cluster::connect(connection).await?;
    let mut found = proxies(&cluster, connection).await?;
    if let Some(name) = &arguments.pod {
        let pod = with_proxy(find(&cluster, name, arguments.namespace.as_deref()).await?)?;
        return of_one(&cluster, connection, &found, &pod, arguments.output).await;
    }
    if let Some(namespace) = &arguments.namespace {
        found.retain(|(proxy, _)| proxy.name.ends_with(&format!(".{namespace}")));
    }
    if arguments.output != Output::Short {
        return arguments.output.render(&found.iter().map(|(proxy, _)| proxy).collect::<Vec<_>>());
    }
    let mut columns = Columns::new(&["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"]);
    for (proxy, istiod) in &found {
        columns.row(&[&proxy.name, &proxy.cluster_id, istiod, &proxy.istio_version, &proxy.types()]);
    }
    Ok(columns.to_string())
}

async fn of_one(
    cluster: &Cluster,
    connection: &Connection,
    all: &[(Proxy, String)],
    pod: &Pod,
    output: Output,
) -> Result<String> {
    let id = format!("{}.{}", pod.name_any(), pod.namespace().unwrap_or_default());
    let Some((proxy, istiod)) = all.iter().find(|(proxy, _)| proxy.name == id) else {
        bail!("the proxy of {id} is not connected to any istiod; its log says why: kubectl logs -c {PROXY}");
    };
    if output != Output::Short {
        return output.render(proxy);
    }
    let istiod = find(cluster, istiod, Some(&connection.istio_namespace)).await?;
    let sent = cluster.get(&istiod, MONITORING, &format!("/debug/config_dump?proxyID={id}")).await?;
    let held = cluster.get(pod, ADMIN, "/config_dump").await?;
    let sent = serde_json::from_slice(&sent).context("what istiod sent is not JSON")?;
    Ok(compare(&sent, &serde_json::from_slice(&held).context("what the proxy has is not JSON")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_that_was_sent_and_not_acknowledged_is_stale() -> Result<()> {
        let proxy: Proxy = serde_json::from_value(json!({
            "proxy": "a.default", "cluster_sent": "1", "cluster_acked": "1", "route_sent": "2", "route_acked": "1",
        }))?;
        assert_eq!(proxy.types(), "2 (CDS,RDS (STALE))");
        Ok(())
    }
}
