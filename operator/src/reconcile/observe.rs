//! What became of the applied objects.

use crds::mesh::ComponentStatus;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::ListParams,
    core::{DynamicObject, ResourceExt},
};

use super::{ReconcileError, Result, cluster::Cluster};
use crate::{
    plan::ObjectId,
    status::{self, Progress},
};

/// State of the components.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) components: Vec<ComponentStatus>,
    others: Vec<String>,
}

/// Looks at every Deployment among the objects.
pub(super) async fn components(cluster: &Cluster<'_>, objects: &[DynamicObject]) -> Result<Found> {
    let mut components = Vec::new();
    let is_deployment =
        |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == "Deployment");
    for object in objects.iter().filter(is_deployment) {
        components.push(component(cluster, object).await?);
    }
    Ok(Found { components, others: Vec::new() })
}

async fn component(cluster: &Cluster<'_>, object: &DynamicObject) -> Result<ComponentStatus> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &namespace);
    let found = deployments.get_opt(&name).await;
    let Some(deployment) =
        found.map_err(ReconcileError::api(format!("reading Deployment {namespace}/{name}")))?
    else {
        let message = Some("the Deployment is gone; it will be made again".to_owned());
        return Ok(ComponentStatus { name, namespace: Some(namespace), ready: false, message });
    };
    let state = status::of_deployment(&deployment, None);
    if state.ready {
        return Ok(state);
    }
    let reason = reason(cluster, &deployment, &namespace).await?;
    Ok(status::of_deployment(&deployment, reason.as_deref()))
}

/// Why a Deployment's pods don't run.
async fn reason(cluster: &Cluster<'_>, deployment: &Deployment, namespace: &str) -> Result<Option<String>> {
    let labels = deployment.spec.iter().flat_map(|spec| spec.selector.match_labels.iter().flatten());
    let selector: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let listed = pods.list(&ListParams::default().labels(&selector.join(","))).await;
    let pods = listed.map_err(ReconcileError::api(format!("listing pods in {namespace}")))?;
    Ok(status::first_reason(&pods.items))
}

impl Found {
    /// Adds what is no longer wanted and hasn't gone yet.
    pub(super) fn ending(&mut self, objects: &[ObjectId]) {
        for object in objects {
            if object.kind.kind == "Deployment" {
                self.components.push(ComponentStatus {
                    name: object.name.clone(),
                    namespace: object.namespace.clone(),
                    ready: false,
                    message: Some("being removed".to_owned()),
                });
            } else {
                self.others.push(format!("{object}: being removed"));
            }
        }
    }

    /// Where the whole is, when this is waited for besides.
    pub(super) fn progress(&self, webhook: Option<&str>) -> Progress {
        let place = |component: &ComponentStatus| {
            format!("{}/{}", component.namespace.as_deref().unwrap_or_default(), component.name)
        };
        let mut waiting: Vec<String> = self
            .components
            .iter()
            .filter(|component| !component.ready)
            .map(|component| {
                format!(
                    "Deployment {}: {}",
                    place(component),
                    component.message.as_deref().unwrap_or_default()
                )
            })
            .collect();
        waiting.extend(self.others.iter().cloned());
        waiting.extend(webhook.map(str::to_owned));
        if !waiting.is_empty() {
            return Progress::Waiting(format!("waiting for {}", waiting.join("; ")));
        }
        let names: Vec<&str> = self.components.iter().map(|component| component.name.as_str()).collect();
        Progress::Ready(match names.as_slice() {
            [] => "nothing is switched on".to_owned(),
            [name] => format!("{name} is available"),
            names => format!("{} are available", names.join(", ")),
        })
    }
}
