//! Template `gateway`: a pod whose only container is `istio-proxy` with `image: auto`, as in Istio's gateway chart.

use k8s_openapi::api::core::v1::{Pod, PodSecurityContext, PodSpec, Sysctl};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    proxy::{self, Role},
    security,
    settings::Settings,
    sidecar, volumes,
};

const LOW_PORTS: &str = "net.ipv4.ip_unprivileged_port_start";

/// What is added to a gateway's pod.
pub(super) fn pod(settings: &Settings<'_>, original: &Pod) -> Pod {
    let mut container = proxy::container(settings, Role::Gateway);
    container.security_context = Some(security::gateway(settings));
    container.lifecycle.clone_from(&settings.values.global.proxy.lifecycle);
    Pod {
        metadata: ObjectMeta {
            labels: Some(sidecar::canonical_labels(settings)),
            annotations: Some(sidecar::annotations(settings)),
            ..Default::default()
        },
        spec: Some(PodSpec {
            containers: vec![container],
            security_context: Some(pod_security(settings, original)),
            volumes: Some(volumes::volumes(settings)),
            image_pull_secrets: sidecar::pull_secrets(settings),
            ..Default::default()
        }),
        status: None,
    }
}

/// Listening on ports below 1024 without being root. Lists of sysctls are replaced by a merge, so the pod's own go along.
fn pod_security(settings: &Settings<'_>, original: &Pod) -> PodSecurityContext {
    if let Some(context) = &settings.values.gateways.security_context {
        return context.clone();
    }
    let own = original.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.sysctls.clone());
    let mut sysctls = own.unwrap_or_default();
    if sysctls.iter().all(|sysctl| sysctl.name != LOW_PORTS) {
        sysctls.push(Sysctl { name: LOW_PORTS.to_owned(), value: "0".to_owned() });
    }
    PodSecurityContext { sysctls: Some(sysctls), ..Default::default() }
}
