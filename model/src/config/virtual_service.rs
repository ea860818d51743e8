//! VirtualService.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::networking::{Destination, HttpRoute, VirtualServiceSpec};

use super::delegate;
use crate::value::{ExportTo, Meta, NamespacedName, Text, intern, resolve_host};

/// The name that stands for all sidecars in lists of gateways.
const MESH: &str = "mesh";

/// Routes for hosts. All hosts in it are fully qualified, all gateways are `namespace/name` or `mesh`.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService {
    /// Identity and age.
    pub meta: Meta,
    /// Hosts it speaks for, wildcards included.
    pub hosts: Vec<Text>,
    /// Whether it applies to sidecars.
    pub on_mesh: bool,
    /// Gateways it is bound to.
    pub gateways: Vec<NamespacedName>,
    /// Who sees it; none means the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Hosts that its routes lead to, mirrors included.
    pub destinations: BTreeSet<Text>,
    /// Keys of `sourceLabels` in its matches.
    pub source_label_keys: Vec<Text>,
    /// Its rules; `hosts`, `gateways` and `exportTo` are empty here.
    pub spec: VirtualServiceSpec,
    /// Its HTTP rules as written, if some are left to delegates whose rules `spec` has in their places.
    pub written: Option<Arc<[HttpRoute]>>,
}

impl VirtualService {
    /// Resolves what is written relative to the object's namespace.
    pub fn new(meta: Meta, mut spec: VirtualServiceSpec, domain: &str) -> Self {
        let namespace = meta.name.namespace.clone();
        let hosts = std::mem::take(&mut spec.hosts);
        let gateways = std::mem::take(&mut spec.gateways);
        let export_to = ExportTo::parse(&std::mem::take(&mut spec.export_to), &namespace);
        let mut destinations = BTreeSet::new();
        for destination in destinations_of(&mut spec) {
            let host = resolve_host(&destination.host, &namespace, domain);
            destination.host = host.to_string();
            destinations.insert(host);
        }
        for gateways in match_gateways(&mut spec) {
            for gateway in gateways.iter_mut().filter(|gateway| *gateway != MESH) {
                *gateway = gateway_name(gateway, &namespace).to_string();
            }
        }
        Self {
            hosts: hosts.iter().map(|host| resolve_host(host, &namespace, domain)).collect(),
            on_mesh: gateways.is_empty() || gateways.iter().any(|gateway| gateway == MESH),
            gateways: gateways
                .iter()
                .filter(|gateway| *gateway != MESH)
                .map(|gateway| gateway_name(gateway, &namespace))
                .collect(),
            export_to,
            destinations,
            source_label_keys: source_label_keys(&spec),
            spec,
            written: None,
            meta,
        }
    }

    /// Its rules that are left to another VirtualService, with that one's name.
    pub fn delegates(&self) -> impl Iterator<Item = (&HttpRoute, NamespacedName)> {
        self.spec.http.iter().filter_map(|rule| {
            let delegate = rule.delegate.as_ref()?;
            let namespace = delegate.namespace.as_deref().filter(|namespace| !namespace.is_empty());
            let namespace = namespace.unwrap_or(&self.meta.name.namespace);
            Some((rule, NamespacedName::new(namespace, delegate.name.as_deref().unwrap_or_default())))
        })
    }

    /// The same with the rules of its delegates in their places; `rules_of` finds those of a delegate.
    pub fn with_delegates<'a>(&self, rules_of: impl Fn(&NamespacedName) -> Option<&'a [HttpRoute]>) -> Self {
        let mut delegates = self.delegates();
        let rules = self.spec.http.iter().flat_map(|rule| match &rule.delegate {
            None => vec![rule.clone()],
            Some(_) => {
                let found = delegates.next().and_then(|(_, name)| rules_of(&name));
                delegate::under(rule, found.unwrap_or_default())
            }
        });
        let mut spec = VirtualServiceSpec { http: rules.collect(), ..self.spec.clone() };
        let hosts = destinations_of(&mut spec).map(|destination| intern(&destination.host));
        Self {
            destinations: hosts.collect(),
            source_label_keys: source_label_keys(&spec),
            spec,
            written: Some(self.spec.http.as_slice().into()),
            ..self.clone()
        }
    }

    /// Hosts for which it applies to sidecars.
    pub fn mesh_hosts(&self) -> impl Iterator<Item = &Text> {
        self.hosts.iter().filter(|_| self.on_mesh)
    }
}

/// A gateway as written, which is of the object's own namespace unless it says another. The names of gateways that
/// can be said without a namespace have no dots.
fn gateway_name(written: &str, namespace: &str) -> NamespacedName {
    match written.split_once('/') {
        // `name.namespace`, and whatever follows, is the oldest way to say it.
        None => match written.split_once('.') {
            None => NamespacedName::new(namespace, written),
            Some((name, rest)) => NamespacedName::new(rest.split('.').next().unwrap_or_default(), name),
        },
        Some((".", name)) => NamespacedName::new(namespace, name),
        Some((other, name)) => NamespacedName::new(other, name),
    }
}

fn destinations_of(spec: &mut VirtualServiceSpec) -> impl Iterator<Item = &mut Destination> {
    let http = spec.http.iter_mut().flat_map(|rule| {
        let mirrors = rule.mirrors.iter_mut().map(|mirror| &mut mirror.destination);
        let routes = rule.route.iter_mut().map(|route| &mut route.destination);
        routes.chain(mirrors).chain(&mut rule.mirror)
    });
    let tls = spec.tls.iter_mut().flat_map(|rule| rule.route.iter_mut());
    let tcp = spec.tcp.iter_mut().flat_map(|rule| rule.route.iter_mut());
    http.chain(tls.chain(tcp).map(|route| &mut route.destination))
}

fn match_gateways(spec: &mut VirtualServiceSpec) -> impl Iterator<Item = &mut Vec<String>> {
    let http =
        spec.http.iter_mut().flat_map(|rule| &mut rule.matches).map(|condition| &mut condition.gateways);
    let tls = spec.tls.iter_mut().flat_map(|rule| &mut rule.matches).map(|condition| &mut condition.gateways);
    let tcp = spec.tcp.iter_mut().flat_map(|rule| &mut rule.matches).map(|condition| &mut condition.gateways);
    http.chain(tls).chain(tcp)
}

fn source_label_keys(spec: &VirtualServiceSpec) -> Vec<Text> {
    let http = spec.http.iter().flat_map(|rule| &rule.matches).map(|condition| &condition.source_labels);
    let tls = spec.tls.iter().flat_map(|rule| &rule.matches).map(|condition| &condition.source_labels);
    let tcp = spec.tcp.iter().flat_map(|rule| &rule.matches).map(|condition| &condition.source_labels);
    let keys: BTreeSet<_> = http.chain(tls).chain(tcp).flat_map(|labels| labels.keys()).collect();
    keys.into_iter().map(|key| intern(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_relative_is_resolved() {
        let meta = Meta { name: NamespacedName::new("shop", "reviews"), created: 0 };
        let spec = json!({
            "hosts": ["reviews", "example.com"],
            "gateways": ["mesh", "front", "istio-system/edge"],
            "http": [{
                "match": [{"gateways": ["front"], "sourceLabels": {"app": "x"}}],
                "route": [{"destination": {"host": "Reviews", "subset": "v1"}}],
                "mirror": {"host": "copy.other.svc.cluster.local"},
            }],
        });
        let service = VirtualService::new(meta, serde_json::from_value(spec).unwrap(), "cluster.local");
        assert_eq!(service.hosts, [intern("reviews.shop.svc.cluster.local"), intern("example.com")]);
        assert!(service.on_mesh);
        assert_eq!(
            service.gateways,
            [NamespacedName::new("shop", "front"), NamespacedName::new("istio-system", "edge")]
        );
        assert_eq!(service.spec.http[0].matches[0].gateways, ["shop/front"]);
        assert_eq!(service.spec.http[0].route[0].destination.host, "reviews.shop.svc.cluster.local");
        assert_eq!(service.destinations.len(), 2);
        assert_eq!(service.source_label_keys, [intern("app")]);
    }
}
