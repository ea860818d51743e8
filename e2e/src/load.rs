//! Load from a pod inside the mesh, for as long as a scenario wants.

use anyhow::{Context as _, Result, bail};
use samples::client::load::Report;
use tokio::process::Child;

use crate::shell::{self, Environment};

/// Load under way.
pub struct Load {
    child: Child,
}

impl Load {
    pub(crate) fn start(environment: &Environment, line: &str) -> Result<Self> {
        Ok(Self { child: shell::spawn(environment, line)? })
    }

    /// Ends it and returns its counts.
    pub async fn stop(mut self) -> Result<Report> {
        drop(self.child.stdin.take()); // the client stops when its stdin ends
        let output = self.child.wait_with_output().await?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("the load generator said: {}", String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    /// Ends it; every single request must have been answered well.
    pub async fn stop_without_failures(self) -> Result<Report> {
        let report = self.stop().await?;
        if report.failed > 0 || report.requests == 0 {
            bail!(
                "{} of {} requests failed: statuses {:?}, errors {:?}; first: {:#?}",
                report.failed,
                report.requests,
                report.statuses,
                report.errors,
                report.first_failures
            );
        }
        Ok(report)
    }
}
