//! State of one component, from its Deployment and pods.

use crds::mesh::ComponentStatus;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::{ContainerStatus, Pod},
};

/// State of a component; `reason` says why its pods don't run, if that is known.
pub fn of_deployment(deployment: &Deployment, reason: Option<&str>) -> ComponentStatus {
    let meta = &deployment.metadata;
    let waits_for = waits_for(deployment).map(|message| match reason {
        Some(reason) => format!("{message} ({reason})"),
        None => message,
    });
    ComponentStatus {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone(),
        ready: waits_for.is_none(),
        message: waits_for,
    }
}

/// The same judgement as `kubectl rollout status`.
fn waits_for(deployment: &Deployment) -> Option<String> {
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some("the new version is not seen yet".to_owned());
    }
    if gave_up(&status) {
        return Some("its pods did not become ready in time".to_owned());
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let [updated, all, available] =
        [status.updated_replicas, status.replicas, status.available_replicas].map(Option::unwrap_or_default);
    if updated < wanted {
        return Some(format!("{updated} of {wanted} pods are of the new version"));
    }
    if available < wanted {
        return Some(format!("{available} of {wanted} pods available"));
    }
    (all > updated).then(|| format!("{} old pods have not ended yet", all - updated))
}

fn gave_up(status: &DeploymentStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    })
}

/// Why a pod doesn't run: what keeps its containers waiting, or keeps it off any node.
pub fn reason_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.find_map(waiting).or_else(|| {
        let scheduled =
            status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
        (scheduled.status == "False").then(|| {
            format!(
                "{}: {}",
                scheduled.reason.as_deref().unwrap_or_default(),
                scheduled.message.as_deref().unwrap_or_default()
            )
        })
    })
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    // Every pod goes through these.
    if ["ContainerCreating", "PodInitializing"].contains(&reason) {
        return None;
    }
    Some(match waiting.message.as_deref() {
        Some(message) => format!("container {}: {reason}: {}", container.name, shorten(message)),
        None => format!("container {}: {reason}", container.name),
    })
}

/// A registry's refusal comes with everything that was tried.
fn shorten(message: &str) -> String {
    const LONGEST: usize = 200;
    if message.chars().count() <= LONGEST {
        return message.to_owned();
    }
    let start: String = message.chars().take(LONGEST).collect();
    format!("{start}…")
}
