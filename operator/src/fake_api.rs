//! An API server in memory: as much of one as the tests need. Faults and other people's objects are easy to have here.

use std::{collections::BTreeMap, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Objects by path, and what was asked of them.
#[derive(Clone, Default)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Path, Value>,
    log: Vec<String>,
}

/// The path of an object: API, namespace, plural, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    api: String,
    namespace: Option<String>,
    plural: String,
    name: String,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let query = head.uri.query().unwrap_or_default().replace("%2F", "/").replace("%3D", "=");
                let (status, answer) = api.state.lock().answer(&head.method, head.uri.path(), &query, body);
                let answer = Body::from(answer.to_string().into_bytes());
                Response::builder().status(status).body(answer).map_err(std::io::Error::other)
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let (path, _) = parse(path);
        self.state.lock().objects.insert(path, object);
    }

    /// An object as it is.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(&parse(path).0).cloned()
    }

    /// Changes an object, as a controller would.
    pub(crate) fn change(&self, path: &str, patch: &Value) {
        if let Some(object) = self.state.lock().objects.get_mut(&parse(path).0) {
            json_patch::merge(object, patch);
        }
    }

    /// Removes an object, as somebody else would.
    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().objects.remove(&parse(path).0);
    }

    /// What was written, in order: method, plural and name.
    pub(crate) fn written(&self) -> Vec<String> {
        self.state.lock().log.iter().filter(|line| !line.starts_with("GET ")).cloned().collect()
    }

    /// What was deleted, in order: plural and name.
    pub(crate) fn deleted(&self) -> Vec<String> {
        self.state
            .lock()
            .log
            .iter()
            .filter_map(|line| line.strip_prefix("DELETE "))
            .map(str::to_owned)
            .collect()
    }

    /// Every object as `plural name`.
    pub(crate) fn list(&self) -> Vec<String> {
        self.state.lock().objects.keys().map(|path| format!("{} {}", path.plural, path.name)).collect()
    }
}

/// Splits a path; a collection has no name. Also says which subresource is meant.
fn parse(path: &str) -> (Path, String) {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (api, rest) = segments.split_at(if segments[0] == "api" { 2 } else { 3 });
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
    (Path { api: api.join("/"), namespace, plural: part(0), name: part(1) }, part(2))
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(), "reason": reason,
        "message": reason, "metadata": {},
    });
    (status, body)
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (StatusCode, Value) {
        let (path, subresource) = parse(path);
        self.log.push(format!("{method} {} {}", path.plural, path.name));
        let found = self.objects.get(&path).cloned();
        match (method.as_str(), found) {
            ("GET", _) if path.name.is_empty() => (StatusCode::OK, self.collection(&path, query)),
            ("POST", _) if path.plural == "events" => (StatusCode::CREATED, body),
            ("POST", _) => self.create(path, body),
            ("PUT", Some(_)) => {
                self.objects.insert(path, body.clone());
                (StatusCode::OK, body)
            }
            ("PATCH", found) => {
                let mut object = found.unwrap_or_else(|| json!({}));
                json_patch::merge(&mut object, &body);
                let bare = object.pointer("/metadata/finalizers").is_some_and(|list| *list == json!([]));
                if subresource.is_empty() && bare && object.pointer("/metadata/deletionTimestamp").is_some() {
                    self.objects.remove(&path);
                } else {
                    self.objects.insert(path, object.clone());
                }
                (StatusCode::OK, object)
            }
            (_, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            ("DELETE", Some(object)) => {
                self.objects.remove(&path);
                (StatusCode::OK, object)
            }
            (_, Some(object)) => (StatusCode::OK, object),
        }
    }

    fn create(&mut self, collection: Path, body: Value) -> (StatusCode, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let path = Path { name, ..collection };
        if self.objects.contains_key(&path) {
            return failure(StatusCode::CONFLICT, "AlreadyExists");
        }
        self.objects.insert(path, body.clone());
        (StatusCode::CREATED, body)
    }

    fn collection(&self, wanted: &Path, query: &str) -> Value {
        let label = query.split('&').find_map(|part| part.strip_prefix("labelSelector=")?.split_once('='));
        let name = query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name="));
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(path, _)| {
                (&path.api, &path.plural) == (&wanted.api, &wanted.plural)
                    && (wanted.namespace.is_none() || path.namespace == wanted.namespace)
                    && name.is_none_or(|name| path.name == name)
            })
            .map(|(_, object)| object)
            .filter(|object| {
                label.is_none_or(|(key, value)| {
                    object["metadata"]["labels"].get(key).is_some_and(|found| found == value)
                })
            })
            .collect();
        json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
    }
}
