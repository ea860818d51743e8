//! The pod that a person names: `POD`, `POD.NAMESPACE`, `deploy/NAME`, `svc/NAME.NAMESPACE`, ...

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::cluster::Cluster;

/// The name of the proxy's container, in sidecars and gateways.
pub const PROXY: &str = "istio-proxy";

/// What a name may begin with, and how to find the pods of such an object.
#[derive(Debug)]
enum Kind {
    Pod,
    /// The kind, and where it keeps the labels that its pods have.
    Selecting(GroupVersionKind, &'static str),
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let workload = |kind: &str| {
            Self::Selecting(GroupVersionKind::gvk("apps", "v1", kind), "/spec/selector/matchLabels")
        };
        Some(match name {
            "pod" | "pods" | "po" => Self::Pod,
            "deploy" | "deployment" | "deployments" => workload("Deployment"),
            "sts" | "statefulset" | "statefulsets" => workload("StatefulSet"),
            "ds" | "daemonset" | "daemonsets" => workload("DaemonSet"),
            "rs" | "replicaset" | "replicasets" => workload("ReplicaSet"),
            "svc" | "service" | "services" => {
                Self::Selecting(GroupVersionKind::gvk("", "v1", "Service"), "/spec/selector")
            }
            _ => return None,
        })
    }
}

/// Finds the pod; without a namespace, neither given nor in the name, in that of the kubeconfig's context.
///
/// # Errors
/// When nothing running goes by that name.
pub async fn find(cluster: &Cluster, name: &str, namespace: Option<&str>) -> Result<Pod> {
    let namespace = namespace.unwrap_or(cluster.client.default_namespace());
    let (kind, target) = name.split_once('/').unwrap_or(("pod", name));
    // Some names, such as `deploy.apps/x`, say the group too.
    let kind = Kind::of(kind.split('.').next().unwrap_or(kind)).with_context(|| {
        format!("{name}: name a pod, deploy/NAME, sts/NAME, ds/NAME, rs/NAME or svc/NAME")
    })?;
    for (target, namespace) in candidates(target, namespace) {
        let found = match &kind {
            Kind::Pod => Api::<Pod>::namespaced(cluster.client.clone(), namespace).get_opt(target).await?,
            Kind::Selecting(kind, labels) => selected(cluster, kind, labels, target, namespace).await?,
        };
        if let Some(pod) = found {
            return Ok(pod);
        }
    }
    bail!("{name} is not in namespace {namespace}; -n names another, and so does {name}.NAMESPACE")
}

/// Name and namespace, as they may be meant: names have dots too, so the whole is tried first.
fn candidates<'a>(target: &'a str, namespace: &'a str) -> Vec<(&'a str, &'a str)> {
    let whole = (target, namespace);
    match target.rsplit_once('.') {
        Some(parts) if !parts.0.is_empty() && !parts.1.is_empty() => vec![whole, parts],
        _ => vec![whole],
    }
}

/// A running pod of an object, or `None` where there is no such object.
async fn selected(
    cluster: &Cluster,
    kind: &GroupVersionKind,
    labels: &str,
    name: &str,
    namespace: &str,
) -> Result<Option<Pod>> {
    let resource = ApiResource::from_gvk(kind);
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
    let Some(object) = api.get_opt(name).await? else { return Ok(None) };
    let labels = object.data.pointer(labels).and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<_> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if labels.is_empty() {
        bail!("{} {name} in namespace {namespace} selects no pods", kind.kind);
    }
    let pods = cluster.running_pods(Some(namespace), &labels.join(",")).await?;
    let pod = pods.into_iter().next();
    let pod =
        pod.with_context(|| format!("no pod of {} {name} in namespace {namespace} is running", kind.kind))?;
    Ok(Some(pod))
}

/// Whether the pod has a proxy, as a container or as a native sidecar.
pub fn has_proxy(pod: &Pod) -> bool {
    let spec = pod.spec.iter();
    let mut containers =
        spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    containers.any(|container| container.name == PROXY)
}

/// Fails for a pod without a proxy, which has nothing to ask.
///
/// # Errors
/// Names the pod, and how pods get a proxy.
pub fn with_proxy(pod: Pod) -> Result<Pod> {
    if !has_proxy(&pod) {
        bail!(
            "pod {}.{} has no container {PROXY}: it was not injected (is its namespace labelled \
             istio-injection=enabled, and was the pod made after that?)",
            pod.name_any(),
            pod.namespace().unwrap_or_default()
        );
    }
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_namespace_may_be_part_of_the_name() {
        assert_eq!(candidates("web", "a"), [("web", "a")]);
        assert_eq!(candidates("web.v1.shop", "a"), [("web.v1.shop", "a"), ("web.v1", "shop")]);
        assert_eq!(candidates("web.", "a"), [("web.", "a")]);
    }

    #[test]
    fn short_and_long_kinds_are_understood_and_others_are_not() {
        for (name, wanted) in [("deploy", "Deployment"), ("statefulset", "StatefulSet"), ("svc", "Service")] {
            assert!(
                matches!(Kind::of(name), Some(Kind::Selecting(kind, _)) if kind.kind == wanted),
                "{name}"
            );
        }
        assert!(matches!(Kind::of("po"), Some(Kind::Pod)));
        assert!(Kind::of("node").is_none());
    }

    #[test]
    fn a_native_sidecar_is_a_proxy_and_a_pod_without_one_is_named() -> Result<()> {
        let pod = |spec: Value| -> Result<Pod> {
            Ok(serde_json::from_value(
                json!({ "metadata": { "name": "dns", "namespace": "a" }, "spec": spec }),
            )?)
        };
        let app = json!([{ "name": "app" }]);
        assert!(has_proxy(&pod(
            json!({ "containers": app, "initContainers": [{ "name": "istio-proxy" }] })
        )?));
        assert!(has_proxy(&pod(json!({ "containers": [{ "name": "istio-proxy" }] }))?));
        let error = with_proxy(pod(json!({ "containers": app }))?).err().map(|error| error.to_string());
        assert!(error.is_some_and(|message| message.contains("dns.a")));
        Ok(())
    }
}
