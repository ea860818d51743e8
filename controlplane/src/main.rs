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

fn main() -> anyhow::Result<()> {
    // One core is left to the thread that owns the mesh: with more workers than cores they would only wake each other.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = (cores - 1).max(1);
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
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
