//! The threads of the data plane.
//!
//! [`start`] makes N workers. Each is a thread with a single-threaded runtime, its own listening sockets and its own
//! upstream connections; nothing on the path of a request is shared between them. What they do share is in
//! [`Shared`], which the control thread fills.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{task::LocalSet, time::Instant};

use crate::{
    drain::{Chains, Drain, Phase, Signal},
    identity::Secrets,
    listen::{lifetime::Lifetimes, sockets::Sockets, tls::ServerConfigs},
    observe::{Observe, Recorder},
    request::callers::Callers,
    snapshot::{
        Live, Reader, Snapshot,
        listener::{Direction, FilterChain, Listener},
    },
    upstream::{Random, Upstreams},
};

/// What the workers and the control thread share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub live: Arc<Live>,
    /// Certificates and roots.
    pub secrets: Arc<Secrets>,
    /// What is told about requests and connections.
    pub observe: Arc<Observe>,
    /// Whether the process is ending, and its connections.
    pub drain: Drain,
    /// How the data plane is set up.
    pub settings: Settings,
    /// Faults that are being injected.
    pub faults: Faults,
    next_connection: AtomicU64,
}

/// How the data plane is set up; fixed for the life of the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads.
    pub workers: usize,
    /// This proxy's node id.
    pub node: Arc<str>,
    /// The name of this host.
    pub hostname: Arc<str>,
    /// How long connections of changed listeners may go on (`drainDuration`).
    pub drain: Duration,
    /// How long clients may take to end a ClientHello or a request line that they have begun, and a TLS handshake where
    /// its filter chain names no time.
    pub handshake: Duration,
    /// Connections that may be open at a time.
    pub max_connections: usize,
    /// `SO_MARK` of our own connections, where redirection can't tell them by user.
    pub packet_mark: Option<u32>,
    /// Who may ask what was decided about a request. `None`: nobody.
    pub debug_callers: Option<Callers>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 2,
            node: "".into(),
            hostname: "".into(),
            drain: Duration::from_secs(45),
            handshake: Duration::from_secs(15),
            max_connections: 1_000_000,
            packet_mark: None,
            debug_callers: None,
        }
    }
}

impl Shared {
    /// Shared state around a configuration and secrets.
    pub fn new(
        live: Arc<Live>,
        secrets: Arc<Secrets>,
        observe: Arc<Observe>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            live,
            secrets,
            observe,
            drain: Drain::default(),
            settings,
            faults: Faults::default(),
            next_connection: AtomicU64::new(1),
        })
    }
}

/// Counts faults that are being injected, for their limit.
#[derive(Debug, Default)]
pub struct Faults(AtomicU32);

/// One fault that is being injected.
#[derive(Debug)]
pub struct ActiveFault<'a>(&'a AtomicU32);

impl Faults {
    /// One more, if there may be.
    pub fn enter(&self, limit: Option<u32>) -> Option<ActiveFault<'_>> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let active = ActiveFault(&self.0);
        limit.is_none_or(|limit| before < limit).then_some(active)
    }
}

impl Drop for ActiveFault<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs tasks on the worker's own thread, as hyper wants them run.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Connections to endpoints.
    pub upstreams: Rc<Upstreams>,
    /// Told of what is over.
    pub recorder: Rc<Recorder>,
    /// TLS towards clients.
    pub tls: ServerConfigs,
    /// The filter chains in use.
    pub chains: Chains,
    /// The connections of clients.
    pub lifetimes: Lifetimes,
    reader: RefCell<Reader>,
    random: Random,
    sockets: Sockets,
}

impl Worker {
    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.reader.borrow_mut().current().clone()
    }

    /// A random number.
    pub fn random(&self) -> u32 {
        self.random.next() as u32
    }

    /// A long random number, for ids.
    pub fn random_128(&self) -> u128 {
        u128::from(self.random.next()) << 64 | u128::from(self.random.next())
    }

    /// A number for a connection.
    pub fn next_connection_id(&self) -> u64 {
        self.shared.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// The signal for a new connection of this chain. While the process ends, it is raised already.
    pub fn enter(&self, listener: &Listener, chain: &Arc<FilterChain>) -> Rc<Signal> {
        let signal = self.chains.enter(&listener.name, chain, listener.direction);
        if self.shared.drain.phase() != Phase::Running && listener.direction != Direction::Outbound {
            signal.raise(self.shared.settings.drain);
        }
        signal
    }

    /// Whether no further connection may be taken.
    pub fn full(&self) -> bool {
        self.shared.drain.connections() >= self.shared.settings.max_connections
    }
}

/// The workers' threads.
#[derive(Debug)]
pub struct Workers(Vec<thread::JoinHandle<()>>);

impl Workers {
    /// Waits until all have ended.
    pub fn join(self) {
        for thread in self.0 {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Starts the workers. They end when the drain's phase is [`Phase::Closing`] and nothing is left to finish.
pub fn start(shared: &Arc<Shared>) -> io::Result<Workers> {
    let threads = (0..shared.settings.workers.max(1)).map(|number| {
        let shared = shared.clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            if let Err(error) = run(shared) {
                tracing::error!(%error, "worker could not start");
            }
        })
    });
    threads.collect::<io::Result<_>>().map(Workers)
}

fn run(shared: Arc<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work(shared));
    Ok(())
}

/// Access log lines wait this long at most.
const LOG_FLUSH: Duration = Duration::from_secs(1);
/// After the last listener has closed, what is under way gets this long.
const LAST: Duration = Duration::from_secs(2);

async fn work(shared: Arc<Shared>) {
    let worker = Rc::new(Worker {
        upstreams: Upstreams::new(shared.secrets.clone(), shared.settings.packet_mark),
        recorder: shared.observe.recorder(),
        tls: ServerConfigs::new(shared.secrets.clone()),
        chains: Chains::default(),
        lifetimes: Lifetimes::default(),
        reader: RefCell::new(shared.live.reader()),
        random: Random::from_entropy(),
        sockets: Sockets::default(),
        shared,
    });
    tokio::task::spawn_local(sweep(worker.clone()));
    tokio::task::spawn_local(flush_logs(worker.clone()));
    tokio::task::spawn_local(worker.upstreams.clone().run(worker.shared.live.reader()));
    let mut phases = worker.shared.drain.watch();
    let mut changes = worker.shared.live.watch();
    let mut followed = Arc::default();
    let mut failed = Vec::new();
    loop {
        let listeners = worker.snapshot().listeners.clone();
        if !Arc::ptr_eq(&listeners, &followed) || !failed.is_empty() {
            failed = worker.sockets.follow(&worker, &listeners);
            for (address, error) in &failed {
                tracing::error!(%address, %error, "cannot listen; another process may hold the address");
            }
            worker.chains.follow(&listeners, worker.shared.settings.drain);
            followed = listeners;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = phases.changed() => match worker.shared.drain.phase() {
                Phase::Running => {}
                Phase::Draining => worker.chains.drain(worker.shared.settings.drain, false),
                Phase::Closing => break,
            },
            // An address that could not be opened may become free.
            () = tokio::time::sleep(Duration::from_secs(1)), if !failed.is_empty() => {}
        }
    }
    worker.sockets.close();
    worker.chains.drain(Duration::ZERO, true);
    let end = Instant::now() + LAST;
    while worker.shared.drain.connections() > 0 && Instant::now() < end {
        worker.lifetimes.sweep(Instant::now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.recorder.flush();
}

async fn flush_logs(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(LOG_FLUSH).await;
        worker.recorder.flush();
    }
}

async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(worker.lifetimes.interval()).await;
        worker.lifetimes.sweep(Instant::now());
    }
}
