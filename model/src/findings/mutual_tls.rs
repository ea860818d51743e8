//! What clients are told to speak, beside what servers accept.

use std::sync::Arc;

use crds::networking::{ClientTlsMode, TrafficPolicy};

use super::FindingKind::Conflict;
use super::list::{At, List};
use crate::config::{DestinationRule, MutualTlsMode};
use crate::mesh::Mesh;
use crate::value::{Endpoint, Resolution, Service, ServicePort, Workload};

/// Endpoints that are looked at; those of one service seldom differ.
const LOOKED_AT: usize = 20;

pub(super) fn look(mesh: &Mesh, rule: &DestinationRule, service: &Service, list: &mut List) {
    let Some(policy) = rule.policy.as_deref() else { return };
    if service.resolution != Resolution::Endpoints || service.external {
        return;
    }
    for port in &service.ports {
        let Some((at, mode)) = mode_of(policy, port) else { continue };
        let Some(endpoints) = mesh.endpoints.get(&service.key) else { continue };
        for (endpoint, number) in endpoints.on_port(&port.name).take(LOOKED_AT) {
            if let Some(problem) = problem(mesh, mode, endpoint, number) {
                list.error(
                    Conflict,
                    &at,
                    format_args!("{problem} on port {} of {}", port.number, service.key.host),
                );
                return;
            }
        }
    }
}

/// The client's TLS on a port, and where it is written. Settings of a port stand for themselves.
fn mode_of(policy: &TrafficPolicy, port: &ServicePort) -> Option<(At, ClientTlsMode)> {
    let at = At::spec().field("trafficPolicy");
    let own = policy
        .port_level_settings
        .iter()
        .enumerate()
        .find(|(_, one)| one.port.as_ref().and_then(|port| port.number) == Some(u32::from(port.number)));
    let (at, tls) = match own {
        Some((index, own)) => (at.item("portLevelSettings", index), own.tls.as_ref()),
        None => (at, policy.tls.as_ref()),
    };
    Some((at.field("tls.mode"), tls?.mode.unwrap_or_default()))
}

fn problem(mesh: &Mesh, mode: ClientTlsMode, endpoint: &Endpoint, port: u16) -> Option<String> {
    let workload: &Arc<Workload> = endpoint.workload.as_ref()?;
    let instance = &workload.instance;
    if !workload.mutual_tls {
        return (mode == ClientTlsMode::IstioMutual).then(|| {
            format!(
                "ISTIO_MUTUAL needs a sidecar at the other end, which {instance} does not have; \
                 remove tls to let the mesh decide"
            )
        });
    }
    let accepts = mesh.mutual_tls(&instance.namespace, &workload.labels).of_port(port);
    let says = || match deciding(mesh, workload) {
        Some(policy) => format!("PeerAuthentication {policy}"),
        None => "the mesh".to_owned(),
    };
    match (mode, accepts) {
        (ClientTlsMode::Disable | ClientTlsMode::Simple | ClientTlsMode::Mutual, MutualTlsMode::Strict) => {
            Some(format!(
                "{} demands the mesh's mutual TLS of {instance} (STRICT), so that connections with {} fail; \
             use ISTIO_MUTUAL or remove tls,",
                says(),
                mode.as_str()
            ))
        }
        (ClientTlsMode::IstioMutual, MutualTlsMode::Disable) => Some(format!(
            "{} switches mutual TLS of {instance} off (DISABLE), so that connections with ISTIO_MUTUAL fail; \
             remove tls, or the policy,",
            says()
        )),
        _ => None,
    }
}

/// The most particular policy for a workload.
fn deciding(mesh: &Mesh, workload: &Workload) -> Option<String> {
    let root = &mesh.settings.root_namespace;
    let of = |namespace: &crate::Text| {
        mesh.peer_authentications.get(namespace).into_iter().flat_map(|all| all.iter())
    };
    let own = &workload.instance.namespace;
    let selecting = of(own).find(|one| !one.selector.is_empty() && workload.labels.satisfy(&one.selector));
    let plain = || of(own).chain(of(root)).find(|one| one.selector.is_empty());
    selecting.filter(|_| own != root).or_else(plain).map(|one| one.meta.name.to_string())
}
