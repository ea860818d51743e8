//! Waits for Deployments, and finds out why they don't start.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::pods;
use crate::cluster::Cluster;
use crate::progress::Progress;

/// How long a pod may look stuck before the wait ends: a registry that hiccups is asked again after ten seconds.
const GRACE: Duration = Duration::from_secs(25);

/// Waits until all Deployments of these names are rolled out, and says on the way what is missing.
pub(super) async fn wait(
    cluster: &Cluster,
    namespace: &str,
    names: &[&str],
    patience: Duration,
    progress: &mut Progress,
) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let deadline = Instant::now() + patience;
    let mut stuck_since = None;
    loop {
        let mut deployments = api.list(&ListParams::default()).await?.items;
        deployments.retain(|deployment| names.contains(&deployment.name_any().as_str()));
        let message = match state(&deployments, &pods::of(cluster, namespace).await?) {
            State::Done => return Ok(()),
            State::Stuck(message) => {
                if stuck_since.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    bail!(message);
                }
                message
            }
            State::Waiting(message) => {
                stuck_since = None;
                message
            }
        };
        if Instant::now() > deadline {
            bail!("Bookinfo is not ready after {} s: {message}", patience.as_secs());
        }
        progress.say(&message);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[derive(Debug, PartialEq)]
enum State {
    Done,
    Waiting(String),
    Stuck(String),
}

fn state(deployments: &[Deployment], pods: &[Pod]) -> State {
    let waiting: Vec<_> = deployments.iter().filter(|deployment| !rolled_out(deployment)).collect();
    if waiting.is_empty() {
        return State::Done;
    }
    if let Some(message) =
        pods.iter().find_map(obstacle).or_else(|| waiting.iter().find_map(|it| refused(it)))
    {
        return State::Stuck(message);
    }
    let names: Vec<_> = waiting.iter().map(|deployment| deployment.name_any()).collect();
    let place = pods.iter().find_map(unplaced).map(|reason| format!("; {reason}")).unwrap_or_default();
    State::Waiting(format!("Waiting for {}{place}", names.join(", ")))
}

/// As `kubectl rollout status` has it: the newest template is the only one that runs, and all of it is available.
fn rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) <= status.updated_replicas.unwrap_or(0)
        && status.available_replicas.unwrap_or(0) >= wanted
}

/// Why a container of the pod doesn't run, where waiting alone is unlikely to help, and what may.
fn obstacle(pod: &Pod) -> Option<String> {
    pods::statuses(pod).find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let (name, container) = (pod.name_any(), &status.name);
        let namespace = pod.namespace().unwrap_or_default();
        let remedy = match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                "push the image there, or name another registry with --hub and --tag".to_owned()
            }
            "CrashLoopBackOff" => {
                format!("`kubectl -n {namespace} logs {name} -c {container} --previous` shows its last words")
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                format!("`kubectl -n {namespace} describe pod {name}` says more")
            }
            _ => return None,
        };
        let message = waiting.message.as_deref().unwrap_or("no message").trim();
        Some(format!("pod {name}, container {container}: {reason}: {message} ({remedy})"))
    })
}

/// Why the API server wouldn't have the Deployment's pods, such as a webhook that doesn't answer.
fn refused(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions.iter().find(|it| it.type_ == "ReplicaFailure" && it.status == "True")?;
    let message = failed.message.as_deref().unwrap_or("no message");
    Some(format!("no pod of {} can be made: {message}", deployment.name_any()))
}

/// Why the pod has no node yet; a cluster that grows may still find one.
fn unplaced(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let unplaced = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    Some(format!("pod {}: {}", pod.name_any(), unplaced.message.as_deref()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: Value) -> Result<Deployment> {
        Ok(serde_json::from_value(json!({
            "metadata": { "name": "details-v1", "generation": 2 },
            "spec": { "replicas": 1, "selector": {}, "template": {} }, "status": status,
        }))?)
    }

    fn pod(status: Value) -> Result<Pod> {
        Ok(serde_json::from_value(
            json!({ "metadata": { "name": "details-v1-x", "namespace": "bookinfo" }, "status": status }),
        )?)
    }

    #[test]
    fn an_old_template_that_still_runs_is_not_rolled_out() -> Result<()> {
        let done =
            json!({ "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 });
        assert_eq!(state(&[deployment(done)?], &[]), State::Done);
        for status in [
            json!({}),
            json!({ "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }),
            json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1 }),
            json!({ "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1 }),
        ] {
            let waiting = state(&[deployment(status.clone())?], &[]);
            assert_eq!(waiting, State::Waiting("Waiting for details-v1".to_owned()), "{status}");
        }
        Ok(())
    }

    #[test]
    fn what_holds_a_pod_is_named_with_a_remedy() -> Result<()> {
        let waiting = |reason: &str, message: &str| {
            let state = json!({ "waiting": { "reason": reason, "message": message } });
            pod(json!({ "containerStatuses": [{
                "name": "details", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": "",
            }] }))
        };
        let unscheduled = json!({ "type": "PodScheduled", "status": "False", "message": "Insufficient cpu" });
        let cases = [
            (
                waiting("ImagePullBackOff", "pulling image \"x\"")?,
                "pod details-v1-x, container details: ImagePull",
            ),
            (waiting("CrashLoopBackOff", "restarting")?, "logs details-v1-x -c details --previous"),
        ];
        for (pod, wanted) in cases {
            let State::Stuck(message) = state(&[deployment(json!({}))?], &[pod]) else {
                panic!("{wanted}: not stuck");
            };
            assert!(message.contains(wanted), "{message}");
        }
        for (pod, wanted) in [
            (waiting("ContainerCreating", "")?, "Waiting for details-v1"),
            (
                pod(json!({ "conditions": [unscheduled] }))?,
                "Waiting for details-v1; pod details-v1-x: Insufficient cpu",
            ),
        ] {
            assert_eq!(state(&[deployment(json!({}))?], &[pod]), State::Waiting(wanted.to_owned()));
        }
        Ok(())
    }

    #[test]
    fn pods_that_the_api_server_refuses_are_the_deployments_fault() -> Result<()> {
        let failed =
            json!({ "type": "ReplicaFailure", "status": "True", "message": "failed calling webhook" });
        let State::Stuck(message) = state(&[deployment(json!({ "conditions": [failed] }))?], &[]) else {
            panic!("not stuck");
        };
        assert!(message.contains("details-v1") && message.contains("failed calling webhook"), "{message}");
        Ok(())
    }
}
