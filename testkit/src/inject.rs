//! Injection, as the API server and the webhook would do it together.
//!
//! In: a pod as its author wrote it. Out: the pod with its sidecar, if its labels and its namespace's ask for one.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use webhook::inject::{Decision, InjectContext, ServerVersion, inject};

use crate::cluster_state::ClusterState;

/// The pod as the cluster would start it.
pub(crate) fn injected(pod: Value, state: &ClusterState, namespace: &str) -> Result<Pod> {
    let mut pod: Pod = serde_json::from_value(pod).context("this is not a Pod")?;
    pod.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let mesh = state.config_maps("istio-system").remove("istio").and_then(|mut data| data.remove("mesh"));
    let labels: BTreeMap<String, String> = state
        .get("Namespace", "", namespace)
        .and_then(|namespace| namespace.pointer("/metadata/labels"))
        .map(|labels| serde_json::from_value(labels.clone()))
        .transpose()?
        .unwrap_or_default();
    let context = InjectContext::read(&mesh.unwrap_or_default(), "", "", "")?
        .for_server(Some(ServerVersion::NATIVE_SIDECARS))
        .for_namespace(labels);
    Ok(match inject(pod.clone(), &context)? {
        Decision::Injected(pod) => *pod,
        Decision::Skipped(_) => pod,
    })
}
