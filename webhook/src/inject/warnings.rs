//! What a person should know about a pod that is injected all the same. kubectl prints it.

use k8s_openapi::api::core::v1::Pod;

use super::{
    InjectContext,
    names::{self, PROXY_CONTAINER, annotation, label},
};

/// Warnings about a pod, at most one per topic.
pub fn warnings(pod: &Pod, _ctx: &InjectContext) -> Vec<String> {
    let mut found = without_effect(pod);
    found.extend([invalid_choice(pod), dns_policy(pod), same_user(pod)].into_iter().flatten());
    found
}

fn invalid_choice(pod: &Pod) -> Option<String> {
    let value = label(pod, names::INJECT).or_else(|| annotation(pod, names::INJECT))?;
    (!["true", "false", ""].contains(&value))
        .then(|| format!("{}: {value:?} is neither \"true\" nor \"false\" and has no effect", names::INJECT))
}

fn dns_policy(pod: &Pod) -> Option<String> {
    let policy = pod.spec.as_ref()?.dns_policy.as_deref().filter(|policy| *policy != "ClusterFirst")?;
    Some(format!("dnsPolicy {policy}: the proxy may be unable to find istiod; use ClusterFirst"))
}

fn same_user(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let container =
        spec.containers.iter().filter(|container| container.name != PROXY_CONTAINER).find(|container| {
            let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
            own.or(of_pod) == Some(names::PROXY_UID)
        })?;
    Some(format!(
        "container {} runs as user {}, the proxy's own: its traffic will bypass the mesh",
        container.name,
        names::PROXY_UID
    ))
}

fn without_effect(pod: &Pod) -> Vec<String> {
    [
        (names::BOOTSTRAP_OVERRIDE, "the proxy has no Envoy bootstrap"),
        (names::EXTRA_STAT_TAGS, "metrics have the standard labels"),
    ]
    .into_iter()
    .filter(|(name, _)| annotation(pod, name).is_some())
    .map(|(name, instead)| format!("{name} has no effect: {instead}"))
    .collect()
}
