//! Whether an object gets nothing of what it claims, because others have it or because it claims it where that is used for
//! nothing. One that gets a part is accepted, with a note about the rest. Pure.

use std::collections::BTreeSet;

use model::{Finding, FindingKind, Key, Kind, Labels, Mesh, Severity};

/// Somebody else has this part, or nobody looks at it.
pub(super) fn takes_away(finding: &Finding) -> bool {
    matches!(finding.kind, FindingKind::Conflict | FindingKind::Ignored)
        && finding.severity == Severity::Error
}

/// Whether nothing is left of an object.
pub(super) fn is_lost(mesh: &Mesh, key: &Key, findings: &[Finding]) -> bool {
    let taken: BTreeSet<&str> =
        findings.iter().filter(|finding| takes_away(finding)).map(|finding| finding.field.as_str()).collect();
    !taken.is_empty()
        && parts(mesh, key)
            .is_some_and(|parts| !parts.is_empty() && parts.iter().all(|part| taken.contains(part.as_str())))
}

/// Fields that stand for all that an object claims; none if it cannot lose all of it.
fn parts(mesh: &Mesh, key: &Key) -> Option<Vec<String>> {
    let (name, written) = (&key.name, &mesh.written);
    let each = |list: &str, count: usize, rest: &str| {
        (0..count).map(|index| format!("spec.{list}[{index}]{rest}")).collect::<Vec<_>>()
    };
    match key.kind {
        Kind::VirtualService => {
            let service = written.virtual_services.get(name)?;
            // Gateways merge the rules of all.
            service.gateways.is_empty().then(|| each("hosts", service.hosts.len(), ""))
        }
        Kind::DestinationRule => {
            let rule = written.destination_rules.get(name)?;
            let policy = rule.policy.iter().map(|_| "spec.trafficPolicy".to_owned());
            Some(each("subsets", rule.subsets.len(), ".name").into_iter().chain(policy).collect())
        }
        Kind::Gateway => Some(each("servers", mesh.gateways.get(name)?.servers.len(), ".port")),
        Kind::ServiceEntry => Some(each("hosts", written.service_entries.get(name)?.services.len(), "")),
        Kind::Sidecar => {
            let all = mesh.sidecars.get(&name.namespace)?;
            let own = all.iter().find(|one| one.meta.name == *name)?;
            whole(&own.selector, all.iter().map(|one| &one.selector), "spec.workloadSelector")
        }
        Kind::PeerAuthentication => {
            let all = mesh.peer_authentications.get(&name.namespace)?;
            let own = all.iter().find(|one| one.meta.name == *name)?;
            let nowhere = name.namespace == mesh.settings.root_namespace && !own.selector.is_empty();
            let selectors = all.iter().map(|one| &one.selector);
            whole(&own.selector, selectors, "spec.selector")
                .or_else(|| nowhere.then(|| vec!["spec.selector".to_owned()]))
        }
        _ => None,
    }
}

/// An older one for the same workloads takes all of them; one that shares some leaves the others.
fn whole<'l>(own: &Labels, all: impl Iterator<Item = &'l Labels>, field: &str) -> Option<Vec<String>> {
    (all.filter(|selector| *selector == own).count() > 1).then(|| vec![field.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Object, Store};
    use serde_json::{Value, json};

    fn object(kind: &str, name: &str, created: &str, spec: Value) -> Object {
        let group = if kind == "PeerAuthentication" { "security" } else { "networking" };
        let object = json!({
            "apiVersion": format!("{group}.istio.io/v1"), "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
            "spec": spec,
        });
        Object::from_json(object).unwrap().unwrap()
    }

    /// Of an older and a younger object, whether the younger is lost; the older never is.
    fn lost(kind: &str, older: Value, younger: Value) -> bool {
        let mut store = Store::new("cluster.local", "Kubernetes");
        store.apply(object(kind, "older", "2026-01-01T00:00:00Z", older).into());
        store.apply(object(kind, "younger", "2026-01-02T00:00:00Z", younger).into());
        let mesh = store.mesh();
        let of = |name| {
            let key = Key::new(Kind::named(kind).unwrap(), "shop", name);
            is_lost(&mesh, &key, &model::findings(&mesh, &key))
        };
        assert!(!of("older"), "{kind}");
        of("younger")
    }

    #[test]
    fn who_gets_a_part_is_not_lost() {
        let route = json!([{"route": [{"destination": {"host": "a"}}]}]);
        let service =
            |hosts: Value, gateways: Value| json!({"hosts": hosts, "gateways": gateways, "http": route});
        let mesh = json!(["mesh"]);
        for (hosts, gateways, expected) in [
            (json!(["a"]), mesh.clone(), true),
            (json!(["a", "b"]), mesh.clone(), false),
            (json!(["b"]), mesh.clone(), false),
            (json!(["a"]), json!(["mesh", "edge"]), false),
        ] {
            let told = format!("{hosts} {gateways}");
            let older = service(json!(["a"]), mesh.clone());
            assert_eq!(lost("VirtualService", older, service(hosts, gateways)), expected, "{told}");
        }
        let rule = |subsets: &[&str], policy: bool| {
            let subsets: Vec<_> = subsets.iter().map(|name| json!({"name": name})).collect();
            let mut rule = json!({"host": "a", "subsets": subsets});
            if policy {
                rule["trafficPolicy"] = json!({"connectionPool": {"tcp": {"maxConnections": 1}}});
            }
            rule
        };
        let cases: [(&[&str], bool, bool); 4] = [
            (&["v1"], true, true),
            (&["v1"], false, true),
            (&["v1", "v2"], true, false),
            (&[], false, false),
        ];
        for (subsets, policy, expected) in cases {
            assert_eq!(
                lost("DestinationRule", rule(&["v1"], true), rule(subsets, policy)),
                expected,
                "{subsets:?}"
            );
        }
        let policy = |app: Option<&str>| {
            let selector = app.map(|app| json!({"matchLabels": {"app": app}}));
            json!({"selector": selector, "mtls": {"mode": "STRICT"}})
        };
        assert!(lost("PeerAuthentication", policy(None), policy(None)));
        assert!(lost("PeerAuthentication", policy(Some("a")), policy(Some("a"))));
        assert!(!lost("PeerAuthentication", policy(None), policy(Some("a"))));
        assert!(!lost("PeerAuthentication", policy(Some("a")), policy(Some("b"))));
    }
}
