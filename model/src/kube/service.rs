//! Service.

use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta_of;
use crate::value::{
    ExportTo, Labels, Protocol, Registry, Resolution, Service, ServiceKey, ServicePort, TargetPort, Text,
    intern,
};

/// Annotation that limits who sees a Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";
/// Annotation that names service accounts a client may meet, by Kubernetes name.
const KUBERNETES_ACCOUNTS: &str = "alpha.istio.io/kubernetes-serviceaccounts";
/// Annotation that names identities a client may meet, as SPIFFE ids.
const CANONICAL_ACCOUNTS: &str = "alpha.istio.io/canonical-serviceaccounts";

impl Service {
    /// From a Kubernetes Service in a cluster with this DNS domain. `ExternalName` services are none of ours:
    /// they are DNS aliases that the app resolves itself.
    pub fn from_kubernetes(service: &v1::Service, domain: &str) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        let meta = meta_of(&service.metadata);
        let annotation = |key: &str| service.metadata.annotations.as_ref()?.get(key).map(String::as_str);
        let namespace = &meta.name.namespace;
        let headless = spec.cluster_ip.as_deref() == Some("None");
        // `clusterIP` repeats the first of `clusterIPs`.
        let listed = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.iter().cloned().collect());
        let addresses = listed.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()).map(Into::into).collect();
        let host = format!("{}.{namespace}.svc.{domain}", meta.name.name);
        Some(Self {
            key: ServiceKey::new(&host, namespace),
            name: meta.name.name.clone(),
            created: meta.created,
            registry: Registry::Kubernetes,
            external: false,
            resolution: if headless { Resolution::Passthrough } else { Resolution::Endpoints },
            addresses,
            assigned: Vec::new(),
            ports: spec.ports.iter().flatten().filter_map(service_port).collect(),
            selector: Labels::of(spec.selector.as_ref()),
            export_to: annotation(EXPORT_TO)
                .and_then(|list| ExportTo::parse(&list.split(',').collect::<Vec<_>>(), namespace)),
            subject_alt_names: identities(
                annotation(CANONICAL_ACCOUNTS),
                annotation(KUBERNETES_ACCOUNTS),
                namespace,
            ),
        })
    }
}

fn service_port(port: &v1::ServicePort) -> Option<ServicePort> {
    let number = u16::try_from(port.port).ok()?;
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = Protocol::of_port(number, name, port.app_protocol.as_deref(), port.protocol.as_deref());
    let target = match &port.target_port {
        None => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => TargetPort::Number(u16::try_from(*target).ok()?),
        Some(IntOrString::String(target)) => {
            target.parse().map_or_else(|_| TargetPort::Name(intern(target)), TargetPort::Number)
        }
    };
    Some(ServicePort { number, name: intern(name), protocol, target })
}

/// Identities from annotations. Kubernetes account names are kept as `ns/<namespace>/sa/<name>`: the trust domain is
/// known only where they are used.
fn identities(canonical: Option<&str>, kubernetes: Option<&str>, namespace: &str) -> Vec<Text> {
    let split = |list: Option<&str>| -> Vec<String> {
        list.into_iter().flat_map(|list| list.split(',')).map(|item| item.trim().to_owned()).collect()
    };
    let canonical = split(canonical).into_iter();
    let kubernetes = split(kubernetes).into_iter().map(|account| format!("ns/{namespace}/sa/{account}"));
    canonical.chain(kubernetes).map(|identity| intern(&identity)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(spec: serde_json::Value) -> Option<Service> {
        let object = json!({"metadata": {"name": "reviews", "namespace": "shop"}, "spec": spec});
        Service::from_kubernetes(&serde_json::from_value(object).unwrap(), "cluster.local")
    }

    #[test]
    fn a_cluster_address_appears_once() {
        let service =
            service(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]})).unwrap();
        let addresses: Vec<_> = service.addresses.iter().map(|net| net.addr().to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
        assert_eq!(&*service.key.host, "reviews.shop.svc.cluster.local");
    }

    #[test]
    fn headless_services_pass_through_and_external_names_are_ignored() {
        let headless = service(json!({"clusterIP": "None"})).unwrap();
        assert!(headless.is_headless() && headless.addresses.is_empty());
        assert_eq!(service(json!({"type": "ExternalName", "externalName": "example.com"})), None);
    }

    #[test]
    fn target_ports_are_numbers_or_names() {
        let service = service(json!({"ports": [
            {"port": 80, "name": "http"},
            {"port": 81, "name": "a", "targetPort": 8081},
            {"port": 82, "name": "b", "targetPort": "web"},
        ]}))
        .unwrap();
        let targets: Vec<_> = service.ports.iter().map(|port| port.target.clone()).collect();
        assert_eq!(
            targets,
            [TargetPort::Number(80), TargetPort::Number(8081), TargetPort::Name(intern("web"))]
        );
    }
}
