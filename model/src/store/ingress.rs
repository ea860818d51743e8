//! Ingress objects, kept as Gateways and VirtualServices of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::Store;
use super::index::replace;
use crate::changes::Changes;
use crate::config::{IngressSettings, ingress};
use crate::kube::{Ingress, IngressClass};
use crate::value::{NamespacedName, ServiceKey, Text};

/// Objects as written, and the names of what was made of them.
#[derive(Debug, Default)]
pub(super) struct IngressIndex {
    all: OrdMap<NamespacedName, Arc<Ingress>>,
    classes: BTreeMap<Text, Text>,
    gateways: BTreeSet<NamespacedName>,
    services: BTreeSet<NamespacedName>,
    /// Whether some backend says its port by name.
    by_name: bool,
}

impl Store {
    pub(super) fn set_ingress(&mut self, name: &NamespacedName, new: Option<Ingress>, changes: &mut Changes) {
        if replace(&mut self.ingress.all, name, new.map(Arc::new)).is_some() {
            self.make_of_ingresses(changes);
        }
    }

    pub(super) fn set_ingress_class(
        &mut self,
        name: &Text,
        new: Option<IngressClass>,
        changes: &mut Changes,
    ) {
        let classes = &mut self.ingress.classes;
        let old = match &new {
            Some(class) => classes.insert(name.clone(), class.controller.clone()),
            None => classes.remove(name),
        };
        if old != new.map(|class| class.controller) {
            self.make_of_ingresses(changes);
        }
    }

    /// Settings say which are served, and services which numbers their ports have.
    pub(super) fn renew_ingresses(&mut self, changes: &mut Changes) {
        if changes.everything || (self.ingress.by_name && !changes.services.is_empty()) {
            self.make_of_ingresses(changes);
        }
    }

    /// Makes everything anew. What comes out as before changes nothing.
    fn make_of_ingresses(&mut self, changes: &mut Changes) {
        let settings = IngressSettings::new(&self.mesh.settings.config);
        let classes = &self.ingress.classes;
        let serves = |one: &Arc<Ingress>| settings.serves(one, |class| classes.get(class).cloned());
        let ingresses: OrdMap<_, _> = self
            .ingress
            .all
            .iter()
            .filter(|(_, one)| serves(one))
            .map(|(name, one)| (name.clone(), one.clone()))
            .collect();
        if ingresses.is_empty() && self.mesh.ingresses.is_empty() {
            return;
        }
        Arc::make_mut(&mut self.mesh).ingresses = ingresses;
        let mesh = self.mesh.clone();
        let mut served: Vec<&Arc<Ingress>> = mesh.ingresses.values().collect();
        served.sort_by_key(|one| one.meta.age_order());
        self.ingress.by_name = served.iter().any(|one| names_ports(one));
        let port_of = |namespace: &str, service: &str, port: &str| {
            let host = format!("{service}.{namespace}.svc.{}", mesh.domain);
            let service = mesh.services.get(&ServiceKey::new(&host, namespace))?;
            service.ports.iter().find(|known| *known.name == *port).map(|known| known.number)
        };
        let root = &mesh.settings.root_namespace;
        let made = ingress::from_ingress(&served, &settings, root, &mesh.domain, port_of);
        let gateways = made.gateways.iter().map(|one| one.meta.name.clone()).collect();
        let services = made.services.iter().map(|one| one.meta.name.clone()).collect();
        let old_gateways = std::mem::replace(&mut self.ingress.gateways, gateways);
        let old_services = std::mem::replace(&mut self.ingress.services, services);
        for gateway in made.gateways {
            self.set_gateway(&gateway.meta.name.clone(), Some(gateway), changes);
        }
        for service in made.services {
            self.set_virtual_service(&service.meta.name.clone(), Some(Arc::new(service)), changes);
        }
        for name in old_services.difference(&self.ingress.services.clone()) {
            self.set_virtual_service(name, None, changes);
        }
        for name in old_gateways.difference(&self.ingress.gateways.clone()) {
            self.set_gateway(name, None, changes);
        }
    }
}

fn names_ports(ingress: &Ingress) -> bool {
    let spec = &ingress.spec;
    let paths =
        spec.rules.iter().flatten().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    let mut backends = paths.map(|path| &path.backend).chain(&spec.default_backend);
    backends.any(|backend| {
        let port = backend.service.as_ref().and_then(|service| service.port.as_ref());
        port.is_some_and(|port| port.name.is_some())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::store::Store;
    use crate::value::Kind;
    use crate::{Changes, Event, Key, Object};

    fn apply(store: &mut Store, document: Value) -> Changes {
        store.apply(Object::from_json(document).unwrap().unwrap().into())
    }

    fn ingress(class: &str, port: Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i", "namespace": "shop"},
               "spec": {"ingressClassName": class, "rules": [{"host": "a.com", "http": {"paths": [
                   {"pathType": "Prefix", "path": "/", "backend": {"service": {"name": "web", "port": port}}}]}}]}})
    }

    fn class(controller: &str) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "ours"},
               "spec": {"controller": controller}})
    }

    fn web() -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
               "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 8000, "name": "http-web"}]}})
    }

    fn counts(store: &Store) -> (usize, usize, usize) {
        let mesh = store.mesh();
        (mesh.ingresses.len(), mesh.gateways.len(), mesh.virtual_services.len())
    }

    #[test]
    fn an_ingress_comes_and_goes_with_its_class() {
        let mut store = Store::new("cluster.local", "Kubernetes");
        assert!(
            apply(&mut store, ingress("ours", json!({"number": 80}))).is_empty(),
            "nobody knows the class yet"
        );
        assert_eq!(counts(&store), (0, 0, 0));
        let changes = apply(&mut store, class("istio.io/ingress-controller"));
        assert_eq!((changes.gateways.len(), changes.virtual_services.len()), (1, 1));
        assert_eq!(counts(&store), (1, 1, 1));
        assert!(apply(&mut store, ingress("ours", json!({"number": 80}))).is_empty(), "it is as before");
        apply(&mut store, class("example.com/other"));
        assert_eq!(counts(&store), (0, 0, 0));
        apply(&mut store, class("istio.io/ingress-controller"));
        store.apply(Event::Deleted(Key::new(Kind::Ingress, "shop", "i")));
        assert_eq!(counts(&store), (0, 0, 0));
    }

    #[test]
    fn a_named_port_is_found_once_its_service_is_there() {
        let mut store = Store::new("cluster.local", "Kubernetes");
        apply(&mut store, class("istio.io/ingress-controller"));
        apply(&mut store, ingress("ours", json!({"name": "http-web"})));
        assert_eq!(counts(&store), (1, 1, 0));
        apply(&mut store, web());
        let mesh = store.mesh();
        let made = mesh.virtual_services.values().next().unwrap();
        assert_eq!(made.spec.http[0].route[0].destination.port.as_ref().unwrap().number, Some(8000));
        store.apply(Event::Deleted(Key::new(Kind::Service, "shop", "web")));
        assert_eq!(counts(&store), (1, 1, 0));
    }

    #[test]
    fn the_mesh_s_settings_decide() {
        let mut store = Store::new("cluster.local", "Kubernetes");
        apply(&mut store, class("istio.io/ingress-controller"));
        apply(&mut store, ingress("ours", json!({"number": 80})));
        let settings = |text: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": text}})
        };
        apply(&mut store, settings("ingressControllerMode: 'OFF'"));
        assert_eq!(counts(&store), (0, 0, 0));
        apply(&mut store, settings("ingressSelector: door"));
        assert_eq!(counts(&store), (1, 1, 1));
        let mesh = store.mesh();
        let gateway = mesh.gateways.values().next().unwrap();
        assert_eq!(gateway.selector.get("istio").map(|label| &**label), Some("door"));
    }
}
