//! Secrets, only of namespaces that have a gateway which may read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use model::Object;
use parking_lot::Mutex;

use super::Tasks;
use super::watch::Watch;
use crate::source::{Events, Problems};

/// Kinds of Secrets that never hold a gateway's certificate, and are many.
const UNINTERESTING: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
                             type!=kubernetes.io/dockerconfigjson,type!=istio.io/ca-root";

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
        self.tasks.run(watch.run(self.events.clone(), self.problems.clone()));
    }
}
