//! `trysail-controlplane discovery`: reads flags, starts the control plane, waits for a signal.

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Trysail's control plane
#[derive(Debug, Parser)]
#[command(name = "trysail-controlplane", version)]
enum Command {
    /// Serve discovery, certificates and webhooks
    Discovery {
        #[command(flatten)]
        options: Box<controlplane::Options>,
        /// Which log lines to write, as for RUST_LOG
        #[arg(long, env = "RUST_LOG", default_value = "info,kube_client=error", value_name = "FILTER")]
        log: String,
        /// Write log lines as JSON
        #[arg(long)]
        log_as_json: bool,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Discovery { options, log, log_as_json } = Command::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&log)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    if log_as_json {
        lines.json().init();
    } else {
        lines.with_ansi(false).init();
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = controlplane::start(*options).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}
