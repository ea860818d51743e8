//! Order of containers. Kubernetes starts them in order, and tools take the first one for the application.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{
    names::{INIT_CONTAINER, PROXY_CONTAINER},
    settings::Settings,
};

/// Redirect rules, proxy, everything else - or, where the proxy is an ordinary container: the other init containers
/// first, for they would find no proxy behind the rules, and the proxy last unless the application waits for it.
pub(super) fn arrange(pod: &mut Pod, settings: &Settings<'_>) {
    let Some(spec) = &mut pod.spec else { return };
    place(&mut spec.containers, PROXY_CONTAINER, settings.hold);
    if let Some(init) = &mut spec.init_containers {
        let native = init.iter().any(|container| container.name == PROXY_CONTAINER);
        place(init, PROXY_CONTAINER, true);
        place(init, INIT_CONTAINER, native);
    }
}

fn place(containers: &mut Vec<Container>, name: &str, first: bool) {
    if let Some(index) = containers.iter().position(|container| container.name == name) {
        let container = containers.remove(index);
        containers.insert(if first { 0 } else { containers.len() }, container);
    }
}
