//! The thread that owns the mesh.
//!
//! Sources' events go into the store as they come. When the debounce says so, the mesh is published, every view is updated
//! by what changed, and each proxy concerned finds its new snapshot in its slot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use model::{Changes, Event, Mesh, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use translate::ProxyNode;

use super::command::{Command, Registration, Views};
use super::debounce::{Debounce, Weight};
use super::views::Registry;
use crate::monitor::Metrics;
use crate::source::SourceEvent;

/// Batches of events taken in before anything else gets a turn.
const BATCH: usize = 1024;

/// What the publisher needs.
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) events: mpsc::Receiver<SourceEvent>,
    /// Sources that must have delivered everything before a proxy is answered.
    pub(crate) sources: BTreeSet<&'static str>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Owns the store, runs on a thread of its own.
pub(crate) struct Publisher {
    store: Store,
    events: mpsc::Receiver<SourceEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    handle: Views,
    unsynced: BTreeSet<&'static str>,
    synced: watch::Sender<bool>,
    mesh: Arc<ArcSwap<Mesh>>,
    registry: Registry,
    waiting: Vec<(Box<ProxyNode>, oneshot::Sender<Registration>)>,
    pending: Changes,
    since: Option<Instant>,
    debounce: Debounce,
    metrics: Arc<Metrics>,
}

/// What others see of it.
pub(crate) struct Published {
    pub(crate) views: Views,
    /// The mesh as last published.
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    /// True once every source has delivered what there was at the start.
    pub(crate) synced: watch::Receiver<bool>,
}

impl Publisher {
    pub(crate) fn new(setup: Setup) -> (Self, Published) {
        let (sender, commands) = mpsc::unbounded_channel();
        let handle = Views(sender);
        let (synced, receiver) = watch::channel(setup.sources.is_empty());
        let mesh = Arc::new(ArcSwap::new(setup.store.mesh()));
        let published = Published { views: handle.clone(), mesh: mesh.clone(), synced: receiver };
        let publisher = Self {
            store: setup.store,
            events: setup.events,
            commands,
            handle,
            unsynced: setup.sources,
            synced,
            mesh,
            registry: Registry::default(),
            waiting: Vec::new(),
            pending: Changes::default(),
            since: None,
            debounce: Debounce::default(),
            metrics: setup.metrics,
        };
        (publisher, published)
    }

    /// Runs on a thread of its own until `stop`, so that generating never delays a stream.
    pub(crate) fn spawn(self, stop: CancellationToken) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.run() => {}
                }
            });
        };
        std::thread::Builder::new().name("mesh".to_owned()).spawn(run).map(drop)
    }

    /// Runs until the sources are gone.
    async fn run(mut self) {
        loop {
            let due = self.debounce.deadline().map(tokio::time::Instant::from_std);
            let publish = async {
                match due {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.take_in(event),
                    None => return,
                },
                () = publish => self.publish(),
                Some(command) = self.commands.recv() => self.obey(command),
            }
        }
    }

    /// Takes in an event and whatever is queued behind it.
    fn take_in(&mut self, event: SourceEvent) {
        self.apply(event);
        for _ in 0..BATCH {
            match self.events.try_recv() {
                Ok(event) => self.apply(event),
                Err(_) => break,
            }
        }
        if self.debounce.deadline().is_some_and(|due| due <= Instant::now()) {
            self.publish();
        }
    }

    fn apply(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Objects(events, seen) => {
                let mut changes = Changes::default();
                for event in events {
                    self.count(&event);
                    changes.merge(self.store.apply(event));
                }
                if changes.is_empty() || !self.unsynced.is_empty() {
                    return;
                }
                let weight = if changes.only_endpoints() { Weight::Endpoints } else { Weight::Configuration };
                self.pending.merge(changes);
                self.since.get_or_insert(seen);
                self.debounce.note(weight, Instant::now());
            }
            SourceEvent::Synced(source) => {
                self.unsynced.remove(source);
                if self.unsynced.is_empty() && !*self.synced.borrow() {
                    self.start();
                }
            }
        }
    }

    /// Everything is known: answers the proxies that came early.
    fn start(&mut self) {
        self.show_mesh();
        self.synced.send_replace(true);
        tracing::info!(services = self.mesh.load().services.len(), "sources are synced");
        for (node, reply) in std::mem::take(&mut self.waiting) {
            self.register(*node, reply);
        }
    }

    fn show_mesh(&self) {
        let mesh = self.store.mesh();
        self.metrics.services.set(mesh.services.len() as i64);
        self.mesh.store(mesh);
    }

    fn publish(&mut self) {
        self.debounce.published();
        let changes = std::mem::take(&mut self.pending);
        let since = self.since.take().unwrap_or_else(Instant::now);
        if changes.is_empty() {
            return;
        }
        self.show_mesh();
        self.metrics.triggered(trigger(&changes));
        let mesh = self.mesh.load_full();
        let told = self.registry.publish(&mesh, &changes, since);
        tracing::debug!(trigger = trigger(&changes), proxies = told, took = ?since.elapsed(), "published");
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Register { node, reply } if self.unsynced.is_empty() => self.register(*node, reply),
            Command::Register { node, reply } => self.waiting.push((node, reply)),
            Command::Leave { id } => self.registry.leave(id),
        }
    }

    fn register(&mut self, node: ProxyNode, reply: oneshot::Sender<Registration>) {
        if reply.is_closed() {
            return;
        }
        let (id, slot) = self.registry.register(node, &self.store.mesh());
        // A stream that ended meanwhile drops what it is sent, and so leaves.
        let _ = reply.send(Registration { id, slot, commands: self.handle.0.clone() });
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Applied(object) => self.metrics.object_event(object.key().kind, "update"),
            Event::Deleted(key) => self.metrics.object_event(key.kind, "delete"),
        }
    }
}

/// istiod's words for what led to a push.
fn trigger(changes: &Changes) -> &'static str {
    if changes.everything {
        "global"
    } else if changes.only_endpoints() {
        "endpoint"
    } else if !changes.services.is_empty() {
        "service"
    } else if !changes.secrets.is_empty() {
        "secret"
    } else {
        "config"
    }
}
