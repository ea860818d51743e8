//! Secrets, only of namespaces that have a gateway which may read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use model::Object;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Tasks;
use super::watch::Watch;
use crate::source::{Events, Problems, SourceEvent};

/// Kinds of Secrets that never hold a gateway's certificate, and are many.
const UNINTERESTING: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
                             type!=kubernetes.io/dockerconfigjson,type!=istio.io/ca-root";

/// Events of one namespace's watch that may wait.
const QUEUE: usize = 16;

async fn pass_on(mut delivered: mpsc::Receiver<SourceEvent>, namespace: String, events: Events) {
    while let Some(event) = delivered.recv().await {
        let event = match event {
            SourceEvent::Synced(_) => SourceEvent::SecretsKnown(namespace.clone()),
            other => other,
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Starts a watch per namespace, when it is first needed.
#[derive(Clone)]
pub(crate) struct SecretWatches {
    pub(crate) client: Client,
    pub(crate) events: Events,
    pub(crate) problems: Arc<Problems>,
    pub(crate) tasks: Tasks,
    pub(crate) watched: Arc<Mutex<BTreeSet<String>>>,
}

impl SecretWatches {
    pub(super) fn watch(&self, namespace: &str) {
        if !self.watched.lock().insert(namespace.to_owned()) {
            return;
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let watch = Watch::new("Secret", api, Config::default().fields(UNINTERESTING), |secret| {
            Ok(Some(Object::from(&secret)))
        });
        // Its own channel tells when all that exist have been delivered.
        let (seen, delivered) = mpsc::channel(QUEUE);
        self.tasks.run(watch.run(seen, self.problems.clone()));
        self.tasks.run(pass_on(delivered, namespace.to_owned(), self.events.clone()));
    }
}
