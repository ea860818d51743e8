//! `trysail-proxy proxy`: puts the parts together and takes them apart again.
//!
//! The main thread is the control thread: certificates, configuration, status and admin run on its runtime. The data plane
//! has threads of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proxy::admin::{self, Admin, LogLevels};
use proxy::bootstrap::{Bootstrap, Drain, Environment, ProxyArgs};
use proxy::dns::{self, Names, ResolvConf};
use proxy::drain::Phase;
use proxy::identity::{self, Health, Renewal, Secrets};
use proxy::observe::{LocalWorkload, Observe};
use proxy::request::callers::{ANNOTATION, Callers, VARIABLE};
use proxy::runtime::{self, Settings, Shared};
use proxy::snapshot::cluster::Registry;
use proxy::snapshot::{Live, Snapshot};
use proxy::status::{self, Lifecycle, Listening, OwnMetrics, Probes, Readiness, Scrape, Status};
use proxy::subscribe::{self, Applier, Held, Progress, Subscription};
use proxy::upstream;
use xds::names::NodeId;

use crate::cli::LogArgs;
use crate::logging;

/// How often the number of connections is looked at while leaving.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &ProxyArgs, log: &LogArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let levels = log.levels(&args.log_level, &args.component_log_level)?;
    let levels = logging::start(&levels, log.log_as_json);
    let boot = Bootstrap::load(args, &Environment::of_process())?;
    tracing::info!(
        node = %boot.node.id, workers = boot.concurrency, discovery = %boot.discovery.address, "starting"
    );
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(boot, levels, started))
}

/// Proxies hold two descriptors for each connection; the soft limit is often 1024.
fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(soft, hard, "cannot raise the limit of open files: {error}");
    }
}

/// What both halves share.
struct Parts {
    live: Arc<Live>,
    secrets: Arc<Secrets>,
    identity: Arc<Health>,
    progress: Arc<Progress>,
    held: Arc<Held>,
    /// What the app's questions for names are answered from and counted by, if they come to us.
    names: Option<(Arc<Names>, Arc<dns::Counters>)>,
}

async fn serve(boot: Bootstrap, levels: LogLevels, started: Instant) -> anyhow::Result<()> {
    let ended = logging::ended()?;
    let parts = Parts {
        live: Live::new(Snapshot::default()),
        secrets: Secrets::new(),
        identity: Arc::new(Health::default()),
        progress: Progress::new(),
        held: Held::new(),
        names: names(&boot)?,
    };
    let _answers = match &parts.names {
        Some((names, counters)) => Some(answers(&boot, names, counters).await?),
        None => None,
    };
    let observe = Observe::new(LocalWorkload::of(&boot.node), &boot.node.id, boot.stats_filter()?);
    let settings = Settings {
        workers: boot.concurrency,
        node: boot.node.id.as_str().into(),
        hostname: boot.pod_name.as_str().into(),
        drain: boot.drain.listener,
        packet_mark: boot.packet_mark,
        debug_callers: debug_callers(&boot),
        ..Settings::default()
    };
    let shared = Shared::new(parts.live.clone(), parts.secrets.clone(), observe.clone(), settings);
    let lifecycle = Arc::new(Lifecycle::new(shared.drain.clone()));
    let drain = boot.drain;
    let tasks = [
        tokio::spawn(identity::run(Renewal::new(&boot, parts.secrets.clone(), parts.identity.clone())?)),
        tokio::spawn(subscribe::run(subscription(&boot, &parts))),
        tokio::spawn(upstream::control::run(parts.live.clone())),
    ];
    let servers = servers(boot, &parts, &shared, &lifecycle, levels, started)?;
    let workers = runtime::start(&shared).context("starting the workers")?;
    tokio::select! {
        () = ended => tracing::info!("told to end"),
        () = lifecycle.asked_to_quit() => {}
    }
    leave(drain, &shared.drain, logging::ended()?).await;
    shared.drain.advance(Phase::Closing);
    tokio::task::spawn_blocking(|| workers.join()).await?;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    drop(servers);
    observe.flush_logs();
    tracing::info!("ended");
    Ok(())
}

fn subscription(boot: &Bootstrap, parts: &Parts) -> Subscription {
    Subscription {
        discovery: boot.discovery.clone(),
        secrets: parts.secrets.clone(),
        packet_mark: boot.packet_mark,
        cluster_id: boot.node.text("CLUSTER_ID").map(str::to_owned),
        node: subscribe::node(&boot.node),
        applier: Applier::new(
            parts.live.clone(),
            Registry::new(),
            parts.secrets.clone(),
            parts.held.clone(),
            parts.progress.clone(),
        )
        .with_names(parts.names.as_ref().map(|(names, _)| names.clone())),
    }
}

/// Names are completed with the proxy's own domain.
fn names(boot: &Bootstrap) -> anyhow::Result<Option<(Arc<Names>, Arc<dns::Counters>)>> {
    if !boot.dns_capture {
        return Ok(None);
    }
    let id: NodeId = boot.node.id.parse()?;
    Ok(Some((Arc::new(Names::new(&id.domain)), Arc::default())))
}

/// Answers the app's questions for names.
async fn answers(
    boot: &Bootstrap,
    names: &Arc<Names>,
    counters: &Arc<dns::Counters>,
) -> anyhow::Result<dns::Serving> {
    let settings = dns::Settings {
        names: names.clone(),
        resolv_conf: ResolvConf::read(ResolvConf::PATH)?,
        packet_mark: boot.packet_mark,
        counters: counters.clone(),
    };
    dns::start(settings).await.with_context(|| format!("answering questions for names on port {}", dns::PORT))
}

fn servers(
    boot: Bootstrap,
    parts: &Parts,
    shared: &Shared,
    lifecycle: &Arc<Lifecycle>,
    levels: LogLevels,
    started: Instant,
) -> anyhow::Result<Vec<Listening>> {
    let readiness = Arc::new(Readiness::new(
        parts.identity.clone(),
        parts.progress.clone(),
        parts.live.clone(),
        shared.drain.clone(),
    ));
    let own = Arc::new(OwnMetrics {
        observe: shared.observe.clone(),
        live: parts.live.clone(),
        identity: parts.identity.clone(),
        secrets: parts.secrets.clone(),
        progress: parts.progress.clone(),
        names: parts.names.as_ref().map(|(_, counters)| counters.clone()),
        started,
    });
    let status = Arc::new(Status {
        readiness: readiness.clone(),
        probes: Probes::parse(boot.app_probers.as_deref(), boot.instance_ip, boot.probe_localhost)?,
        own: own.clone(),
        scrape: scrape(&boot),
        lifecycle: lifecycle.clone(),
    });
    let mut servers = status::start(status, boot.ports)?;
    servers.push(admin::start(Arc::new(Admin {
        boot,
        live: parts.live.clone(),
        held: parts.held.clone(),
        progress: parts.progress.clone(),
        secrets: parts.secrets.clone(),
        identity: parts.identity.clone(),
        readiness,
        own,
        lifecycle: lifecycle.clone(),
        levels,
        started,
    }))?);
    Ok(servers)
}

/// Who may ask what was decided. A list that makes no sense costs the answers, not the traffic.
fn debug_callers(boot: &Bootstrap) -> Option<Callers> {
    Callers::parse(boot.debug_callers.as_deref()?, boot.instance_ip).unwrap_or_else(|problem| {
        tracing::error!("nobody may ask for decisions; annotation {ANNOTATION}, or {VARIABLE}: {problem}");
        None
    })
}

/// A pod's annotation that makes no sense costs its metrics, not its traffic.
fn scrape(boot: &Bootstrap) -> Option<Scrape> {
    Scrape::parse(boot.prometheus_annotations.as_deref()).unwrap_or_else(|problem| {
        tracing::error!("the application's metrics are not merged: {problem}");
        None
    })
}

/// Drains as Istio's agent does: for a fixed time, or until no connection is open. A second signal ends it.
async fn leave(settings: Drain, drain: &proxy::drain::Drain, again: impl Future<Output = ()>) {
    drain.advance(Phase::Draining);
    let finished = async {
        if !settings.exit_on_zero_connections {
            return tokio::time::sleep(settings.termination).await;
        }
        tokio::time::sleep(settings.minimum).await;
        while drain.connections() > 0 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = finished => {}
        () = again => tracing::warn!("told to end again: leaving {} connections", drain.connections()),
    }
}
