//! `/inject`: a new pod in, a JSON patch out.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::{
    Metrics,
    review::{Answer, Request},
};
use crate::inject::{Decision, InjectContext, InjectError, diff, inject, warnings};

/// Answers a review of a new pod.
pub(super) fn answer(request: Request, ctx: &InjectContext, metrics: &Metrics) -> Answer {
    let deny = |problem: &dyn std::fmt::Display| {
        tracing::warn!(namespace = request.namespace, "pod not injected: {problem}");
        metrics.injection_failed();
        request.deny(problem, Vec::new())
    };
    let pod = match pod(&request) {
        Ok(pod) => pod,
        Err(problem) => return deny(&problem),
    };
    let warnings = warnings(&pod, ctx);
    match inject(pod.clone(), ctx) {
        Err(error) => deny(&error),
        Ok(Decision::Skipped(reason)) => {
            tracing::info!(namespace = request.namespace, pod = name(&pod), "pod not injected: {reason}");
            metrics.injection_skipped();
            request.allow(Vec::new())
        }
        Ok(Decision::Injected(injected)) => match patch(&pod, &injected) {
            Err(error) => deny(&error),
            Ok(patch) => {
                tracing::info!(namespace = request.namespace, pod = name(&pod), "pod injected");
                metrics.injection_succeeded();
                request.patch(&patch, warnings)
            }
        },
    }
}

/// The pod of a review, in the namespace it is made in. Its managed fields only cost time.
fn pod(request: &Request) -> Result<Pod, InjectError> {
    let refuse = |problem: &str| Err(InjectError::NotAPod(problem.to_owned()));
    let Some(object) = &request.object else {
        return refuse("request.object is missing; configure the webhook for CREATE of pods");
    };
    match object.get("kind").and_then(Value::as_str) {
        Some("Pod") => {}
        Some(kind) => return refuse(&format!("request.object is a {kind}; configure the webhook for pods")),
        None => return refuse("request.object has no kind"),
    }
    let mut object = object.clone();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return refuse("request.object.metadata is missing");
    };
    metadata.remove("managedFields");
    let mut pod: Pod =
        serde_path_to_error::deserialize(object).map_err(|error| InjectError::NotAPod(error.to_string()))?;
    if pod.spec.is_none() {
        return refuse("request.object.spec is missing");
    }
    let own = pod.metadata.namespace.take().filter(|namespace| !namespace.is_empty());
    pod.metadata.namespace = own.or_else(|| request.namespace.clone());
    Ok(pod)
}

fn patch(before: &Pod, after: &Pod) -> Result<json_patch::Patch, InjectError> {
    let value =
        |pod: &Pod| serde_json::to_value(pod).map_err(|error| InjectError::NotAPod(error.to_string()));
    Ok(diff(&value(before)?, &value(after)?))
}

fn name(pod: &Pod) -> &str {
    let meta = &pod.metadata;
    meta.name.as_deref().or(meta.generate_name.as_deref()).unwrap_or_default()
}
