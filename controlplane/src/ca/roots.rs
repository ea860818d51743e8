//! ConfigMap `istio-ca-root-cert` in every namespace: what proxies mount to trust the control plane. Written by the leader,
//! put back when somebody changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use leader::Seat;
use tokio::sync::watch;

/// Name of the ConfigMap, mounted by every injected pod.
pub(crate) const CONFIG_MAP: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";
const MANAGER: &str = "trysail-controlplane";
/// Namespaces that never have injected pods, as istiod skips them.
const SKIPPED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
const RETRY: Duration = Duration::from_secs(5);

/// What is and what should be.
#[derive(Debug, Default)]
struct Roots {
    namespaces: BTreeSet<String>,
    present: BTreeMap<String, String>,
    listing: Option<BTreeMap<String, String>>,
}

impl Roots {
    fn namespace(&mut self, event: watcher::Event<PartialObjectMeta<Namespace>>) {
        match event {
            watcher::Event::Apply(one) | watcher::Event::InitApply(one) => {
                let name = one.name_any();
                let ending = one.metadata.deletion_timestamp.is_some();
                if ending || SKIPPED.contains(&name.as_str()) {
                    self.namespaces.remove(&name);
                } else {
                    self.namespaces.insert(name);
                }
            }
            watcher::Event::Delete(one) => drop(self.namespaces.remove(&one.name_any())),
            watcher::Event::Init => self.namespaces.clear(),
            watcher::Event::InitDone => {}
        }
    }

    fn config_map(&mut self, event: watcher::Event<ConfigMap>) {
        let entry = |map: ConfigMap| {
            let root = map.data.as_ref().and_then(|data| data.get(KEY)).cloned().unwrap_or_default();
            (map.namespace().unwrap_or_default(), root)
        };
        match event {
            watcher::Event::Apply(map) => self.present.extend([entry(map)]),
            watcher::Event::Delete(map) => drop(self.present.remove(&entry(map).0)),
            watcher::Event::Init => self.listing = Some(BTreeMap::new()),
            watcher::Event::InitApply(map) => self.listing.get_or_insert_default().extend([entry(map)]),
            watcher::Event::InitDone => self.present = self.listing.take().unwrap_or_default(),
        }
    }

    /// Namespaces whose ConfigMap is missing or wrong.
    fn due(&self, root: &str) -> Vec<String> {
        let wrong = |name: &&String| self.present.get(*name).is_none_or(|present| present != root);
        self.namespaces.iter().filter(wrong).cloned().collect()
    }
}

/// Keeps every namespace's ConfigMap as it should be, while this replica has the seat.
pub(crate) async fn keep(client: Client, mut root: watch::Receiver<Arc<str>>, mut seat: Seat) {
    let mut roots = Roots::default();
    let mut namespaces = std::pin::pin!(namespaces(&client));
    let mut config_maps = std::pin::pin!(config_maps(&client));
    let mut retry: Option<tokio::time::Instant> = None;
    loop {
        let pause = async {
            match retry {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = namespaces.next() => if let Ok(event) = event { roots.namespace(event) },
            Some(event) = config_maps.next() => if let Ok(event) = event { roots.config_map(event) },
            Ok(()) = root.changed() => {}
            () = seat.changed() => {}
            () = pause => {}
            else => return,
        }
        retry = None;
        if !seat.held() || roots.listing.is_some() {
            continue;
        }
        let current = root.borrow().clone();
        for namespace in roots.due(&current) {
            match apply(&client, &namespace, &current).await {
                Ok(()) => drop(roots.present.insert(namespace, current.to_string())),
                Err(error) => {
                    tracing::warn!(namespace, %error, "cannot write ConfigMap {CONFIG_MAP}; trying again");
                    retry = Some(tokio::time::Instant::now() + RETRY);
                }
            }
        }
    }
}

type Events<K> = Result<watcher::Event<K>, watcher::Error>;

fn namespaces(client: &Client) -> impl Stream<Item = Events<PartialObjectMeta<Namespace>>> + use<> {
    watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), watcher::Config::default())
        .default_backoff()
}

fn config_maps(client: &Client) -> impl Stream<Item = Events<ConfigMap>> + use<> {
    let named = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
    watcher(Api::<ConfigMap>::all(client.clone()), named).default_backoff()
}

async fn apply(client: &Client, namespace: &str, root: &str) -> Result<(), kube::Error> {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP.to_owned()),
            labels: Some(BTreeMap::from([("istio.io/config".to_owned(), "true".to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), root.to_owned())])),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(CONFIG_MAP, &parameters, &Patch::Apply(&map)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn namespace(value: Value) -> PartialObjectMeta<Namespace> {
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": value})).unwrap()
    }

    fn map(namespace: &str, root: &str) -> ConfigMap {
        serde_json::from_value(
            json!({"metadata": {"name": CONFIG_MAP, "namespace": namespace}, "data": {KEY: root}}),
        )
        .unwrap()
    }

    #[test]
    fn every_live_namespace_with_a_missing_or_wrong_root_is_due() {
        let mut roots = Roots::default();
        for name in ["right", "wrong", "missing", "kube-system"] {
            roots.namespace(watcher::Event::Apply(namespace(json!({"name": name}))));
        }
        let ending = json!({"name": "ending", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        roots.namespace(watcher::Event::Apply(namespace(ending)));
        roots.config_map(watcher::Event::Apply(map("right", "root")));
        roots.config_map(watcher::Event::Apply(map("wrong", "other")));
        assert_eq!(roots.due("root"), ["missing", "wrong"]);
        roots.config_map(watcher::Event::Delete(map("right", "root")));
        assert_eq!(roots.due("root"), ["missing", "right", "wrong"]);
    }

    #[test]
    fn a_new_listing_replaces_what_was_known() {
        let mut roots = Roots::default();
        roots.config_map(watcher::Event::Apply(map("gone", "root")));
        roots.config_map(watcher::Event::Init);
        roots.config_map(watcher::Event::InitApply(map("here", "root")));
        roots.config_map(watcher::Event::InitDone);
        assert_eq!(roots.present.keys().collect::<Vec<_>>(), ["here"]);
    }
}
