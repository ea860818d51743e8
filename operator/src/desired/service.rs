//! Services: what a component needs, and over it what a person wants of it.

use std::collections::BTreeMap;

use crds::mesh::KubernetesOptions;
use k8s_openapi::apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString};
use k8s_openapi::{
    DeepMerge,
    api::core::v1::{Service, ServicePort, ServiceSpec},
};

/// A port: name, number, and the port of the pods.
pub(super) type Port = (&'static str, i32, i32);

/// Whether a person's ports replace the standard ones, or stand beside them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnPorts {
    /// A gateway listens where its Gateway objects say.
    Replace,
    /// The control plane's ports are part of its contract.
    Add,
}

/// A Service with a person's settings over the standard ones.
pub(super) fn service(
    metadata: ObjectMeta,
    selector: BTreeMap<String, String>,
    kind: Option<&str>,
    ports: &[Port],
    own_ports: OwnPorts,
    options: &KubernetesOptions,
) -> Service {
    let mut own = options.service.clone().unwrap_or_default();
    let mut chosen: Vec<ServicePort> =
        own.ports.take().unwrap_or_default().into_iter().map(with_protocol).collect();
    if chosen.is_empty() || own_ports == OwnPorts::Add {
        let taken =
            |port: &ServicePort| chosen.iter().any(|own| own.port == port.port || own.name == port.name);
        let standard: Vec<_> = ports.iter().map(standard).filter(|port| !taken(port)).collect();
        chosen.splice(0..0, standard);
    }
    let mut spec = ServiceSpec { type_: kind.map(str::to_owned), ..Default::default() };
    spec.merge_from(own);
    spec.selector = Some(selector);
    spec.ports = Some(chosen);
    let mut metadata = metadata;
    metadata.annotations = Some(options.service_annotations.clone()).filter(|map| !map.is_empty());
    Service { metadata, spec: Some(spec), status: None }
}

fn standard(&(name, port, target): &Port) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(target)),
        ..Default::default()
    }
}

/// The list's key has the protocol in it: without one, server-side apply refuses the object.
fn with_protocol(mut port: ServicePort) -> ServicePort {
    port.protocol.get_or_insert_with(|| "TCP".to_owned());
    port
}
