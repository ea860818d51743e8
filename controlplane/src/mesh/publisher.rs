//! The thread that owns the mesh.
//!
//! Sources' events go into the store as they come. When the debounce says so, the mesh is published, every view is updated
//! by what changed, and each proxy concerned finds its new snapshot in its slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use model::{Changes, Event, Key, Kind, Mesh, NamespacedName, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use translate::ProxyNode;

use super::command::{Command, Registration, Views};
use super::debounce::{Debounce, Weight};
use super::ledger::Ledger;
use super::patience::Patience;
use super::views::Registry;
use crate::monitor::Metrics;
use crate::source::{Problems, SourceEvent};

/// Batches of events taken in before anything else gets a turn.
const BATCH: usize = 1024;
/// Where rules that wait are listed among the problems.
const WAITING: &str = "waiting/VirtualService ";

/// What the publisher needs.
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) events: mpsc::Receiver<SourceEvent>,
    /// Sources that must have delivered everything before a proxy is answered.
    pub(crate) sources: BTreeSet<&'static str>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) problems: Arc<Problems>,
    /// How long a VirtualService waits for what it leads to; zero: not at all.
    pub(crate) rule_hold: Duration,
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
    patience: Patience,
    /// Generations that the store has and the published mesh has not, or that wait.
    generations: BTreeMap<Key, i64>,
    ledger: Arc<Ledger>,
    problems: Arc<Problems>,
    metrics: Arc<Metrics>,
}

/// What others see of it.
pub(crate) struct Published {
    pub(crate) views: Views,
    /// The mesh as last published.
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    /// True once every source has delivered what there was at the start.
    pub(crate) synced: watch::Receiver<bool>,
    /// Which generations of objects it has.
    pub(crate) ledger: Arc<Ledger>,
}

impl Publisher {
    pub(crate) fn new(setup: Setup) -> (Self, Published) {
        let (sender, commands) = mpsc::unbounded_channel();
        let handle = Views(sender);
        let (synced, receiver) = watch::channel(setup.sources.is_empty());
        let mesh = Arc::new(ArcSwap::new(setup.store.mesh()));
        let ledger = Arc::new(Ledger::default());
        let published =
            Published { views: handle.clone(), mesh: mesh.clone(), synced: receiver, ledger: ledger.clone() };
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
            patience: Patience::new(setup.rule_hold),
            generations: BTreeMap::new(),
            ledger,
            problems: setup.problems,
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
            let publish = at(self.debounce.deadline());
            let release = at(self.patience.deadline());
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.take_in(event),
                    None => return,
                },
                () = publish => self.publish(),
                () = release => self.release(),
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
                    if let Event::Deleted(key) = &event {
                        self.generations.remove(key);
                        self.ledger.strike(key);
                    }
                    changes.merge(self.store.apply(event));
                }
                if self.unsynced.is_empty() {
                    // Seldom: most events find no rule that waits.
                    if self.patience.deadline().is_some() || self.store.held().next().is_some() {
                        self.note_held();
                    }
                    // Nothing is sent, but what is said about objects may differ.
                    if changes.is_empty() && self.pending.is_empty() {
                        self.show_mesh();
                    }
                    self.note(changes, seen);
                }
            }
            SourceEvent::Generations(generations) => {
                let news: Vec<_> = generations.into_iter().filter(|told| self.is_news(told)).collect();
                if news.is_empty() {
                    return;
                }
                self.generations.extend(news);
                // What changed nothing is in force already, and a rule that waits can be read about.
                if self.unsynced.is_empty() && self.pending.is_empty() {
                    self.show_mesh();
                    self.enter_generations(self.registry.latest());
                    self.ledger.turn(false);
                }
            }
            SourceEvent::SecretsKnown(namespace) => self.store.know_secrets(&namespace),
            SourceEvent::Synced(source) => {
                self.unsynced.remove(source);
                if self.unsynced.is_empty() && !*self.synced.borrow() {
                    self.start();
                }
            }
        }
    }

    /// Puts changes on the list for the next publication.
    fn note(&mut self, changes: Changes, seen: Instant) {
        if changes.is_empty() {
            return;
        }
        let weight = if changes.only_endpoints() { Weight::Endpoints } else { Weight::Configuration };
        self.pending.merge(changes);
        self.since.get_or_insert(seen);
        self.debounce.note(weight, Instant::now());
    }

    /// Keeps track of rules that wait, and lists them among the problems with what they wait for.
    fn note_held(&mut self) {
        self.patience.note(self.store.held().map(|(name, _)| name), Instant::now());
        let place = |name: &NamespacedName| format!("{WAITING}{name}");
        for (name, missing) in self.store.held() {
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            self.problems.report(&place(name), missing.join("; "));
        }
        let waiting: Vec<_> = self.store.held().map(|(name, _)| place(name)).collect();
        self.problems.keep(WAITING, &waiting);
        self.ledger.hold(self.store.held());
    }

    /// Puts rules into effect that have waited long enough.
    fn release(&mut self) {
        let now = Instant::now();
        for name in self.patience.due(now) {
            tracing::warn!(virtual_service = %name, "what a rule leads to is still missing; it takes effect as it is");
            let changes = self.store.release(&name);
            self.note(changes, now);
        }
        self.note_held();
    }

    /// Whether a generation was not told before: an object whose status alone changed is no news.
    fn is_news(&self, (key, generation): &(Key, i64)) -> bool {
        self.generations.get(key) != Some(generation)
            && self.ledger.get(key).is_none_or(|known| known.generation != *generation)
    }

    /// Notes which generations are in the published mesh; those of rules that wait are not.
    fn enter_generations(&mut self, after: u64) {
        if self.generations.is_empty() {
            return;
        }
        let held: BTreeSet<_> = self.store.held().map(|(name, _)| name).collect();
        let waits = |key: &Key| key.kind == Kind::VirtualService && held.contains(&key.name);
        let (waiting, entered): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.generations).into_iter().partition(|(key, _)| waits(key));
        self.generations = waiting;
        self.ledger.enter(entered.into_iter(), after);
    }

    /// Everything is known: answers the proxies that came early.
    fn start(&mut self) {
        if self.patience.holds() {
            drop(self.store.hold_rules(true)); // nothing is held yet, so nothing changes
        }
        self.show_mesh();
        self.enter_generations(0);
        self.ledger.turn(false);
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
            return self.enter_generations(self.registry.latest());
        }
        self.show_mesh();
        let trigger = trigger(&changes);
        self.metrics.triggered(trigger);
        let mesh = self.mesh.load_full();
        let before = self.registry.latest();
        let told = self.registry.publish(&mesh, &changes, since);
        self.enter_generations(before);
        self.ledger.turn(trigger == ENDPOINT);
        tracing::debug!(trigger, proxies = told, took = ?since.elapsed(), "published");
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

/// Waits until then; for ever if there is no such time.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// istiod's word for pushes of endpoints alone.
const ENDPOINT: &str = "endpoint";

/// istiod's words for what led to a push.
fn trigger(changes: &Changes) -> &'static str {
    if changes.everything {
        "global"
    } else if changes.only_endpoints() {
        ENDPOINT
    } else if !changes.services.is_empty() {
        "service"
    } else if !changes.secrets.is_empty() {
        "secret"
    } else {
        "config"
    }
}
