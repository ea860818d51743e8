//! VirtualServices, Gateways and Sidecars.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Store;
use super::index::{add_to, find_in, recount, remove_from, replace, replace_in};
use crate::changes::{Change, Changes};
use crate::config::{Gateway, Sidecar, VirtualService};
use crate::value::{NamespacedName, Text};

impl Store {
    pub(super) fn put_virtual_service(
        &mut self,
        name: &NamespacedName,
        new: Option<Arc<VirtualService>>,
        changes: &mut Changes,
    ) {
        let mesh = Arc::make_mut(&mut self.mesh);
        let Some(change) = replace(&mut mesh.virtual_services, name, new) else { return };
        if let Some(old) = &change.old {
            old.mesh_hosts().for_each(|host| replace_in(&mut mesh.mesh_routes, host, name, None));
            old.gateways.iter().for_each(|gateway| replace_in(&mut mesh.gateway_routes, gateway, name, None));
            old.destinations.iter().for_each(|host| remove_from(&mut mesh.routes_to, host, name));
        }
        if let Some(new) = &change.new {
            new.mesh_hosts().for_each(|host| replace_in(&mut mesh.mesh_routes, host, name, Some(new)));
            new.gateways
                .iter()
                .for_each(|gateway| replace_in(&mut mesh.gateway_routes, gateway, name, Some(new)));
            new.destinations.iter().for_each(|host| add_to(&mut mesh.routes_to, host.clone(), name.clone()));
        }
        let keys = |service: &Option<Arc<VirtualService>>| {
            service.as_ref().map_or_else(Vec::new, |service| service.source_label_keys.clone())
        };
        changes.selector_keys |=
            recount(&mut mesh.sidecar_label_keys, &keys(&change.old), &keys(&change.new));
        changes.merge(Changes { virtual_services: [(name.clone(), change)].into(), ..Changes::default() });
    }

    pub(super) fn set_gateway(&mut self, name: &NamespacedName, new: Option<Gateway>, changes: &mut Changes) {
        let mesh = Arc::make_mut(&mut self.mesh);
        let Some(change) = replace(&mut mesh.gateways, name, new.map(Arc::new)) else { return };
        let keys = |gateway: &Option<Arc<Gateway>>| -> Vec<Text> {
            gateway.iter().flat_map(|gateway| gateway.selector.iter()).map(|(key, _)| key.clone()).collect()
        };
        changes.selector_keys |=
            recount(&mut mesh.gateway_label_keys, &keys(&change.old), &keys(&change.new));
        changes.merge(Changes { gateways: [(name.clone(), change)].into(), ..Changes::default() });
    }

    pub(super) fn set_sidecar(&mut self, name: &NamespacedName, new: Option<Sidecar>, changes: &mut Changes) {
        let mesh = Arc::make_mut(&mut self.mesh);
        let old = find_in(&mesh.sidecars, &name.namespace, name);
        if old.as_deref() == new.as_ref() {
            return;
        }
        let new = new.map(Arc::new);
        replace_in(&mut mesh.sidecars, &name.namespace, name, new.as_ref());
        let keys = |sidecar: &Option<Arc<Sidecar>>| -> BTreeSet<Text> {
            sidecar.iter().flat_map(|sidecar| sidecar.selector.iter()).map(|(key, _)| key.clone()).collect()
        };
        let (old_keys, new_keys): (Vec<_>, Vec<_>) =
            (keys(&old).into_iter().collect(), keys(&new).into_iter().collect());
        changes.selector_keys |= recount(&mut mesh.sidecar_label_keys, &old_keys, &new_keys);
        changes
            .merge(Changes { sidecars: [(name.clone(), Change { old, new })].into(), ..Changes::default() });
    }
}
