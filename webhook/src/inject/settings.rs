//! Every decision about one pod's proxy, made once: pod's annotations over mesh settings over values.

use std::collections::BTreeMap;

use crds::mesh_config::{InboundInterceptionMode, MeshConfig, ProxyConfig};
use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use super::{
    InjectContext, InjectError, Values,
    annotations::parse_bool,
    names::{self, PROXY_CONTAINER},
    proxy_config,
    workload::Workload,
};

/// Every decision about one pod's proxy.
pub(super) struct Settings<'a> {
    pub ctx: &'a InjectContext,
    pub mesh: &'a MeshConfig,
    pub values: &'a Values,
    /// Revision of the control plane, `default` for the default one.
    pub revision: String,
    /// The pod, for messages.
    pub pod: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Mesh-wide proxy settings with the pod's own over them.
    pub proxy: ProxyConfig,
    pub workload: Workload,
    /// Names of the containers that are not ours.
    pub app_containers: Vec<String>,
    /// Ports that the containers declare.
    pub pod_ports: Vec<ContainerPort>,
    /// The proxy is an init container that keeps running.
    pub native: bool,
    /// The application starts when the proxy is ready.
    pub hold: bool,
    /// Traffic is redirected to the proxy.
    pub redirect: bool,
    /// Port for health and merged metrics; 0 when there is to be none.
    pub status_port: u16,
    /// User id of the proxy, whose own traffic isn't redirected.
    pub proxy_uid: i64,
}

impl<'a> Settings<'a> {
    pub(super) fn of(pod: &Pod, ctx: &'a InjectContext) -> Result<Self, InjectError> {
        let proxy = proxy_config::effective(pod, ctx)?;
        let values = &ctx.values;
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let native = names::annotation(pod, names::NATIVE_SIDECAR)
            .and_then(parse_bool)
            .unwrap_or_else(|| ctx.native_sidecars());
        let hold = proxy.hold_application_until_proxy_starts.unwrap_or_default()
            || values.global.proxy.hold_application_until_proxy_starts;
        Ok(Self {
            ctx,
            mesh: &ctx.mesh,
            values,
            revision: ctx.revision_name().to_owned(),
            pod: names::describe(pod),
            namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            annotations: pod.metadata.annotations.clone().unwrap_or_default(),
            workload: Workload::of(pod),
            app_containers: containers
                .clone()
                .map(|container| container.name.clone())
                .filter(|name| name != PROXY_CONTAINER)
                .collect(),
            pod_ports: containers.flat_map(|container| container.ports.iter().flatten().cloned()).collect(),
            native,
            hold,
            redirect: redirect(pod, &proxy)?,
            status_port: status_port(pod, &proxy, values)?,
            proxy_uid: proxy_uid(pod),
            proxy,
        })
    }

    /// An annotation of the pod.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// An annotation of the pod, or what holds without it.
    pub(super) fn annotation_or(&self, name: &str, default: &str) -> String {
        self.annotation(name).unwrap_or(default).to_owned()
    }

    /// `hub/name:tag` with the variant that pod, proxy settings or values ask for. A name with a slash is all of it.
    pub(super) fn image(&self, name: &str) -> String {
        let global = &self.values.global;
        let name = self.annotation(names::PROXY_IMAGE).unwrap_or(name);
        if name.contains('/') {
            return name.to_owned();
        }
        let variant = self
            .annotation(names::PROXY_IMAGE_TYPE)
            .or_else(|| self.proxy.image.as_ref()?.image_type.as_deref())
            .unwrap_or(&global.variant);
        let tag = ["-debug", "-distroless"]
            .iter()
            .find_map(|known| global.tag.strip_suffix(known).filter(|_| !variant.is_empty()))
            .unwrap_or(&global.tag);
        match variant {
            "" | "default" => format!("{}/{name}:{tag}", global.hub),
            variant => format!("{}/{name}:{tag}-{variant}", global.hub),
        }
    }
}

fn redirect(pod: &Pod, proxy: &ProxyConfig) -> Result<bool, InjectError> {
    if let Some(mode) = names::annotation(pod, names::INTERCEPTION_MODE) {
        return Ok(mode != "NONE");
    }
    match proxy.interception_mode.unwrap_or_default() {
        InboundInterceptionMode::Redirect => Ok(true),
        InboundInterceptionMode::None => Ok(false),
        mode => Err(InjectError::Setting {
            pod: names::describe(pod),
            setting: "proxy configuration: interceptionMode".to_owned(),
            problem: format!("{mode} is not supported; use REDIRECT or NONE"),
        }),
    }
}

fn status_port(pod: &Pod, proxy: &ProxyConfig, values: &Values) -> Result<u16, InjectError> {
    let text = match (names::annotation(pod, names::STATUS_PORT), proxy.status_port) {
        (Some(annotation), _) => annotation.to_owned(),
        (None, Some(port)) => port.to_string(),
        (None, None) => values.global.proxy.status_port.clone(),
    };
    text.trim().parse().map_err(|_| InjectError::Setting {
        pod: names::describe(pod),
        setting: "statusPort".to_owned(),
        problem: format!("{text:?} is no port; write a number from 0 to 65535"),
    })
}

/// A pod may bring its own `istio-proxy` container with another user; the redirect rules must know that user.
fn proxy_uid(pod: &Pod) -> i64 {
    names::all_containers(pod)
        .find(|container| container.name == PROXY_CONTAINER)
        .and_then(|container| container.security_context.as_ref()?.run_as_user)
        .filter(|user| *user != 0)
        .unwrap_or(names::PROXY_UID)
}
