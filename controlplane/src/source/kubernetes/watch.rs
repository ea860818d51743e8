//! One kind's watch: events of the API server in, events of the model out, over lists, errors and restarts.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use model::{Event, Key, Object};
use serde::de::DeserializeOwned;

use super::super::{Events, Problems, SourceEvent};
use crate::status::Observer;

/// An object of the model, none if it is not of interest, or what is wrong with it.
pub(super) type Converted = Result<Option<Object>, String>;

/// The API server's events, reduced to what matters here.
enum Seen {
    Applied(String, Option<i64>, Converted),
    Deleted(String),
    ListBegins,
    Listed(String, Option<i64>, Converted),
    ListEnds,
}

type SeenStream = Pin<Box<dyn Stream<Item = Result<Seen, watcher::Error>> + Send>>;

/// A watch that can be run.
pub(super) struct Watch {
    pub(super) name: &'static str,
    stream: SeenStream,
    /// Who is told of generations and status, for kinds that have them written.
    observer: Option<Observer>,
}

impl Watch {
    pub(super) fn new<K>(
        name: &'static str,
        api: Api<K>,
        config: watcher::Config,
        convert: impl Fn(K) -> Converted + Send + 'static,
    ) -> Self
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let seen = move |event: watcher::Event<K>| match event {
            watcher::Event::Apply(one) => Seen::Applied(place(&one), one.meta().generation, convert(one)),
            watcher::Event::Delete(one) => Seen::Deleted(place(&one)),
            watcher::Event::Init => Seen::ListBegins,
            watcher::Event::InitApply(one) => Seen::Listed(place(&one), one.meta().generation, convert(one)),
            watcher::Event::InitDone => Seen::ListEnds,
        };
        let stream = watcher(api, config).default_backoff().map(move |event| event.map(&seen));
        Self { name, stream: stream.boxed(), observer: None }
    }

    pub(super) fn observed(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    pub(super) async fn run(mut self, events: Events, problems: Arc<Problems>) {
        let mut state = State { observer: self.observer.take(), ..State::new(self.name, problems) };
        let mut synced = false;
        while let Some(seen) = self.stream.next().await {
            let listed = match seen {
                Ok(seen) => state.take_in(seen),
                Err(error) => state.failed(&error),
            };
            if !state.batch.is_empty() && state.listing.is_none() {
                let batch = std::mem::take(&mut state.batch);
                if events.send(SourceEvent::Objects(batch, Instant::now())).await.is_err() {
                    return;
                }
                let generations = std::mem::take(&mut state.generations);
                if !generations.is_empty()
                    && events.send(SourceEvent::Generations(generations)).await.is_err()
                {
                    return;
                }
            }
            if listed
                && !std::mem::replace(&mut synced, true)
                && events.send(SourceEvent::Synced(self.name)).await.is_err()
            {
                return;
            }
        }
    }
}

/// `namespace/name`.
fn place<K: Resource>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

/// What is known of a kind: only names, since the store has the rest.
struct State {
    kind: &'static str,
    problems: Arc<Problems>,
    known: HashMap<String, Key>,
    /// What the list that is being received has so far.
    listing: Option<HashMap<String, Key>>,
    batch: Vec<Event>,
    observer: Option<Observer>,
    /// Of the objects in the batch.
    generations: Vec<(Key, i64)>,
}

impl State {
    fn new(kind: &'static str, problems: Arc<Problems>) -> Self {
        Self {
            kind,
            problems,
            known: HashMap::new(),
            listing: None,
            batch: Vec::new(),
            observer: None,
            generations: Vec::new(),
        }
    }

    /// Returns true at the end of a list.
    fn take_in(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Applied(place, generation, converted) => {
                if let Some(key) = self.convert(&place, generation, converted) {
                    self.known.insert(place, key);
                }
            }
            Seen::Deleted(place) => {
                self.problems.clear(&self.label(&place));
                if let Some(observer) = &self.observer {
                    observer.objects.gone(observer.kind, &place);
                }
                self.batch.extend(self.known.remove(&place).map(Event::Deleted));
            }
            Seen::ListBegins => {
                if let Some(observer) = &self.observer {
                    observer.objects.listing(observer.kind);
                }
                self.listing = Some(HashMap::new());
            }
            Seen::Listed(place, generation, converted) => {
                // A broken object that was good before stays as it was.
                let key =
                    self.convert(&place, generation, converted).or_else(|| self.known.get(&place).cloned());
                if let (Some(listing), Some(key)) = (&mut self.listing, key) {
                    listing.insert(place, key);
                }
            }
            Seen::ListEnds => {
                if let Some(observer) = &self.observer {
                    observer.objects.listed(observer.kind);
                }
                let listed = self.listing.take().unwrap_or_default();
                let before = std::mem::replace(&mut self.known, listed);
                let gone = before.into_iter().filter(|(place, _)| !self.known.contains_key(place));
                self.batch.extend(gone.map(|(_, key)| Event::Deleted(key)));
                return true;
            }
        }
        false
    }

    fn convert(&mut self, place: &str, generation: Option<i64>, converted: Converted) -> Option<Key> {
        match converted {
            Ok(object) => {
                self.problems.clear(&self.label(place));
                let object = object?;
                let key = object.key();
                self.batch.push(Event::from(object));
                if self.observer.is_some() {
                    self.generations.extend(generation.map(|generation| (key.clone(), generation)));
                }
                Some(key)
            }
            Err(problem) => {
                self.problems.report(&self.label(place), problem);
                None
            }
        }
    }

    fn label(&self, place: &str) -> String {
        format!("{} {place}", self.kind)
    }

    /// A kind that the server does not know has no objects; it counts as synced, and is asked for again.
    fn failed(&self, error: &watcher::Error) -> bool {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        };
        if status == Some(404) {
            tracing::debug!(kind = self.kind, "the API server does not know this kind");
            return true;
        }
        tracing::warn!(kind = self.kind, %error, "watch interrupted; trying again");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state() -> State {
        State::new("Namespace", Arc::default())
    }

    fn namespace(name: &str) -> Converted {
        let document = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Object::from_json(document).map_err(|e| e.to_string())
    }

    fn told(state: &mut State) -> Vec<String> {
        let tell = |event: Event| match event {
            Event::Applied(object) => format!("+{}", object.key().name.name),
            Event::Deleted(key) => format!("-{}", key.name.name),
        };
        let mut told: Vec<_> = state.batch.drain(..).map(tell).collect();
        told.sort();
        told
    }

    fn list(state: &mut State, names: &[&str]) {
        state.take_in(Seen::ListBegins);
        for name in names {
            state.take_in(Seen::Listed((*name).to_owned(), None, namespace(name)));
        }
        assert!(state.take_in(Seen::ListEnds));
    }

    #[test]
    fn a_list_after_a_lost_watch_finds_what_was_deleted_meanwhile() {
        let mut state = state();
        list(&mut state, &["a", "b"]);
        assert_eq!(told(&mut state), ["+a", "+b"]);
        list(&mut state, &["b", "c"]);
        assert_eq!(told(&mut state), ["+b", "+c", "-a"]);
    }

    #[test]
    fn a_broken_object_is_reported_and_keeps_its_last_good_state() {
        let mut state = state();
        list(&mut state, &["a"]);
        told(&mut state);
        state.take_in(Seen::Applied("a".into(), None, Err("bad".into())));
        assert_eq!(told(&mut state), [""; 0]);
        assert_eq!(state.problems.all()["Namespace a"], "bad");
        state.take_in(Seen::ListBegins);
        state.take_in(Seen::Listed("a".into(), None, Err("bad".into())));
        state.take_in(Seen::ListEnds);
        assert_eq!(told(&mut state), [""; 0], "still there");
        state.take_in(Seen::Deleted("a".into()));
        assert_eq!(told(&mut state), ["-a"]);
        assert!(state.problems.all().is_empty());
    }

    #[test]
    fn a_kind_that_is_not_installed_is_empty_and_other_errors_are_not() {
        let error = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
        };
        assert!(state().failed(&error(404)));
        assert!(!state().failed(&error(403)));
    }
}
