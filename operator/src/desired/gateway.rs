//! A gateway: a pod like any that asks for injection with template `gateway`, injected here instead of on its way to the
//! API server, so that there is one place that knows how a proxy's container looks.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerPort, Probe, ServicePort},
};
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString};
use serde_json::{Value, json};
use webhook::inject::{InjectContext, PROXY_CONTAINER, inject_object};

use super::{
    autoscaling, config, labels,
    object::{Made, object},
    pods,
    service::{OwnPorts, Port, service},
};
use crate::{Component, Settings, SettingsError, names, settings::Gateway};

const STATUS_PORT: Port = ("status-port", 15021, 15021);
const HTTP: Port = ("http2", 80, 8080);
const HTTPS: Port = ("https", 443, 8443);

/// Annotations that say how an injected pod came to be; this one was never another.
const TRACES: [&str; 4] = [
    "sidecar.istio.io/status",
    "proxy.istio.io/overrides",
    "inject.istio.io/templates",
    "sidecar.istio.io/inject",
];

/// Deployment, Service, and what scales and protects them.
pub(super) fn objects(settings: &Settings, gateway: &Gateway) -> Made {
    let metadata = ObjectMeta {
        name: Some(gateway.name.clone()),
        namespace: Some(gateway.namespace.clone()),
        labels: Some(gateway.labels.clone()),
        ..Default::default()
    };
    let selector = [(names::GATEWAY.to_owned(), gateway.name.clone())].into();
    let (kind, ports): (_, &[Port]) = match gateway.component {
        Component::EgressGateways => ("ClusterIP", &[HTTP, HTTPS]),
        _ => ("LoadBalancer", &[STATUS_PORT, HTTP, HTTPS]),
    };
    let service = service(metadata.clone(), selector, Some(kind), ports, OwnPorts::Replace, &gateway.options);
    let targets = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let container_ports = targets.filter_map(container_port).collect();
    let deployment = deployment(settings, gateway, &metadata, container_ports)?;
    let mut made = vec![object(&service)?, object(&deployment)?];
    let selector = [(names::GATEWAY.to_owned(), gateway.name.clone())].into();
    made.extend(autoscaling::of(&gateway.name, &gateway.namespace, &selector, &gateway.options)?);
    Ok(made)
}

fn container_port(port: &ServicePort) -> Option<ContainerPort> {
    let number = match &port.target_port {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(_)) => return None,
        None => port.port,
    };
    Some(ContainerPort { container_port: number, protocol: port.protocol.clone(), ..Default::default() })
}

fn deployment(
    settings: &Settings,
    gateway: &Gateway,
    metadata: &ObjectMeta,
    mut ports: Vec<ContainerPort>,
) -> Result<Deployment, SettingsError> {
    let wrong = |problem: String| SettingsError {
        field: format!("spec.components: gateway {}", gateway.name),
        problem,
    };
    ports.sort_by_key(|port| port.container_port);
    ports.dedup_by_key(|port| port.container_port);
    let injected = inject_object(skeleton(gateway, metadata, &ports), &injector(settings)?)
        .map_err(|error| wrong(error.to_string()))?;
    let mut deployment: Deployment =
        serde_json::from_value(injected.object).map_err(|error| wrong(error.to_string()))?;
    finish(&mut deployment, settings, gateway);
    pods::tune(&mut deployment, &gateway.options, settings);
    Ok(deployment)
}

/// The Deployment as a person would write it who runs a gateway of their own.
fn skeleton(gateway: &Gateway, metadata: &ObjectMeta, ports: &[ContainerPort]) -> Value {
    let mut labels = gateway.labels.clone();
    labels.insert(names::GATEWAY.to_owned(), gateway.name.clone());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": { "matchLabels": { names::GATEWAY: gateway.name } },
            "template": {
                "metadata": { "labels": labels, "annotations": { "inject.istio.io/templates": "gateway" } },
                "spec": {
                    "serviceAccountName": gateway.service_account(),
                    "containers": [{ "name": PROXY_CONTAINER, "image": "auto", "ports": ports }],
                },
            },
        },
    })
}

/// The injector that would inject the pod, but asks nobody whether to.
fn injector(settings: &Settings) -> Result<InjectContext, SettingsError> {
    let values = settings.injector_values().to_string();
    let mut context = InjectContext::read(
        &config::mesh(settings)?,
        &config::injector(settings)?,
        &values,
        &settings.revision,
    )
    .map_err(|error| SettingsError { field: "spec".to_owned(), problem: error.to_string() })?;
    context.config.never_inject_selector.clear();
    context.config.policy = webhook::inject::Policy::Enabled;
    Ok(context)
}

fn finish(deployment: &mut Deployment, settings: &Settings, gateway: &Gateway) {
    let Some(template) = deployment.spec.as_mut().map(|spec| &mut spec.template) else { return };
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels::common(settings, gateway.component));
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.retain(|name, _| !TRACES.contains(&name.as_str()));
    annotations.insert("sidecar.istio.io/inject".to_owned(), "false".to_owned());
    let Some(pod) = &mut template.spec else { return };
    let context = pod.security_context.get_or_insert_default();
    context.run_as_non_root = Some(true);
    for container in pod.containers.iter_mut().filter(|container| container.name == PROXY_CONTAINER) {
        // A gateway is looked at more often than a sidecar: traffic goes elsewhere while it isn't ready.
        container.readiness_probe = container.readiness_probe.take().map(|probe| Probe {
            failure_threshold: Some(30),
            initial_delay_seconds: Some(1),
            period_seconds: Some(2),
            timeout_seconds: Some(1),
            ..probe
        });
    }
}
