//! Works out which objects should have which status. Blocking, and not cheap for a large mesh: called off the streams'
//! threads, at human speed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crds::meta::IstioStatus;
use jiff::Timestamp;
use model::{Key, Kind, Mesh};

use super::conditions::{arrived, status, urgency};
use super::lost::is_lost;
use super::objects::{Objects, Seen};
use super::progress::Progress;
use super::proxies::{Proxies, Watcher};
use super::verdict::{Known, PENDING, Verdict};
use crate::ads::Connections;
use crate::findings::{Findings, Found};
use crate::mesh::{Book, InForce, Ledger};

/// Everything is looked at anew so often, whatever happened.
const REVIEW: Duration = Duration::from_mins(1);
/// The same while some proxy lags or refuses.
const TROUBLED: Duration = Duration::from_secs(5);
/// Findings may depend on pods; where only those come and go, they are looked for so often.
const PODS: Duration = Duration::from_secs(5);
/// A new generation is usually everywhere within this time, and one write says so.
const GRACE: Duration = Duration::from_secs(1);
/// A proxy that lost its control plane is back within this time.
const ARRIVAL: Duration = Duration::from_secs(15);

/// What statuses are made from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) objects: Arc<Objects>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) connections: Arc<Connections>,
}

/// A status to write.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) key: Key,
    pub(super) seen: Arc<Seen>,
    pub(super) status: IstioStatus,
    /// How old the object's last write must be.
    pub(super) urgency: Duration,
}

/// What other replicas say, and which of them say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    progress: HashMap<Key, Progress>,
    /// Replicas that have not put an object's generation in force.
    behind: HashMap<Key, String>,
    /// A replica that did not answer.
    pub(super) silent: Option<String>,
}

impl Others {
    /// Takes in what a replica says of an object.
    pub(super) fn hear(&mut self, replica: &str, key: &Key, answer: Option<Progress>) {
        match answer {
            Some(progress) => self.progress.entry(key.clone()).or_default().add(progress),
            None => drop(self.behind.insert(key.clone(), replica.to_owned())),
        }
    }
}

/// What is remembered between two looks.
pub(super) struct Desk {
    sources: Sources,
    started: Instant,
    watcher: Watcher,
    found: Arc<Found>,
    reviewed: Option<Instant>,
    troubled: bool,
    /// Objects that something was to be written about at the last look, written meanwhile or not.
    wished: HashSet<Key>,
}

/// One look at everything.
pub(super) struct Look {
    objects: BTreeMap<Key, Arc<Seen>>,
    book: Book,
    pub(super) mesh: Arc<Mesh>,
    proxies: Proxies,
    /// Whether objects that had arrived are looked at again.
    review: bool,
    /// Whether findings may be others than at the last look.
    anew: bool,
    now: Instant,
}

impl Look {
    fn is_due(&self, key: &Key, seen: &Seen) -> bool {
        self.review || arrived(&seen.status, seen.generation).is_none_or(|_| self.is_behind(key, seen))
    }

    fn in_force(&self, key: &Key) -> Option<InForce> {
        self.book.in_force.get(key).copied()
    }

    fn is_behind(&self, key: &Key, seen: &Seen) -> bool {
        self.in_force(key).is_none_or(|known| known.generation != seen.generation)
    }

    /// Generations whose progress is asked about.
    pub(super) fn questions(&self) -> Vec<(Key, i64)> {
        let due = self.objects.iter().filter(|(key, seen)| self.is_due(key, seen) && seen.broken.is_none());
        due.map(|(key, seen)| (key.clone(), seen.generation)).collect()
    }
}

impl Desk {
    pub(super) fn new(sources: Sources, now: Instant) -> Self {
        Self {
            sources,
            started: now,
            watcher: Watcher::default(),
            found: Arc::default(),
            reviewed: None,
            troubled: false,
            wished: HashSet::new(),
        }
    }

    /// Looks at everything, and finds what is to be found anew where something changed.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        // The ledger before the mesh: what it says is in force is in the mesh that is read after it.
        let book = self.sources.ledger.book();
        let mesh = self.sources.mesh.load_full();
        let proxies = self.watcher.look(&self.sources.connections, now);
        let objects = self.sources.objects.all();
        let troubled = proxies.are_troubled();
        let often = if troubled || self.troubled { TROUBLED } else { REVIEW };
        let review = self.reviewed.is_none_or(|at| now.duration_since(at) >= often);
        if review {
            (self.reviewed, self.troubled) = (Some(now), troubled);
        }
        let before = std::mem::replace(&mut self.found, self.sources.findings.of(&mesh, PODS));
        let anew = !Arc::ptr_eq(&before, &self.found);
        Look { objects, book, mesh, proxies, review, anew, now }
    }

    /// What should be written, given what other replicas say; and whether some object is still on its way.
    pub(super) fn wishes(&mut self, look: &Look, others: &Others) -> (Vec<Wish>, bool) {
        let mut wishes = Vec::new();
        let before = std::mem::take(&mut self.wished);
        let mut on_the_way = false;
        for (key, seen) in &look.objects {
            if !look.anew && !look.is_due(key, seen) && !before.contains(key) {
                continue;
            }
            let verdict = self.verdict(look, others, key, seen);
            let pending = verdict.programmed.reason == PENDING;
            on_the_way |= pending;
            if pending && look.now.duration_since(seen.since) < GRACE {
                continue;
            }
            let after = status(
                &seen.status,
                seen.generation,
                &verdict,
                self.found.get(key).map_or(&[], Vec::as_slice),
                Timestamp::now(),
            );
            if let Some(urgency) = urgency(&seen.status, &after) {
                self.wished.insert(key.clone());
                wishes.push(Wish { key: key.clone(), seen: seen.clone(), status: after, urgency });
            }
        }
        (wishes, on_the_way)
    }

    fn verdict(&self, look: &Look, others: &Others, key: &Key, seen: &Seen) -> Verdict {
        let in_force = look.in_force(key);
        let current = in_force.filter(|known| known.generation == seen.generation);
        let progress = current.filter(|_| look.is_due(key, seen)).map(|in_force| {
            let mut progress = Progress::of(&look.mesh, key, in_force, &look.proxies);
            if let Some(other) = others.progress.get(key) {
                progress.add(other.clone());
            }
            progress
        });
        let findings = self.found.get(key).map_or(&[][..], Vec::as_slice);
        let held = if key.kind == Kind::VirtualService { look.book.held.get(&key.name) } else { None };
        Verdict::of(&Known {
            broken: seen.broken.as_deref(),
            generation: seen.generation,
            in_force: in_force.map(|known| known.generation),
            held,
            findings,
            lost: is_lost(&look.mesh, key, findings),
            progress: progress.as_ref(),
            silent: others.behind.get(key).or(others.silent.as_ref()).map(String::as_str),
            arrived: arrived(&seen.status, seen.generation),
            early: look.now.duration_since(self.started) < ARRIVAL,
        })
    }
}
