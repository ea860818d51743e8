//! `.status.loadBalancer` of Ingress objects: where the gateway that serves them is reached. Written by the leader only.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use leader::Seat;
use model::config::IngressSettings;
use model::{Mesh, Text};
use serde_json::{Value, json};

use crate::chore::Chore;

/// Between looks at the gateway's Service, while there is an Ingress that it serves.
const PAUSE: Duration = Duration::from_secs(10);
/// Who owns these fields.
const MANAGER: &str = "trysail-ingress";

/// Keeps the status of every Ingress that the mesh serves, while this replica has the seat.
pub(crate) async fn keep(client: Client, mesh: Arc<ArcSwap<Mesh>>, seat: Seat) {
    let mut chore = Chore::new(PAUSE, "where Ingress objects are served", seat);
    loop {
        chore.due().await;
        let mesh = mesh.load_full();
        if !mesh.ingresses.is_empty() {
            chore.work(look(&client, &mesh)).await;
        }
    }
}

async fn look(client: &Client, mesh: &Mesh) -> kube::Result<()> {
    let settings = IngressSettings::new(&mesh.settings.config);
    let services: Api<Service> = Api::namespaced(client.clone(), &mesh.settings.root_namespace);
    // Without the Service nothing is known, so what was written stays.
    let Some(service) = services.get_opt(&settings.service).await? else { return Ok(()) };
    let wanted = addresses(&service);
    for ingress in mesh.ingresses.values() {
        let known: Vec<&str> = ingress.addresses.iter().map(|address: &Text| &**address).collect();
        if known == wanted {
            continue;
        }
        let name = &ingress.meta.name;
        let api: Api<Ingress> = Api::namespaced(client.clone(), &name.namespace);
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch_status(&name.name, &parameters, &Patch::Merge(status(&wanted))).await {
            Ok(_) => tracing::debug!(ingress = %name, ?wanted, "status written"),
            // It is gone meanwhile.
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where a Service is reached from outside, in order.
fn addresses(service: &Service) -> Vec<&str> {
    let spec = service.spec.as_ref();
    if let Some(name) = spec.filter(|spec| spec.type_.as_deref() == Some("ExternalName")) {
        return name.external_name.as_deref().into_iter().collect();
    }
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let given = points.filter_map(|point| point.ip.as_deref().or(point.hostname.as_deref()));
    let fixed = spec.and_then(|spec| spec.external_ips.as_ref()).into_iter().flatten().map(String::as_str);
    let mut all: Vec<&str> = given.chain(fixed).filter(|address| !address.is_empty()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn status(addresses: &[&str]) -> Value {
    let point = |address: &&str| match address.parse::<std::net::IpAddr>() {
        Ok(_) => json!({ "ip": address }),
        Err(_) => json!({ "hostname": address }),
    };
    json!({ "status": { "loadBalancer": { "ingress": addresses.iter().map(point).collect::<Vec<_>>() } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingress_is_where_its_gateway_s_service_is() {
        for (service, expected) in [
            (
                json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}]}}}),
                vec!["192.0.2.7", "lb.example.com"],
            ),
            (
                json!({"spec": {"externalIPs": ["192.0.2.9"]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"ip": "192.0.2.7"}]}}}),
                vec!["192.0.2.7", "192.0.2.9"],
            ),
            (
                json!({"spec": {"type": "ExternalName", "externalName": "edge.example.com"}}),
                vec!["edge.example.com"],
            ),
            (json!({"spec": {"type": "NodePort"}}), vec![]),
        ] {
            let service: Service = serde_json::from_value(service).unwrap();
            assert_eq!(addresses(&service), expected);
        }
        assert_eq!(
            status(&["192.0.2.7", "lb.example.com"]),
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}]}}})
        );
    }
}
