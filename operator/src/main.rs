//! `trysail-operator`: installs the mesh that a MeshInstall describes, and keeps it so.

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use kube::{Client, Config, config::KubeConfigOptions, config::Kubeconfig};
use leader::{Election, Seat};
use operator::{Metrics, Release, admission, reconcile, serve};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use webhook::ValidationMetrics;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// By which replicas agree on who acts.
const LEASE: &str = "trysail-operator";

/// Installs the mesh that a MeshInstall describes, and keeps it so
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// kubeconfig of the cluster; default: the pod's service account, then $KUBECONFIG
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    address: SocketAddr,
    /// Address at which MeshInstalls are judged before they are stored
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:9443")]
    webhook_address: SocketAddr,
    /// Namespace of the operator: of its Service, and of the Lease by which replicas agree on who acts
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "trysail-system")]
    namespace: String,
    /// Name of this replica
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value_t = format!("trysail-operator-{}", std::process::id()))]
    name: String,
    /// Tag of the images that are installed where a MeshInstall names none
    #[arg(long, env = "TRYSAIL_TAG", value_name = "TAG", default_value_t = Release::default().tag)]
    tag: String,
    /// Level of the log: error, warn, info, debug, trace, or as in RUST_LOG
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Log JSON
    #[arg(long, env = "LOG_JSON")]
    log_json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    start_log(&options)?;
    let client = client(options.kubeconfig.as_ref()).await?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone()));

    let release = Release { tag: options.tag };
    let judging = admission::Options {
        address: options.webhook_address,
        namespace: options.namespace.clone(),
        release: release.clone(),
    };
    let validation = ValidationMetrics::register(&mut registry);
    let endpoint = admission::start(client.clone(), judging, validation, stop.clone()).await?;
    let listener = tokio::net::TcpListener::bind(options.address)
        .await
        .with_context(|| format!("listening on {}", options.address))?;
    let server = axum::serve(listener, serve::router(Arc::new(registry), endpoint));
    tokio::spawn(server.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());

    let done = CancellationToken::new();
    let election = Election {
        client: client.clone(),
        namespace: options.namespace,
        lease: LEASE,
        me: options.name.clone(),
    };
    let (seat, election) = election.take_part(done.clone().cancelled_owned());
    let election = tokio::spawn(election);
    tracing::info!(name = options.name, version = env!("CARGO_PKG_VERSION"), "waiting for the Lease");
    let context = reconcile::Context::new(client, release, metrics.clone());
    act(seat, context, &metrics, &stop).await;
    // Whoever lost the Lease starts anew, knowing nothing that may be out of date.
    stop.cancel();
    // Given up when nothing is under way any more: the next replica begins at once.
    done.cancel();
    election.await.context("leader election")
}

/// Waits for the seat, and reconciles until it is lost or the process ends.
async fn act(mut seat: Seat, context: reconcile::Context, metrics: &Metrics, stop: &CancellationToken) {
    tokio::select! {
        () = seat.won() => {}
        () = stop.cancelled() => return,
    }
    metrics.leading(true);
    let stop = stop.clone();
    let over = async move {
        tokio::select! {
            () = seat.lost() => {}
            () = stop.cancelled() => {}
        }
    };
    reconcile::run(Arc::new(context), over).await;
    metrics.leading(false);
}

fn start_log(options: &Options) -> anyhow::Result<()> {
    // kube wraps every look at an object into a span that says what our own lines say.
    let filter =
        EnvFilter::try_new(format!("kube_runtime=warn,{}", options.log_level)).with_context(|| {
            format!("--log-level {:?}: use error, warn, info, debug or trace", options.log_level)
        })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if options.log_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}

async fn client(kubeconfig: Option<&PathBuf>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(file) => {
            let kubeconfig =
                Kubeconfig::read_from(file).with_context(|| format!("reading {}", file.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context("finding the cluster; name a kubeconfig with --kubeconfig")?,
    };
    Ok(Client::try_from(config)?)
}

async fn signals(stop: CancellationToken) {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}
