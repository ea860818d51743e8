//! The workload a pod belongs to, guessed from its owner as Istio does: a ReplicaSet's Deployment, a Job's CronJob.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};

use super::names::label;

/// The workload a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Its name; empty for a pod without name or owner.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Version of its kind, `apps/v1`.
    pub api_version: String,
}

impl Workload {
    pub(super) fn of(pod: &Pod) -> Self {
        let generated = pod.metadata.generate_name.as_deref().is_some_and(|start| !start.is_empty());
        let owner =
            pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        match owner.filter(|_| generated) {
            Some(owner) => Self::of_owner(pod, owner),
            None => Self {
                name: pod.metadata.name.clone().unwrap_or_default(),
                kind: "Pod".to_owned(),
                api_version: "v1".to_owned(),
            },
        }
    }

    fn of_owner(pod: &Pod, owner: &OwnerReference) -> Self {
        let make = |name: &str, kind: &str, api_version: &str| Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
        };
        let without_hash = |hash: &str| {
            let hash = label(pod, hash).filter(|hash| !hash.is_empty())?;
            owner.name.strip_suffix(hash)?.strip_suffix('-')
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                if let Some(name) = without_hash("pod-template-hash") {
                    return make(name, "Deployment", &owner.api_version);
                }
                if let Some(name) = without_hash("rollouts-pod-template-hash") {
                    return make(name, "Rollout", "argoproj.io/v1alpha1");
                }
            }
            "ReplicationController" => {
                if let Some(name) = label(pod, "deploymentconfig") {
                    return make(name, "DeploymentConfig", &owner.api_version);
                }
            }
            "Job" => {
                if let Some(name) = scheduled_job(&owner.name) {
                    return make(name, "CronJob", "batch/v1");
                }
            }
            _ => {}
        }
        make(&owner.name, &owner.kind, &owner.api_version)
    }

    /// As in a node's metadata: `kubernetes://apis/apps/v1/namespaces/shop/deployments/web`.
    pub(super) fn owner(&self, namespace: &str) -> String {
        let Self { name, kind, api_version } = self;
        format!("kubernetes://apis/{api_version}/namespaces/{namespace}/{}s/{name}", kind.to_lowercase())
    }
}

/// A CronJob's Jobs are named after it and the time in minutes.
fn scheduled_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|digit| digit.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_are_followed_to_what_a_person_wrote() {
        let cases = [
            ("ReplicaSet", "web-7d4b9", json!({"pod-template-hash": "7d4b9"}), "Deployment", "web"),
            ("ReplicaSet", "web-7d4b9", json!({}), "ReplicaSet", "web-7d4b9"),
            ("ReplicaSet", "web-abc", json!({"rollouts-pod-template-hash": "abc"}), "Rollout", "web"),
            ("StatefulSet", "db", json!({}), "StatefulSet", "db"),
            ("Job", "nightly-28392840", json!({}), "CronJob", "nightly"),
            ("Job", "once", json!({}), "Job", "once"),
            ("ReplicationController", "old-1", json!({"deploymentconfig": "old"}), "DeploymentConfig", "old"),
        ];
        for (kind, owner, labels, expected_kind, expected_name) in cases {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {
                    "generateName": format!("{owner}-"), "labels": labels,
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "1", "controller": true}],
                },
            }))
            .unwrap();
            let found = Workload::of(&pod);
            assert_eq!((found.kind.as_str(), found.name.as_str()), (expected_kind, expected_name), "{owner}");
        }
    }

    #[test]
    fn a_pod_without_owner_is_its_own_workload() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "shell"}})).unwrap();
        assert_eq!(Workload::of(&pod).owner("dev"), "kubernetes://apis/v1/namespaces/dev/pods/shell");
    }
}
