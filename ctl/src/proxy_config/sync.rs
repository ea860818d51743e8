//! Whether a proxy has what istiod sent it: two configuration dumps compared by name and version of each resource.

use std::collections::BTreeMap;

use serde_json::Value;

/// A type of resource: what a person calls it, the list of a dump's entries, and where an entry keeps the resource and
/// its version. istiod spells names as in `routeConfig`, proxies as in `route_config`.
struct Kind {
    title: &'static str,
    list: [&'static str; 2],
    resource: [&'static str; 2],
    version: [&'static str; 2],
}

const KINDS: [Kind; 3] = [
    Kind {
        title: "Clusters",
        list: ["dynamicActiveClusters", "dynamic_active_clusters"],
        resource: ["/cluster", "/cluster"],
        version: ["/versionInfo", "/version_info"],
    },
    Kind {
        title: "Listeners",
        list: ["dynamicListeners", "dynamic_listeners"],
        resource: ["/activeState/listener", "/active_state/listener"],
        version: ["/activeState/versionInfo", "/active_state/version_info"],
    },
    Kind {
        title: "Routes",
        list: ["dynamicRouteConfigs", "dynamic_route_configs"],
        resource: ["/routeConfig", "/route_config"],
        version: ["/versionInfo", "/version_info"],
    },
];

/// A paragraph for each type: that it matches, or which resources don't.
pub fn compare(sent: &Value, held: &Value) -> String {
    let mut text = String::new();
    for kind in KINDS {
        let (sent, held) = (versions(sent, &kind), versions(held, &kind));
        let mut differences = Vec::new();
        for (name, version) in &sent {
            match held.get(name) {
                None => differences.push(format!("    {name}: sent, but the proxy doesn't have it")),
                Some(other) if other != version => {
                    differences.push(format!("    {name}: sent as {version}, but the proxy has {other}"));
                }
                Some(_) => {}
            }
        }
        let extra = held.keys().filter(|name| !sent.contains_key(*name));
        differences.extend(extra.map(|name| format!("    {name}: not sent, but the proxy has it")));
        if differences.is_empty() {
            text += &format!("{} Match ({})\n", kind.title, sent.len());
        } else {
            text += &format!("{} Don't Match\n{}\n", kind.title, differences.join("\n"));
        }
    }
    text
}

/// The version of each resource by name.
fn versions<'a>(dump: &'a Value, kind: &Kind) -> BTreeMap<&'a str, &'a str> {
    let configs = dump["configs"].as_array().into_iter().flatten();
    let entries =
        configs.flat_map(|config| kind.list.iter().filter_map(|list| config[*list].as_array()).flatten());
    let text = |entry: &'a Value, pointers: &[&str], end: &str| {
        pointers.iter().find_map(|pointer| entry.pointer(&format!("{pointer}{end}"))?.as_str())
    };
    entries
        .filter_map(|entry| {
            Some((text(entry, &kind.resource, "/name")?, text(entry, &kind.version, "").unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_that_are_missing_different_or_too_many_are_named() {
        let entry =
            |name: &str, version: &str| json!({ "cluster": { "name": name }, "versionInfo": version });
        let sent = json!({ "configs": [
            { "dynamicActiveClusters": [entry("a", "1"), entry("b", "2"), entry("c", "3")] },
            { "dynamicListeners": [{ "activeState": { "versionInfo": "7", "listener": { "name": "l" } } }] },
        ] });
        let entry =
            |name: &str, version: &str| json!({ "cluster": { "name": name }, "version_info": version });
        let held = json!({ "configs": [
            { "dynamic_active_clusters": [entry("a", "1"), entry("b", "0"), entry("d", "4")] },
            { "dynamic_listeners": [{ "active_state": { "version_info": "7", "listener": { "name": "l" } } }] },
        ] });
        assert_eq!(
            compare(&sent, &held),
            "Clusters Don't Match\n    \
             b: sent as 2, but the proxy has 0\n    \
             c: sent, but the proxy doesn't have it\n    \
             d: not sent, but the proxy has it\n\
             Listeners Match (1)\n\
             Routes Match (0)\n"
        );
    }
}
