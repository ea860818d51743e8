//! Pod: who answers at an address.

use std::sync::Arc;

use k8s_openapi::api::core::v1;

use super::name_of;
use crate::value::{Labels, Locality, Text, Workload, intern};

/// A pod. Its workload lacks a locality until the store has seen the node, unless the pod's own label gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Everything that readers want to know.
    pub workload: Workload,
    /// Locality by the label `istio-locality`, which wins over the node's.
    pub own_locality: Option<Arc<Locality>>,
}

impl From<&v1::Pod> for Pod {
    fn from(pod: &v1::Pod) -> Self {
        let instance = name_of(&pod.metadata);
        let labels = Labels::of(pod.metadata.labels.as_ref());
        let name = workload_name(pod);
        let first = |keys: &[&str]| keys.iter().find_map(|key| labels.get(key)).cloned();
        let canonical_name = first(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"])
            .unwrap_or(name.clone());
        let canonical_revision =
            first(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"])
                .unwrap_or_else(|| intern("latest"));
        let spec = pod.spec.as_ref();
        // A label value cannot hold slashes, so that dots stand for them.
        let own_locality = labels.get("istio-locality").map(|value| {
            let slashed = if value.contains('/') { value.to_string() } else { value.replace('.', "/") };
            Arc::new(Locality::parse(&slashed))
        });
        let status = pod.status.as_ref();
        let workload = Workload {
            instance,
            name,
            canonical_name,
            canonical_revision,
            mutual_tls: labels.get("security.istio.io/tlsMode").is_some_and(|mode| &**mode == "istio"),
            labels,
            address: status.and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
            service_account: intern(
                spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default"),
            ),
            node: intern(spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()),
            locality: own_locality.clone().unwrap_or_default(),
            named_ports: named_ports(spec),
        };
        Self { workload, own_locality }
    }
}

fn named_ports(spec: Option<&v1::PodSpec>) -> Arc<[(Text, u16)]> {
    let Some(spec) = spec else { return Arc::from([]) };
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| Some((intern(port.name.as_deref()?), u16::try_from(port.container_port).ok()?)))
        .collect()
}

/// The Deployment, StatefulSet, DaemonSet, Job... that a person would name, not the ReplicaSet between.
fn workload_name(pod: &v1::Pod) -> Text {
    let pod_name = pod.metadata.name.as_deref().or(pod.metadata.generate_name.as_deref()).unwrap_or_default();
    let owners = pod.metadata.owner_references.iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner.controller.unwrap_or(false)) else {
        return intern(pod_name);
    };
    let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let stripped = match (owner.kind.as_str(), hash) {
        ("ReplicaSet", Some(hash)) => {
            owner.name.strip_suffix(hash.as_str()).and_then(|s| s.strip_suffix('-'))
        }
        ("Job", _) => cron_job(&owner.name),
        _ => None,
    };
    intern(stripped.unwrap_or(&owner.name))
}

/// `backup` of the job `backup-28412345`: a CronJob's jobs end in minutes since 1970.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minutes) = job.rsplit_once('-')?;
    let scheduled = (8..=10).contains(&minutes.len()) && minutes.bytes().all(|byte| byte.is_ascii_digit());
    scheduled.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(value: serde_json::Value) -> Workload {
        Pod::from(&serde_json::from_value::<v1::Pod>(value).unwrap()).workload
    }

    #[test]
    fn the_workload_is_the_owner_that_people_name() {
        for (kind, owner, expected) in [
            ("ReplicaSet", "reviews-v1-5d4f", "reviews-v1"),
            ("StatefulSet", "db", "db"),
            ("Job", "backup-28412345", "backup"),
            ("Job", "migrate-2", "migrate-2"),
        ] {
            let workload = pod(json!({
                "metadata": {
                    "name": "p", "namespace": "shop", "labels": {"pod-template-hash": "5d4f", "app": "x"},
                    "ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": owner, "uid": "u", "controller": true}],
                },
            }));
            assert_eq!(&*workload.name, expected);
        }
    }

    #[test]
    fn labels_decide_canonical_names_and_mutual_tls() {
        let workload = pod(json!({
            "metadata": {"name": "p", "namespace": "shop", "labels": {
                "app": "reviews", "version": "v2", "security.istio.io/tlsMode": "istio", "istio-locality": "r.z.s",
            }},
            "spec": {"serviceAccountName": "sa", "containers": [
                {"name": "c", "ports": [{"name": "http", "containerPort": 9080}]},
            ]},
            "status": {"podIP": "10.0.0.1"},
        }));
        assert_eq!(&*workload.canonical_name, "reviews");
        assert_eq!(&*workload.canonical_revision, "v2");
        assert!(workload.mutual_tls);
        assert_eq!(*workload.locality, Locality::parse("r/z/s"));
        assert_eq!(workload.named_port("http"), Some(9080));
    }
}
