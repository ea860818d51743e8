//! The ConfigMaps that injection depends on, followed for the webhook.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use webhook::inject::{InjectContext, ServerVersion};

use super::Problems;

/// Where the settings are.
pub(crate) struct InjectionSettings {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) revision: String,
    pub(crate) problems: Arc<Problems>,
    pub(crate) context: Arc<ArcSwap<InjectContext>>,
}

/// `istio` for the default revision, `istio-canary` for another.
pub(crate) fn of_revision(name: &str, revision: &str) -> String {
    if revision.is_empty() || revision == "default" { name.to_owned() } else { format!("{name}-{revision}") }
}

/// Keeps the webhook's context current. Broken settings are reported, and those in use stay.
pub(crate) async fn follow_injection(settings: InjectionSettings) {
    let InjectionSettings { client, namespace, revision, problems, context } = settings;
    let server = server_version(&client).await;
    let names = ["istio", "istio-sidecar-injector"].map(|name| of_revision(name, &revision));
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let watch = |name: &String| {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        watcher(api.clone(), config).default_backoff().touched_objects().boxed()
    };
    let mut maps = futures::stream::select(watch(&names[0]), watch(&names[1]));
    let mut data: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    while let Some(event) = maps.next().await {
        let Ok(map) = event else { continue };
        data.insert(map.name_any(), map.data.unwrap_or_default());
        let text =
            |name: &str, key: &str| data.get(name).and_then(|map| map.get(key)).map_or("", String::as_str);
        let (mesh, config, values) =
            (text(&names[0], "mesh"), text(&names[1], "config"), text(&names[1], "values"));
        match InjectContext::read(mesh, config, values, &revision) {
            Ok(read) => {
                problems.clear("injection");
                context.store(Arc::new(read.for_server(server)));
            }
            Err(error) => problems.report("injection", error.to_string()),
        }
    }
}

/// Asked until it answers: native sidecars depend on it.
async fn server_version(client: &Client) -> Option<ServerVersion> {
    loop {
        match client.apiserver_version().await {
            Ok(info) => return ServerVersion::parse(&format!("{}.{}", info.major, info.minor)),
            Err(error) => {
                tracing::warn!(%error, "cannot learn the API server's version; trying again");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_have_settings_of_their_own() {
        assert_eq!(of_revision("istio", "default"), "istio");
        assert_eq!(of_revision("istio", ""), "istio");
        assert_eq!(of_revision("istio", "canary"), "istio-canary");
    }
}
