//! Injection: a pod as its author wrote it goes in, the pod with its proxy comes out.
//!
//! [`inject`] reads from top to bottom: is this pod ours, undo an earlier injection, decide every setting once, build
//! the proxy from typed objects (never from text), merge, point probes and metrics at the proxy, put containers in order.
//! Called by `admission` for the API server, by `offline` for `trysailctl kube-inject`, and by the local mesh.

mod annotations;
mod config;
mod context;
mod environment;
mod error;
mod gateway;
mod init;
mod merge;
mod names;
mod offline;
mod order;
mod overrides;
mod patch;
mod policy;
mod probes;
mod prometheus;
mod proxy;
mod proxy_config;
mod restore;
mod security;
mod settings;
mod sidecar;
mod status;
mod templates;
mod values;
mod volumes;
mod warnings;
mod workload;

use k8s_openapi::api::core::v1::Pod;

pub use self::{
    config::{InjectorConfig, Policy},
    context::{ContextError, InjectContext, ServerVersion},
    error::InjectError,
    names::{INIT_CONTAINER, PROXY_CONTAINER},
    offline::{Injected, inject_document, inject_object},
    patch::diff,
    policy::{SkipReason, selected_by_webhook},
    status::InjectionStatus,
    values::Values,
    warnings::warnings,
};

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It has a proxy now.
    Injected(Box<Pod>),
    /// It stays as it is.
    Skipped(SkipReason),
}

/// Gives a pod its proxy. Injecting the result again changes nothing.
pub fn inject(pod: Pod, ctx: &InjectContext) -> Result<Decision, InjectError> {
    if let Some(reason) = policy::skip(&pod, ctx) {
        return Ok(Decision::Skipped(reason));
    }
    annotations::check(&pod)?;
    let templates = templates::select(&pod, ctx)?;
    let mut pod = restore::restore(pod)?;
    let settings = settings::Settings::of(&pod, ctx)?;

    let overlay = templates::build(&templates, &settings, &pod);
    let own = overrides::take(&mut pod, &overlay);
    let status = InjectionStatus::of(&overlay, &settings.revision);
    merge::pod(&mut pod, overlay);
    overrides::apply(&mut pod, own, &settings)?;

    prometheus::merge(&mut pod, &settings)?;
    probes::rewrite(&mut pod, &settings);
    order::arrange(&mut pod, &settings);
    status.record(&mut pod, ctx);
    Ok(Decision::Injected(Box::new(pod)))
}
