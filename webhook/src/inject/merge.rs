//! Merging as Kubernetes' strategic merge does it, with typed objects: lists by their keys, unions replaced whole.

use k8s_openapi::{
    DeepMerge,
    api::core::v1::{Container, Pod, PodSpec, Probe},
};

/// Merges `overlay` over `pod`. A container that `pod` has under `initContainers` stays there.
pub(super) fn pod(pod: &mut Pod, mut overlay: Pod) {
    let (Some(spec), Some(over)) = (&mut pod.spec, &mut overlay.spec) else {
        pod.merge_from(overlay);
        return;
    };
    for own in std::mem::take(&mut over.containers) {
        merge_by_name(spec, own);
    }
    // A volume has one source: the overlay's volume replaces the whole one.
    let replaced = |name: &String| over.volumes.iter().flatten().any(|volume| volume.name == *name);
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| !replaced(&volume.name));
    }
    pod.merge_from(overlay);
}

/// Merges a container over the one of its name, wherever that is; adds it to the containers if there is none.
pub(super) fn merge_by_name(spec: &mut PodSpec, over: Container) {
    let found = spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
        .find(|container| container.name == over.name);
    match found {
        Some(container) => merge_container(container, over),
        None => spec.containers.push(over),
    }
}

/// Merges `over` over a container.
pub(super) fn merge_container(container: &mut Container, over: Container) {
    // A variable has a value or a source, a probe one handler: what `over` has replaces the other kind.
    if let Some(variables) = &mut container.env {
        variables.retain(|variable| over.env.iter().flatten().all(|own| own.name != variable.name));
    }
    clear_handler(&mut container.liveness_probe, over.liveness_probe.as_ref());
    clear_handler(&mut container.readiness_probe, over.readiness_probe.as_ref());
    clear_handler(&mut container.startup_probe, over.startup_probe.as_ref());
    if let (Some(hooks), Some(own)) = (&mut container.lifecycle, &over.lifecycle) {
        hooks.pre_stop.take_if(|_| own.pre_stop.is_some());
        hooks.post_start.take_if(|_| own.post_start.is_some());
    }
    container.merge_from(over);
}

fn clear_handler(probe: &mut Option<Probe>, over: Option<&Probe>) {
    let (Some(probe), Some(over)) = (probe, over) else { return };
    let replaces =
        over.exec.is_some() || over.http_get.is_some() || over.tcp_socket.is_some() || over.grpc.is_some();
    if replaces {
        (probe.exec, probe.http_get, probe.tcp_socket, probe.grpc) = (None, None, None, None);
    }
}
