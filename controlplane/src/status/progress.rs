//! How far an object has come: which of the proxies that need it have acknowledged it. Pure.

use model::{Key, Mesh};
use serde::{Deserialize, Serialize};

use super::proxies::{Proxies, Proxy};
use super::refused::concerns;
use crate::mesh::InForce;

/// Names in a message; the others are counted.
const NAMED: usize = 3;

/// Proxies that need an object, by what they have of it. Those of several replicas add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How many need it.
    pub(super) needed: usize,
    /// How many have acknowledged it.
    pub(super) current: usize,
    /// How many refuse something that is made from it.
    pub(super) refusing: usize,
    /// Names of a few that have not acknowledged it yet.
    pub(super) lagging: Vec<String>,
    /// Whether one of those has not moved for long.
    pub(super) stuck: bool,
    /// A few that refuse, with their words.
    pub(super) refused: Vec<(String, String)>,
}

impl Progress {
    /// Of one object, as it is in force, among the proxies of this replica.
    pub(super) fn of(mesh: &Mesh, key: &Key, in_force: InForce, proxies: &Proxies) -> Self {
        let mut progress = Self::default();
        for (view, proxies) in &proxies.0 {
            if translate::touches(mesh, view, key) {
                for proxy in proxies {
                    progress.count(mesh, key, in_force, proxy);
                }
            }
        }
        progress.lagging.sort();
        progress.refused.sort();
        progress.shorten();
        progress
    }

    fn count(&mut self, mesh: &Mesh, key: &Key, in_force: InForce, proxy: &Proxy) {
        self.needed += 1;
        let mut refusals = proxy.refusals.iter().filter(|refusal| refusal.snapshot > in_force.after);
        if let Some(refusal) = refusals.find(|refusal| concerns(mesh, key, refusal)) {
            self.refusing += 1;
            self.refused.push((proxy.name.clone(), refusal.message.clone()));
        } else if proxy.settled > in_force.after || proxy.settled == proxy.newest {
            self.current += 1;
        } else {
            self.lagging.push(proxy.name.clone());
            self.stuck |= proxy.stuck;
        }
    }

    /// Adds what another replica says.
    pub(super) fn add(&mut self, other: Self) {
        self.needed += other.needed;
        self.current += other.current;
        self.refusing += other.refusing;
        self.stuck |= other.stuck;
        self.lagging.extend(other.lagging);
        self.refused.extend(other.refused);
        self.shorten();
    }

    fn shorten(&mut self) {
        self.lagging.truncate(NAMED);
        self.refused.truncate(NAMED);
    }

    /// Whether everybody who needs it has it.
    pub(super) fn is_complete(&self) -> bool {
        self.current == self.needed
    }

    /// `3 of 5 proxies have it`, and who does not.
    pub(super) fn words(&self) -> String {
        let Self { needed, current, .. } = self;
        let proxies = if *needed == 1 { "proxy has" } else { "proxies have" };
        let mut words = format!("{current} of {needed} {proxies} it");
        if *needed == 0 {
            words.push_str(": no connected proxy needs it");
        }
        for (proxy, message) in &self.refused {
            words.push_str(&format!("; refused by {proxy}: {}", brief(message)));
        }
        words.push_str(&rest(self.refusing, self.refused.len()));
        if !self.lagging.is_empty() {
            let what = if self.stuck { "no answer from" } else { "waiting for" };
            words.push_str(&format!("; {what} {}", self.lagging.join(", ")));
            words.push_str(&rest(needed - current - self.refusing, self.lagging.len()));
        }
        words
    }
}

fn rest(all: usize, named: usize) -> String {
    if all > named { format!(" and {} more", all - named) } else { String::new() }
}

/// A proxy's words may be long; the beginning says what it is about.
fn brief(message: &str) -> String {
    const LONGEST: usize = 500;
    let mut brief: String = message.chars().take(LONGEST).collect();
    if brief.len() < message.len() {
        brief.push_str("...");
    }
    brief
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::config::core::v3::Node;
    use model::{Kind, Object, Store};
    use serde_json::json;
    use translate::{ProxyNode, ProxyView};
    use xds::ResourceType;

    use super::*;
    use crate::ads::Refusal;

    const PUBLISHED: InForce = InForce { generation: 1, after: 10 };

    fn mesh() -> Arc<Mesh> {
        let mut store = Store::new("cluster.local", "Kubernetes");
        for name in ["reviews", "ratings"] {
            let service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]},
            });
            let rule = json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"hosts": [name], "exportTo": ["."], "http": [{"route": [{"destination": {"host": name}}]}]},
            });
            for object in [service, rule] {
                store.apply(Object::from_json(object).unwrap().unwrap().into());
            }
        }
        store.mesh()
    }

    fn view(namespace: &str, mesh: &Mesh) -> Arc<ProxyView> {
        let id = format!("sidecar~10.1.0.9~web.{namespace}~{namespace}.svc.cluster.local");
        let node = Node { id, ..Node::default() };
        Arc::new(ProxyView::of(&ProxyNode::from_envoy(&node).unwrap(), mesh))
    }

    fn proxy(name: &str, newest: u64, settled: u64) -> Proxy {
        Proxy { name: format!("{name}.shop"), newest, settled, stuck: false, refusals: Vec::new() }
    }

    fn of(proxies: Vec<Proxy>) -> Progress {
        let mesh = mesh();
        let others = vec![proxy("not-concerned", 99, 0)];
        let all = Proxies(vec![(view("shop", &mesh), proxies), (view("bank", &mesh), others)]);
        Progress::of(&mesh, &Key::new(Kind::VirtualService, "shop", "reviews"), PUBLISHED, &all)
    }

    #[test]
    fn who_has_answered_everything_or_something_newer_has_it() {
        for (newest, settled, current) in [
            (12, 12, 1), // the newest
            (10, 10, 1), // what came changed nothing for it
            (15, 12, 1), // a later push is on its way
            (12, 10, 0), // what came is on its way
            (12, 0, 0),  // new
        ] {
            let progress = of(vec![proxy("web", newest, settled)]);
            assert_eq!((progress.needed, progress.current), (1, current), "{settled} of {newest}");
        }
    }

    #[test]
    fn a_few_are_named_and_all_are_counted() {
        let lagging: Vec<_> = (0..9).map(|number| proxy(&format!("p{number}"), 12, 9)).collect();
        let mut progress = of(lagging.into_iter().chain([proxy("web", 12, 12)]).collect());
        assert_eq!(
            progress.words(),
            "1 of 10 proxies have it; waiting for p0.shop, p1.shop, p2.shop and 6 more"
        );
        assert!(!progress.is_complete());
        progress.add(Progress { needed: 5, current: 5, ..Progress::default() });
        assert_eq!(
            progress.words(),
            "6 of 15 proxies have it; waiting for p0.shop, p1.shop, p2.shop and 6 more"
        );
    }

    #[test]
    fn a_refusal_counts_for_what_it_names_since_it_is_in_force() {
        let refusal = |kind, snapshot, names: &[&str]| Refusal {
            kind,
            snapshot,
            names: names.iter().map(|name| Arc::from(*name)).collect(),
            message: "bad".to_owned(),
        };
        let reviews = "80/reviews.shop.svc.cluster.local:80";
        let ratings = "80/ratings.shop.svc.cluster.local:80";
        for (refusal, refusing) in [
            (refusal(ResourceType::VirtualHost, 12, &[reviews]), 1),
            (refusal(ResourceType::VirtualHost, 12, &[ratings]), 0),
            (refusal(ResourceType::VirtualHost, 12, &[ratings, reviews]), 1),
            (refusal(ResourceType::VirtualHost, 12, &[]), 1),
            (refusal(ResourceType::Route, 12, &["80"]), 1),
            (refusal(ResourceType::VirtualHost, 10, &[reviews]), 0), // of the generation before
            (refusal(ResourceType::Cluster, 12, &["outbound|80||reviews.shop.svc.cluster.local"]), 0),
        ] {
            let told = format!("{refusal:?}");
            let progress = of(vec![Proxy { refusals: vec![refusal], ..proxy("web", 12, 12) }]);
            assert_eq!((progress.refusing, progress.current), (refusing, 1 - refusing), "{told}");
        }
    }
}
