//! Who answers at a destination, and whether connections there are mutual TLS.

use model::{Endpoint, Labels, Locality, Service, ServicePort, TargetPort, Workload};

use crate::evaluator::View;
use crate::outcome::{Block, EndpointSeen, Tls};
use crate::peers;

/// Endpoints of a port with all of some labels, and TLS towards them.
pub(crate) fn of(
    view: &View<'_>,
    service: &Service,
    port: &ServicePort,
    labels: &Labels,
    tls: Option<&Block>,
) -> (Tls, Vec<EndpointSeen>) {
    let automatic = automatic(view, service, tls);
    let known = view.mesh.endpoints.get(&service.key);
    let mut all: Vec<EndpointSeen> = known
        .into_iter()
        .flat_map(|known| known.on_port(&port.name))
        .filter(|(endpoint, _)| has(endpoint, labels))
        .map(|(endpoint, number)| seen(view, endpoint, number, automatic.is_ok()))
        .collect();
    all.extend(waiting(view, service, port, labels, &all));
    let mode = match &automatic {
        Err(tls) => return (tls.clone(), all),
        Ok(()) if all.is_empty() => "mutual, to endpoints in the mesh",
        Ok(()) if all.iter().all(|endpoint| endpoint.mutual_tls) => "mutual",
        Ok(()) if all.iter().any(|endpoint| endpoint.mutual_tls) => "by endpoint",
        Ok(()) => "plaintext",
    };
    let why = match mode {
        "plaintext" => "no endpoint is in the mesh, or takes it",
        _ => "automatic: endpoints in the mesh take it",
    };
    (Tls { mode: mode.to_owned(), why: why.to_owned() }, all)
}

/// Whether mutual TLS is left to endpoints; else what is said instead.
fn automatic(view: &View<'_>, service: &Service, written: Option<&Block>) -> Result<(), Tls> {
    let tls = |mode: &str, why: String| Err(Tls { mode: mode.to_owned(), why });
    if let Some(block) = written {
        let mode = block.value.get("mode").and_then(serde_json::Value::as_str).unwrap_or("DISABLE");
        let mode = match mode {
            "DISABLE" => "plaintext",
            "ISTIO_MUTUAL" => "mutual",
            other => other,
        };
        return tls(mode, format!("the DestinationRule's tls ({})", block.from));
    }
    if service.external {
        return tls("plaintext", "the service is outside of the mesh".to_owned());
    }
    if !view.mesh.settings.config.auto_mtls() {
        return tls("plaintext", "enableAutoMtls of the mesh is false".to_owned());
    }
    let of_namespace = peers::demands(view.mesh, &service.key.namespace, &Labels::default(), 0);
    if of_namespace.mode == "DISABLE" {
        let policy = of_namespace.policy.unwrap_or_default();
        return tls("plaintext", format!("PeerAuthentication {policy} switches it off"));
    }
    Ok(())
}

fn has(endpoint: &Endpoint, labels: &Labels) -> bool {
    labels.is_empty() || endpoint.workload.as_ref().is_some_and(|workload| workload.labels.satisfy(labels))
}

fn seen(view: &View<'_>, endpoint: &Endpoint, port: u16, automatic: bool) -> EndpointSeen {
    let workload = endpoint.workload.as_deref();
    let accepts = workload
        .map(|workload| peers::demands(view.mesh, &workload.instance.namespace, &workload.labels, port));
    let refuses = accepts.as_ref().is_some_and(|accepts| accepts.mode == "DISABLE");
    EndpointSeen {
        address: match &endpoint.address {
            unix @ model::Address::Unix(_) => unix.to_string(),
            model::Address::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            other => format!("{other}:{port}"),
        },
        workload: workload.map(|workload| workload.instance.name.to_string()).unwrap_or_default(),
        locality: place(&endpoint.locality),
        health: "ready".to_owned(),
        mutual_tls: automatic && endpoint.mutual_tls() && !refuses,
        // Who has no sidecar has nobody to make demands.
        accepts: accepts.filter(|_| endpoint.mutual_tls()),
        labels: workload.map(labels).unwrap_or_default(),
    }
}

/// Workloads that the service selects, but that are no endpoints yet.
fn waiting(
    view: &View<'_>,
    service: &Service,
    port: &ServicePort,
    wanted: &Labels,
    ready: &[EndpointSeen],
) -> Vec<EndpointSeen> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let namespace = &service.key.namespace;
    let unknown = view.evaluator.expects && !view.mesh.endpoints.contains_key(&service.key);
    let health = if unknown { "expected" } else { "not ready" };
    let workloads = view.mesh.workloads.values().filter(|workload| {
        workload.instance.namespace == *namespace
            && workload.labels.satisfy(&service.selector)
            && workload.labels.satisfy(wanted)
            && !ready.iter().any(|endpoint| endpoint.workload == *workload.instance.name)
    });
    workloads
        .map(|workload| {
            let number = match &port.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => workload.named_port(name),
            };
            let accepts = peers::demands(view.mesh, namespace, &workload.labels, number.unwrap_or_default());
            let refuses = accepts.mode == "DISABLE";
            EndpointSeen {
                address: String::new(),
                workload: workload.instance.name.to_string(),
                locality: place(&workload.locality),
                health: health.to_owned(),
                mutual_tls: workload.mutual_tls && !refuses,
                accepts: Some(accepts).filter(|_| workload.mutual_tls),
                labels: labels(workload),
            }
        })
        .collect()
}

fn labels(workload: &Workload) -> std::collections::BTreeMap<String, String> {
    workload.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn place(locality: &Locality) -> String {
    let parts = [&locality.region, &locality.zone, &locality.subzone];
    parts.into_iter().take_while(|part| !part.is_empty()).map(|part| &**part).collect::<Vec<_>>().join("/")
}
