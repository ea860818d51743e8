//! `trysailctl version`: of this program, of the control plane, and of the proxies by count.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use kube::ResourceExt as _;
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
    /// Whether a cluster is asked for the versions of its control plane and proxies
    #[arg(
        long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true,
        default_missing_value = "true", value_name = "BOOL"
    )]
    remote: bool,
    /// Versions alone, which is all there is (accepted because istioctl has it)
    #[arg(short, long)]
    short: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "short")]
    output: Output,
}

/// Runs the command and returns what to print.
///
/// # Errors
/// When a cluster is configured and its control plane doesn't answer.
pub async fn run(arguments: Arguments, connection: &Connection) -> Result<String> {
    let mut versions = Versions { client: env!("CARGO_PKG_VERSION"), ..Versions::default() };
    if arguments.remote && !arguments.client {
        let cluster = Cluster::connect(connection).await?;
        versions.ask(&cluster, connection).await?;
    }
    match arguments.output {
        Output::Short => Ok(versions.text()),
        output => output.render(&versions.value()),
    }
}

/// What runs in which version.
#[derive(Debug, Default)]
struct Versions {
    client: &'static str,
    /// Revision and version of each istiod; `None` if nobody was asked.
    control_plane: Option<Vec<(String, String)>>,
    /// Name and version of each proxy.
    proxies: Vec<(String, String)>,
}

impl Versions {
    async fn ask(&mut self, cluster: &Cluster, connection: &Connection) -> Result<()> {
        let mut control_plane = Vec::new();
        for istiod in cluster.running_pods(Some(&connection.istio_namespace), "app=istiod").await? {
            let body = cluster.get(&istiod, MONITORING, "/version").await?;
            let version = String::from_utf8_lossy(&body);
            // The name is for those that look for a kind of istiod.
            let version = version.trim().trim_end_matches("-trysail").to_owned();
            let revision = istiod.labels().get("istio.io/rev").cloned();
            control_plane.push((revision.unwrap_or_else(|| "default".to_owned()), version));
        }
        if !control_plane.is_empty() {
            let found = proxies(cluster, connection).await.context("asking for the proxies' versions")?;
            self.proxies = found.into_iter().map(|(proxy, _)| (proxy.name, proxy.istio_version)).collect();
        }
        self.control_plane = Some(control_plane);
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = format!("client version: {}\n", self.client);
        let Some(control_plane) = &self.control_plane else { return text };
        let or_none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let of_istiods: BTreeSet<_> = control_plane.iter().map(|(_, version)| version.clone()).collect();
        text += &format!("control plane version: {}\n", or_none(of_istiods.into_iter().collect()));
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for (_, version) in &self.proxies {
            *counts.entry(version).or_default() += 1;
        }
        let count = |(version, count): (&String, usize)| {
            format!("{version} ({count} {})", if count == 1 { "proxy" } else { "proxies" })
        };
        text += &format!("data plane version: {}\n", or_none(counts.into_iter().map(count).collect()));
        text
    }

    /// The shape that istioctl gives it, for scripts that read it.
    fn value(&self) -> Value {
        let mut value = json!({ "clientVersion": { "version": self.client } });
        if let Some(control_plane) = &self.control_plane {
            let istiod = |(revision, version): &(String, String)| json!({ "Component": "pilot", "Revision": revision, "Info": { "version": version } });
            let proxy = |(name, version): &(String, String)| json!({ "ID": name, "IstioVersion": version });
            value["meshVersion"] = control_plane.iter().map(istiod).collect();
            value["dataPlaneVersion"] = self.proxies.iter().map(proxy).collect();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_for_people_and_listed_for_programs() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let mut versions = Versions { client: "2", ..Versions::default() };
        assert_eq!(versions.text(), "client version: 2\n");
        versions.control_plane = Some(vec![pair("default", "2"), pair("canary", "3"), pair("default", "2")]);
        versions.proxies = vec![pair("a.x", "2"), pair("b.x", "2"), pair("c.x", "1")];
        assert_eq!(
            versions.text(),
            "client version: 2\ncontrol plane version: 2, 3\ndata plane version: 1 (1 proxy), 2 (2 proxies)\n"
        );
        let value = versions.value();
        assert_eq!(value.pointer("/meshVersion/1/Info/version"), Some(&json!("3")));
        assert_eq!(value.pointer("/dataPlaneVersion/0"), Some(&json!({ "ID": "a.x", "IstioVersion": "2" })));
    }
}
