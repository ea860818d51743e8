//! VirtualServices.

use crds::networking::Destination;

use super::hosts;
use super::list::{At, List};
use crate::config::VirtualService;
use crate::mesh::Mesh;

pub(super) fn look(mesh: &Mesh, service: &VirtualService, list: &mut List) {
    let spec = &service.spec;
    let at = At::spec();
    for (index, rule) in spec.http.iter().enumerate() {
        let at = at.item("http", index);
        for (index, route) in rule.route.iter().enumerate() {
            destination(
                mesh,
                service,
                &route.destination,
                &at.item("route", index).field("destination"),
                list,
            );
        }
        if let Some(mirror) = &rule.mirror {
            destination(mesh, service, mirror, &at.field("mirror"), list);
        }
        for (index, mirror) in rule.mirrors.iter().enumerate() {
            let at = at.item("mirrors", index).field("destination");
            destination(mesh, service, &mirror.destination, &at, list);
        }
    }
    let tls =
        spec.tls.iter().map(|rule| &rule.route).enumerate().map(|(index, routes)| ("tls", index, routes));
    let tcp =
        spec.tcp.iter().map(|rule| &rule.route).enumerate().map(|(index, routes)| ("tcp", index, routes));
    for (kind, index, routes) in tls.chain(tcp) {
        let at = at.item(kind, index);
        for (index, route) in routes.iter().enumerate() {
            destination(
                mesh,
                service,
                &route.destination,
                &at.item("route", index).field("destination"),
                list,
            );
        }
    }
}

fn destination(mesh: &Mesh, service: &VirtualService, to: &Destination, at: &At, list: &mut List) {
    if list.is_full() {
        return;
    }
    let namespace = &service.meta.name.namespace;
    let _ = hosts::service(mesh, &to.host, namespace, &at.field("host"), list);
}
