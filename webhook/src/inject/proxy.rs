//! Container `istio-proxy`, the parts that sidecars and gateways share: image, arguments, environment, probes, resources.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, HTTPGetAction, Probe, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};

use super::{
    environment,
    names::{self, HEALTH_PORT, METRICS_PORT, PROXY_CONTAINER},
    settings::Settings,
    volumes,
};

/// What the proxy is in its pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Beside an application.
    Sidecar,
    /// The pod's purpose.
    Gateway,
}

/// The container, without its security context and hooks.
pub(super) fn container(settings: &Settings<'_>, role: Role) -> Container {
    let global = &settings.values.global;
    Container {
        name: PROXY_CONTAINER.to_owned(),
        image: Some(settings.image(&global.proxy.image)),
        image_pull_policy: Some(global.image_pull_policy.clone()).filter(|policy| !policy.is_empty()),
        args: Some(arguments(settings, role)),
        env: Some(environment::variables(settings, role)),
        ports: Some(vec![ContainerPort {
            container_port: METRICS_PORT,
            name: Some("http-envoy-prom".to_owned()),
            protocol: Some("TCP".to_owned()),
            ..Default::default()
        }]),
        readiness_probe: readiness(settings),
        startup_probe: startup(settings, role),
        resources: resources(settings, role),
        volume_mounts: Some(volumes::mounts(settings)),
        ..Default::default()
    }
}

fn arguments(settings: &Settings<'_>, role: Role) -> Vec<String> {
    let global = &settings.values.global;
    let role = match role {
        Role::Sidecar => "sidecar",
        Role::Gateway => "router",
    };
    let level = settings.annotation_or(names::LOG_LEVEL, &global.proxy.log_level);
    let components = settings.annotation_or(names::COMPONENT_LOG_LEVEL, &global.proxy.component_log_level);
    let mut arguments = vec![
        "proxy".to_owned(),
        role.to_owned(),
        "--domain".to_owned(),
        format!("$(POD_NAMESPACE).svc.{}", global.proxy.cluster_domain),
        format!("--proxyLogLevel={level}"),
        format!("--proxyComponentLogLevel={components}"),
    ];
    arguments.extend(agent_log_arguments(settings));
    arguments
}

/// Arguments that proxy and init step share.
pub(super) fn agent_log_arguments(settings: &Settings<'_>) -> Vec<String> {
    let level = settings.annotation_or(names::AGENT_LOG_LEVEL, &settings.values.global.logging.level);
    let mut arguments = vec![format!("--log_output_level={level}")];
    if settings.values.global.log_as_json {
        arguments.push("--log_as_json".to_owned());
    }
    arguments
}

fn readiness(settings: &Settings<'_>) -> Option<Probe> {
    let proxy = &settings.values.global.proxy;
    let number = |annotation: &str, default: i32| {
        settings.annotation(annotation).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let delay = number(names::READINESS_INITIAL_DELAY, proxy.readiness_initial_delay_seconds);
    (settings.status_port != 0).then(|| Probe {
        http_get: Some(health_check()),
        initial_delay_seconds: Some(delay).filter(|seconds| *seconds > 0),
        period_seconds: Some(number(names::READINESS_PERIOD, proxy.readiness_period_seconds)),
        timeout_seconds: Some(3),
        failure_threshold: Some(number(names::READINESS_FAILURES, proxy.readiness_failure_threshold)),
        ..Default::default()
    })
}

/// Kubernetes starts what comes after a native sidecar when this probe has succeeded.
fn startup(settings: &Settings<'_>, role: Role) -> Option<Probe> {
    let startup = &settings.values.global.proxy.startup_probe;
    (role == Role::Sidecar && settings.status_port != 0 && startup.enabled).then(|| Probe {
        http_get: Some(health_check()),
        period_seconds: Some(1),
        timeout_seconds: Some(3),
        failure_threshold: Some(startup.failure_threshold),
        ..Default::default()
    })
}

fn health_check() -> HTTPGetAction {
    HTTPGetAction {
        path: Some("/healthz/ready".to_owned()),
        port: IntOrString::Int(HEALTH_PORT),
        ..Default::default()
    }
}

/// As in Istio, one resource annotation replaces all default resources. A gateway's pod brings its own.
pub(super) fn resources(settings: &Settings<'_>, role: Role) -> Option<ResourceRequirements> {
    let list = |entries: [(&str, &str); 2]| {
        let quantity = |(resource, annotation): (&str, &str)| {
            let value = settings.annotation(annotation)?;
            Some((resource.to_owned(), Quantity(value.to_owned())))
        };
        let list: BTreeMap<_, _> = entries.into_iter().filter_map(quantity).collect();
        Some(list).filter(|list| !list.is_empty())
    };
    let requests = list([("cpu", names::PROXY_CPU), ("memory", names::PROXY_MEMORY)]);
    let limits = list([("cpu", names::PROXY_CPU_LIMIT), ("memory", names::PROXY_MEMORY_LIMIT)]);
    if requests.is_some() || limits.is_some() {
        return Some(ResourceRequirements { requests, limits, claims: None });
    }
    if role == Role::Gateway {
        return None;
    }
    Some(settings.values.global.proxy.resources.clone().unwrap_or_else(default_resources))
}

/// A tenth of Istio's requests: the proxy needs no more. Limits are Istio's.
fn default_resources() -> ResourceRequirements {
    let list = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ]))
    };
    ResourceRequirements { requests: list("10m", "16Mi"), limits: list("2", "1Gi"), claims: None }
}
