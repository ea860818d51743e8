//! The demo's pods, as a person lists them.

use anyhow::{Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::cluster::Cluster;
use crate::table::Columns;
use crate::target::has_proxy;

/// The namespace's pods with a label `app`, by name, without those on their way out.
pub(super) async fn of(cluster: &Cluster, namespace: &str) -> Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let mut pods = api.list(&ListParams::default().labels("app")).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// Fails for a pod that wasn't injected.
pub(super) fn with_sidecar(pods: &[Pod], label: (&str, &str)) -> Result<()> {
    let lacking = pods.iter().find(|pod| !has_proxy(pod));
    match lacking {
        Some(pod) => bail!(
            "pod {} has no sidecar, though its namespace has label {}={}: was the mesh's webhook there when the pod was \
             made? `trysailctl verify-install` checks the mesh, `trysailctl demo --remove` clears the way for another try",
            pod.name_any(),
            label.0,
            label.1,
        ),
        None => Ok(()),
    }
}

/// Containers that run as long as the pod does: native sidecars are among the init containers.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        let native = spec.init_containers.iter().flatten();
        let native = native.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        spec.containers.iter().chain(native)
    })
}

/// The state of every container, init containers first.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

/// What `kubectl get pods` prints, at the time `now`.
pub(super) fn table(pods: &[Pod], now: Timestamp) -> Columns {
    let mut columns = Columns::new(&["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    for pod in pods {
        let names: Vec<_> = containers(pod).map(|container| container.name.as_str()).collect();
        let counted = || statuses(pod).filter(|status| names.contains(&status.name.as_str()));
        let ready = format!("{}/{}", counted().filter(|status| status.ready).count(), names.len());
        let restarts: i32 = counted().map(|status| status.restart_count).sum();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
        let born = pod.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let age = age(now.as_second() - born.as_second());
        columns.row(&[&pod.name_any(), &ready, phase, &restarts.to_string(), &age]);
    }
    columns
}

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(init: Value) -> Result<Pod> {
        Ok(serde_json::from_value(json!({
            "metadata": { "name": "details-v1-x", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "initContainers": init, "containers": [{ "name": "details" }] },
            "status": {
                "phase": "Running",
                "initContainerStatuses": [
                    { "name": "istio-init", "ready": true, "restartCount": 5, "image": "", "imageID": "" },
                    { "name": "istio-proxy", "ready": true, "restartCount": 1, "image": "", "imageID": "" },
                ],
                "containerStatuses": [
                    { "name": "details", "ready": true, "restartCount": 2, "image": "", "imageID": "" },
                ],
            },
        }))?)
    }

    #[test]
    fn a_native_sidecar_counts_and_an_init_container_does_not() -> Result<()> {
        let pod =
            pod(json!([{ "name": "istio-init" }, { "name": "istio-proxy", "restartPolicy": "Always" }]))?;
        let text = table(&[pod], "2026-01-01T00:03:20Z".parse()?).to_string();
        let cells: Vec<_> = text.lines().nth(1).into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(cells, ["details-v1-x", "2/2", "Running", "3", "3m"]);
        Ok(())
    }

    #[test]
    fn a_pod_without_a_sidecar_is_named() -> Result<()> {
        let error = with_sidecar(&[pod(json!([{ "name": "istio-init" }]))?], ("istio-injection", "enabled"));
        let message = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("details-v1-x has no sidecar"), "{message}");
        Ok(())
    }
}
