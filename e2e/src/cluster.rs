//! Where scenarios run: the cluster that a person names with KUBECONFIG, else the
//! single node of `e2e/cluster`, started and given our images here.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::shell::{self, Environment};

const OWN_KUBECONFIG: &str = "/var/tmp/trysail-cluster/admin.conf";
/// Is there while the node runs and is whole.
const READY: &str = "/var/tmp/trysail-cluster/ready";

/// A running cluster that can start our images.
pub struct Cluster {
    environment: Environment,
    /// Whether this machine is the node, so that it can be looked into.
    pub own: bool,
    /// Registry and path of the images.
    pub hub: String,
    /// Tag of the images.
    pub tag: String,
}

impl Cluster {
    /// The cluster that KUBECONFIG names if somebody set it, else one started here.
    pub async fn ready() -> Result<Self> {
        match env::var("KUBECONFIG") {
            Ok(path) if !path.is_empty() && !is_own(&path) => Self::named(),
            _ => Self::started().await,
        }
    }

    /// The cluster that KUBECONFIG names.
    pub fn named() -> Result<Self> {
        let path = env::var("KUBECONFIG").context("KUBECONFIG names no cluster")?;
        let Ok(hub) = env::var("HUB") else {
            bail!(
                "KUBECONFIG names {path}, whose nodes pull images from a registry: push them there \
                 (docs/kind.md says how), and set HUB (and TAG) to where they are. \
                 Without KUBECONFIG, a single node is started here."
            );
        };
        Ok(Self { environment: vec![], own: false, hub, tag: tag() })
    }

    /// The single node of this machine, started if need be, with our images.
    pub async fn started() -> Result<Self> {
        let mut cluster =
            Self { environment: vec![], own: true, hub: "docker.io/trysail".to_owned(), tag: tag() };
        cluster.start().await?;
        Ok(cluster)
    }

    /// Builds and starts in plain view: a person waits for it.
    async fn start(&mut self) -> Result<()> {
        let script = root().join("e2e/cluster/cluster");
        let images = root().join("e2e/images");
        explained(&format!("{} up", script.display())).await?;
        for step in ["build", "load"] {
            shown(&format!("{} {step}", images.display())).await?;
        }
        let path = format!("eval \"$({} env)\"; echo \"$PATH\"", script.display());
        let path = shell::run(&vec![], &path, None).await?;
        self.environment = vec![
            ("KUBECONFIG".to_owned(), OWN_KUBECONFIG.to_owned()),
            ("PATH".to_owned(), path.trim().to_owned()),
        ];
        Ok(())
    }

    /// Ends what a start that failed has left running; a node that is whole stays.
    pub async fn remove_half_started() {
        if !Path::new(READY).exists() {
            // Nothing depends on it: the next start begins with the same.
            let _ = shown(&format!("{} down", root().join("e2e/cluster/cluster").display())).await;
        }
    }

    /// Runs a command line with kubectl, helm and the cluster's credentials at hand.
    pub async fn sh(&self, line: &str) -> Result<String> {
        shell::run(&self.environment, line, None).await
    }

    /// What every command of this cluster gets.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Path of its kubeconfig, unless it is where programs look anyway.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.own.then(|| Path::new(OWN_KUBECONFIG))
    }

    /// Runs a command on the node; only where this machine is the node.
    pub async fn on_node(&self, line: &str) -> Result<String> {
        let script = root().join("e2e/cluster/cluster");
        self.sh(&format!("{} exec {line}", script.display())).await
    }

    /// A manifest of ours with the images that this cluster can pull.
    pub fn with_images(&self, yaml: &str) -> String {
        ["bookinfo", "echo"].iter().fold(yaml.to_owned(), |yaml, image| {
            let ours = format!("{}/{image}:{}", self.hub, self.tag);
            yaml.replace(&format!("trysail/{image}:{}", env!("CARGO_PKG_VERSION")), &ours)
        })
    }
}

fn tag() -> String {
    env::var("TAG").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn is_own(path: &str) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    resolved(Path::new(path)) == resolved(Path::new(OWN_KUBECONFIG))
}

async fn shown(line: &str) -> Result<()> {
    let status = tokio::process::Command::new("bash").args(["-c", line]).status().await;
    let status = status.with_context(|| format!("running `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed");
    }
    Ok(())
}

/// Like [`shown`], for a command whose last word on standard error says why it failed.
async fn explained(line: &str) -> Result<()> {
    let mut command = tokio::process::Command::new("bash");
    let mut child = command
        .args(["-c", line])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .with_context(|| format!("running `{line}`"))?;
    let mut last = format!("`{line}` failed");
    if let Some(errors) = child.stderr.take() {
        let mut lines = BufReader::new(errors).split(b'\n');
        while let Some(text) = lines.next_segment().await? {
            let text = String::from_utf8_lossy(&text);
            eprintln!("{text}");
            if !text.trim().is_empty() {
                text.trim().trim_start_matches("cluster: ").clone_into(&mut last);
            }
        }
    }
    if !child.wait().await.with_context(|| format!("running `{line}`"))?.success() {
        bail!(last);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_that_does_not_start_says_why_in_its_last_words() {
        let line = "echo cluster: starting >&2; echo 'cluster: needs root' >&2; exit 1";
        assert_eq!(explained(line).await.unwrap_err().to_string(), "needs root");
        assert_eq!(explained("exit 1").await.unwrap_err().to_string(), "`exit 1` failed");
        explained("echo cluster: up >&2").await.unwrap();
    }
}
