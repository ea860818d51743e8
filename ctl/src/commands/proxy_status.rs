//! `trysailctl proxy-status`: which proxies are connected to which istiod, and whether they hold what it last sent.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::Output;
use crate::cluster::{Cluster, Connection};
use crate::table::Columns;

/// Where istiod answers `/debug`.
pub(super) const MONITORING: u16 = 15014;

/// Shows the proxies connected to the control plane.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only proxies of this namespace
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
    /// `SYNCED`, `STALE` or `NOT SENT` for a type, or `None` where the proxy doesn't subscribe to it.
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
