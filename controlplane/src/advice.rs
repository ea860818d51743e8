//! What the mesh says about objects: warnings at admission, before one is stored, and one line in the log for each that
//! does not do what it says. Status conditions say the same on the object itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use crds::Problem;
use model::{Finding, FindingKind, Key, Mesh, Object, Severity};
use serde_json::Value;
use tokio::sync::watch;

use crate::findings::{Findings, Found};
use crate::source::Problems;

/// Objects that come together are looked at together.
const PACE: Duration = Duration::from_secs(1);
/// Some findings depend on pods, which come and go all the time; for these alone everything is looked at so often.
const REVIEW: Duration = Duration::from_mins(1);
/// Where findings are listed among the problems.
const FOUND: &str = "found/";
/// Findings of one object that are written out.
const SAID: usize = 3;

/// Warns of what an object names that is not there, by the mesh as last published.
#[derive(Clone)]
pub(crate) struct Advice {
    pub(crate) mesh: Arc<ArcSwap<Mesh>>,
    /// Until everything was read once, whatever an object names may exist.
    pub(crate) synced: watch::Receiver<bool>,
}

impl webhook::Judge for Advice {
    async fn objections(&self, _: &Value, _: Option<&Value>) -> Vec<Problem> {
        Vec::new()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        if !*self.synced.borrow() {
            return Vec::new();
        }
        let mut object = object.clone();
        // Younger than all that exist; the API server says so itself, other callers may not.
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            let created = metadata.entry("creationTimestamp").or_insert(Value::Null);
            if created.is_null() {
                *created = "9000-01-01T00:00:00Z".into();
            }
        }
        // What cannot be read has been refused already.
        let Ok(Some(object)) = Object::from_json(object) else { return Vec::new() };
        let mut found = model::findings_if_applied(&self.mesh.load(), object);
        // Pods may well come after the rules for them.
        found.retain(|one| one.severity >= Severity::Warning && one.kind != FindingKind::Empty);
        found.sort_by_key(|one| std::cmp::Reverse(one.severity));
        found.iter().map(ToString::to_string).collect()
    }
}

/// Keeps the list of objects that do not do what they say, each told once in the log.
pub(crate) async fn follow(advice: Advice, findings: Arc<Findings>, problems: Arc<Problems>) {
    // Fails only when the publisher is gone, and with it everything that could be said.
    if advice.synced.clone().wait_for(|synced| *synced).await.is_err() {
        return;
    }
    let mut told: Option<Arc<Found>> = None;
    loop {
        let (mesh, asked) = (advice.mesh.load_full(), findings.clone());
        // A large mesh takes a moment, in which no stream should wait.
        let Ok(found) = tokio::task::spawn_blocking(move || asked.of(&mesh, REVIEW)).await else { return };
        if told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &found)) {
            let errors: Vec<_> = found.iter().filter_map(errors).collect();
            let places: Vec<_> = errors.iter().map(|(place, _)| place.clone()).collect();
            for (place, message) in errors {
                problems.note(&place, message);
            }
            problems.keep(FOUND, &places);
            told = Some(found);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// An object with errors, and these in a few words.
fn errors((key, found): (&Key, &Vec<Finding>)) -> Option<(String, String)> {
    let errors: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let mut said: Vec<_> = errors.iter().take(SAID).map(ToString::to_string).collect();
    if errors.len() > SAID {
        said.push(format!("and {} more", errors.len() - SAID));
    }
    (!said.is_empty()).then(|| (format!("{FOUND}{key}"), said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Store;
    use serde_json::json;
    use webhook::Judge as _;

    fn route_to(host: &str) -> Value {
        json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
               "metadata": {"name": "r", "namespace": "shop"},
               "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": host}}]}]}})
    }

    fn service(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
               "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": "http"}]}})
    }

    fn mesh(documents: &[Value]) -> Arc<Mesh> {
        let mut store = Store::new("cluster.local", "Kubernetes");
        for document in documents {
            store.apply(Object::from_json(document.clone()).unwrap().unwrap().into());
        }
        store.mesh()
    }

    fn advice(mesh: Arc<Mesh>, synced: bool) -> Advice {
        Advice { mesh: Arc::new(ArcSwap::new(mesh)), synced: watch::channel(synced).1 }
    }

    #[test]
    fn an_object_is_warned_about_by_the_mesh_as_it_is() {
        let advisor = advice(mesh(&[service("reviews")]), true);
        let warnings = advisor.warnings(&route_to("revews"));
        assert_eq!(
            warnings,
            [
                "spec.http[0].route[0].destination.host: no service has the host revews.shop.svc.cluster.local; \
              did you mean reviews.shop.svc.cluster.local?"
            ]
        );
        // It has no endpoint yet, which is nothing to warn of before the pods are there.
        assert_eq!(advisor.warnings(&route_to("reviews")), [""; 0]);
        assert_eq!(advice(mesh(&[]), false).warnings(&route_to("revews")), [""; 0], "nothing is known yet");
        for odd in [json!(null), json!({"kind": "VirtualService"}), json!({"metadata": 5, "kind": 1})] {
            assert_eq!(advisor.warnings(&odd), [""; 0], "{odd}");
        }
    }

    #[test]
    fn an_object_without_age_is_younger_than_all() {
        let mut older = route_to("reviews");
        older["metadata"]["name"] = "older".into();
        let warnings = advice(mesh(&[service("reviews"), older]), true).warnings(&route_to("reviews"));
        assert!(
            matches!(&warnings[..], [one] if one.contains("VirtualService shop/older is older")),
            "{warnings:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_is_listed_until_it_is_mended() {
        let broken = mesh(&[service("reviews"), route_to("revews")]);
        let advisor = advice(broken, true);
        let problems: Arc<Problems> = Arc::default();
        let follower = tokio::spawn(follow(advisor.clone(), Arc::default(), problems.clone()));
        let listed = async |count: usize| {
            while problems.all().len() != count {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            problems.all()
        };
        let all = listed(1).await;
        assert!(all["found/VirtualService shop/r"].contains("did you mean"), "{all:?}");
        advisor.mesh.store(mesh(&[service("reviews"), route_to("reviews")]));
        assert!(listed(0).await.is_empty());
        follower.abort();
    }
}
