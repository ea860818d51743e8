//! Whether a pod gets a proxy: Istio's rules in Istio's order, whatever the webhook configuration let through.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::core::{Selector, SelectorExt};

use super::{
    InjectContext,
    config::Policy,
    names::{INJECT, NAMESPACE_INJECTION, REVISION, annotation, label},
};

/// Namespaces that are never injected, as in Istio.
const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Why a pod stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// It uses the node's network, whose traffic must not be redirected.
    HostNetwork,
    /// It belongs to Kubernetes.
    SystemNamespace(String),
    /// It says so by label or annotation.
    OptedOut,
    /// Its labels match `neverInjectSelector`.
    NeverInjectSelector,
    /// It says nothing, and the policy is `disabled`.
    PolicyDisabled,
    /// Neither its labels nor its namespace's select this control plane.
    NotSelected,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNetwork => f.write_str("the pod uses the node's network (hostNetwork: true)"),
            Self::SystemNamespace(namespace) => write!(f, "namespace {namespace} is never injected"),
            Self::OptedOut => f.write_str("the pod has sidecar.istio.io/inject: \"false\""),
            Self::NeverInjectSelector => f.write_str("the pod's labels match neverInjectSelector"),
            Self::PolicyDisabled => {
                f.write_str("the injector's policy is disabled; label the pod sidecar.istio.io/inject: \"true\"")
            }
            Self::NotSelected => f.write_str(
                "neither namespace (istio-injection, istio.io/rev) nor pod (sidecar.istio.io/inject, istio.io/rev) \
                 asks for injection by this revision",
            ),
        }
    }
}

/// Why the pod is not injected; `None` when it is.
pub(super) fn skip(pod: &Pod, ctx: &InjectContext) -> Option<SkipReason> {
    if let Some(namespace_labels) = &ctx.namespace_labels
        && !selected_by_webhook(namespace_labels, labels(pod), ctx.revision_name())
    {
        return Some(SkipReason::NotSelected);
    }
    if pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)) {
        return Some(SkipReason::HostNetwork);
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if SYSTEM_NAMESPACES.contains(&namespace) {
        return Some(SkipReason::SystemNamespace(namespace.to_owned()));
    }
    // The label is the newer way to say it; where both are present it decides.
    match label(pod, INJECT).or_else(|| annotation(pod, INJECT)) {
        Some("true") => return None,
        Some("false") => return Some(SkipReason::OptedOut),
        _ => {}
    }
    if any_matches(&ctx.config.never_inject_selector, labels(pod)) {
        return Some(SkipReason::NeverInjectSelector);
    }
    if any_matches(&ctx.config.always_inject_selector, labels(pod)) || ctx.config.policy == Policy::Enabled {
        return None;
    }
    Some(SkipReason::PolicyDisabled)
}

/// The four rules of the webhook configuration, in one place for those who work without an API server.
/// `istio-injection` of a namespace beats its `istio.io/rev`, and a namespace's label beats a pod's `istio.io/rev`.
pub fn selected_by_webhook(
    namespace: &BTreeMap<String, String>,
    pod: &BTreeMap<String, String>,
    revision: &str,
) -> bool {
    let inject = pod.get(INJECT).map(String::as_str);
    if inject == Some("false") {
        return false;
    }
    let default = revision == "default" || revision.is_empty();
    let ours = |value: &String| value == revision || (default && value == "default");
    match (namespace.get(NAMESPACE_INJECTION).map(String::as_str), namespace.get(REVISION)) {
        (Some(injection), _) => default && injection == "enabled",
        (None, Some(wanted)) => ours(wanted),
        (None, None) => match pod.get(REVISION) {
            Some(wanted) => ours(wanted),
            None => default && inject == Some("true"),
        },
    }
}

fn labels(pod: &Pod) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    pod.metadata.labels.as_ref().unwrap_or(&NONE)
}

/// An empty selector matches nothing here, as in Istio.
fn any_matches(selectors: &[LabelSelector], labels: &BTreeMap<String, String>) -> bool {
    selectors.iter().any(|selector| {
        Selector::try_from(selector.clone())
            .is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
    })
}
