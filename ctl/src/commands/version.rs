//! `trysailctl version`: of this program, of the control plane, and of the proxies by count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Output;
use super::proxy_status::{MONITORING, proxies};
use crate::cluster::{Cluster, Connection};

/// Prints versions.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this program's version; no cluster is asked
    #[arg(long)]
    client: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "short")]
    output: Output,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When a cluster is configured and its control plane doesn't answer.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let client = env!("CARGO_PKG_VERSION");
    if arguments.client {
        return match arguments.output {
            Output::Short => Ok(format!("client version: {client}\n")),
            output => output.render(&json!({ "clientVersion": client })),
        };
    }
    let cluster = Cluster::connect(connection).await?;
    let mut control_plane: BTreeMap<String, usize> = BTreeMap::new();
    for istiod in cluster.running_pods(Some(&connection.istio_namespace), "app=istiod").await? {
        let body = cluster.get(&istiod, MONITORING, "/version").await?;
        let text = serde_json::from_slice::<Value>(&body).ok();
        let version = text.as_ref().and_then(|value| value.get("version")?.as_str().map(str::to_owned));
        let plain = || String::from_utf8_lossy(&body).trim().to_owned();
        *control_plane.entry(version.unwrap_or_else(plain)).or_default() += 1;
    }
    let mut data_plane: BTreeMap<String, usize> = BTreeMap::new();
    if !control_plane.is_empty() {
        for (proxy, _) in proxies(&cluster, connection).await.context("asking for the proxies' versions")? {
            *data_plane.entry(proxy.istio_version).or_default() += 1;
        }
    }
    if arguments.output != Output::Short {
        return arguments.output.render(&json!({
            "clientVersion": client, "meshVersion": control_plane, "dataPlaneVersion": data_plane,
        }));
    }
    let mut text = format!("client version: {client}\n");
    let versions: Vec<_> = control_plane.keys().map(String::as_str).collect();
    let versions = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
    writeln!(text, "control plane version: {versions}")?;
    let counts: Vec<_> = data_plane
        .iter()
        .map(|(version, count)| {
            format!("{version} ({count} {})", if *count == 1 { "proxy" } else { "proxies" })
        })
        .collect();
    writeln!(
        text,
        "data plane version: {}",
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    )?;
    Ok(text)
}
