//! Load from a pod inside the mesh, or from outside the cluster, for as long as a scenario wants.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use samples::client::{
    Route, Template,
    load::{self, Plan, Report},
};
use tokio::{process::Child, sync::oneshot, task::JoinHandle};

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
        without_failures(self.stop().await?)
    }
}

/// Load from this machine under way.
pub struct OutsideLoad {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Report>,
}

impl OutsideLoad {
    pub(crate) fn start(template: Template, route: Route, rps: f64) -> Self {
        let (stop, stopped) = oneshot::channel();
        let plan = Plan { rps, timeout: Duration::from_secs(10), tally: None };
        let running = tokio::spawn(load::run(template, route, plan, async {
            let _ = stopped.await; // whoever drops the handle wants it to end as well
        }));
        Self { stop, running }
    }

    /// Ends it; every single request must have been answered well.
    pub async fn stop_without_failures(self) -> Result<Report> {
        let _ = self.stop.send(()); // it may have ended by itself, and then says why
        without_failures(self.running.await?)
    }
}

fn without_failures(report: Report) -> Result<Report> {
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
