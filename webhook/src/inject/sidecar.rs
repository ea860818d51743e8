//! Template `sidecar`: what is added to an application's pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, Lifecycle, LifecycleHandler, LocalObjectReference, Pod, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    init, names,
    proxy::{self, Role},
    security,
    settings::Settings,
    volumes,
};

/// Where the proxy's image has its program.
const PROGRAM: &str = "/usr/local/bin/trysail-proxy";

/// What is added to an application's pod.
pub(super) fn pod(settings: &Settings<'_>) -> Pod {
    let mut labels = canonical_labels(settings);
    labels.insert(names::TLS_MODE.to_owned(), label_or(settings, names::TLS_MODE, "istio"));
    let proxy = container(settings);
    let mut init_containers: Vec<Container> =
        settings.redirect.then(|| init::container(settings)).into_iter().collect();
    let mut containers = Vec::new();
    if settings.native {
        init_containers.push(proxy);
    } else {
        containers.push(proxy);
    }
    Pod {
        metadata: ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations(settings)),
            ..Default::default()
        },
        spec: Some(PodSpec {
            containers,
            init_containers: Some(init_containers).filter(|list| !list.is_empty()),
            volumes: Some(volumes::volumes(settings)),
            image_pull_secrets: pull_secrets(settings),
            ..Default::default()
        }),
        status: None,
    }
}

fn container(settings: &Settings<'_>) -> Container {
    let mut container = proxy::container(settings, Role::Sidecar);
    container.security_context = Some(security::proxy(settings));
    container.lifecycle = lifecycle(settings);
    if settings.native {
        container.restart_policy = Some("Always".to_owned());
    }
    container
}

/// A native sidecar is told to stop only after the applications have ended; by its preStop hook it hears of the pod's end
/// at once and can send clients elsewhere. Otherwise, to hold back the application, its start must wait for readiness.
fn lifecycle(settings: &Settings<'_>) -> Option<Lifecycle> {
    if let Some(lifecycle) = &settings.values.global.proxy.lifecycle {
        return Some(lifecycle.clone());
    }
    if settings.native && settings.status_port != 0 {
        let port = format!("--debug-port={}", settings.status_port);
        let drain = run(&["request", &port, "POST", "drain"]);
        return Some(Lifecycle { pre_stop: Some(drain), ..Default::default() });
    }
    if settings.hold && !settings.native {
        return Some(Lifecycle { post_start: Some(run(&["wait"])), ..Default::default() });
    }
    None
}

/// Runs the proxy's program with these arguments.
fn run(arguments: &[&str]) -> LifecycleHandler {
    let command = std::iter::once(&PROGRAM).chain(arguments).map(|&part| part.to_owned()).collect();
    LifecycleHandler { exec: Some(ExecAction { command: Some(command) }), ..Default::default() }
}

/// Annotations that every template adds.
pub(super) fn annotations(settings: &Settings<'_>) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(names::REVISION.to_owned(), settings.revision.clone())]);
    if let Some(first) = settings.app_containers.first() {
        for name in [names::DEFAULT_CONTAINER, names::DEFAULT_LOGS_CONTAINER] {
            if settings.annotation(name).is_none() {
                annotations.insert(name.to_owned(), first.clone());
            }
        }
    }
    annotations
}

/// The labels by which telemetry names a workload.
pub(super) fn canonical_labels(settings: &Settings<'_>) -> BTreeMap<String, String> {
    let first = |keys: &[&str]| {
        keys.iter().find_map(|key| settings.labels.get(*key).filter(|value| !value.is_empty())).cloned()
    };
    let name = first(&[names::CANONICAL_NAME, "app.kubernetes.io/name", "app"])
        .unwrap_or_else(|| settings.workload.name.clone());
    let revision = first(&[names::CANONICAL_REVISION, "app.kubernetes.io/version", "version"])
        .unwrap_or_else(|| "latest".to_owned());
    let mut labels = BTreeMap::from([
        (names::CANONICAL_NAME.to_owned(), as_label(&name)),
        (names::CANONICAL_REVISION.to_owned(), as_label(&revision)),
    ]);
    let network = settings.labels.get(names::NETWORK).unwrap_or(&settings.values.global.network);
    if !network.is_empty() {
        labels.insert(names::NETWORK.to_owned(), network.clone());
    }
    labels
}

/// Names of objects may be longer than labels.
fn as_label(name: &str) -> String {
    let end = name.char_indices().map(|(index, c)| index + c.len_utf8()).take_while(|end| *end <= 63).last();
    name[..end.unwrap_or(0)].trim_matches(['-', '_', '.']).to_owned()
}

fn label_or(settings: &Settings<'_>, name: &str, default: &str) -> String {
    settings.labels.get(name).filter(|value| !value.is_empty()).map_or(default, String::as_str).to_owned()
}

/// Secrets that images are pulled with.
pub(super) fn pull_secrets(settings: &Settings<'_>) -> Option<Vec<LocalObjectReference>> {
    let secrets = &settings.values.global.image_pull_secrets;
    let secrets: Vec<_> = secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    Some(secrets).filter(|list| !list.is_empty())
}
