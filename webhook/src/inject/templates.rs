//! Which templates a pod gets, and what they add to it. `sidecar` and `gateway` are built in; others are plain pods
//! from the injector's ConfigMap.

use k8s_openapi::api::core::v1::Pod;

use super::{
    InjectContext, InjectError, gateway, merge,
    names::{TEMPLATES, annotation, describe},
    settings::Settings,
    sidecar,
};

const SIDECAR: &str = "sidecar";
const GATEWAY: &str = "gateway";

pub(super) fn is_built_in(name: &str) -> bool {
    [SIDECAR, GATEWAY].contains(&name)
}

/// Names of the templates, aliases resolved (once, as in Istio).
pub(super) fn select(pod: &Pod, ctx: &InjectContext) -> Result<Vec<String>, InjectError> {
    let wanted: Vec<String> = match annotation(pod, TEMPLATES) {
        Some(names) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        None => ctx.config.default_templates.clone(),
    };
    let aliases = &ctx.config.aliases;
    let names: Vec<String> = wanted
        .into_iter()
        .flat_map(|name| aliases.get(&name).cloned().unwrap_or_else(|| vec![name]))
        .collect();
    match names.iter().find(|name| !is_built_in(name) && !ctx.overlays.contains_key(*name)) {
        None => Ok(names),
        Some(unknown) => Err(InjectError::UnknownTemplate {
            pod: describe(pod),
            template: unknown.clone(),
            known: known(ctx),
        }),
    }
}

fn known(ctx: &InjectContext) -> String {
    let mut names = vec![SIDECAR, GATEWAY];
    names.extend(ctx.overlays.keys().chain(ctx.config.aliases.keys()).map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// What the templates add, one over the other.
pub(super) fn build(names: &[String], settings: &Settings<'_>, pod: &Pod) -> Pod {
    let mut overlay = Pod::default();
    for name in names {
        let next = match name.as_str() {
            SIDECAR => sidecar::pod(settings),
            GATEWAY => gateway::pod(settings, pod),
            custom => settings.ctx.overlays.get(custom).cloned().unwrap_or_default(),
        };
        merge::pod(&mut overlay, next);
    }
    overlay
}
