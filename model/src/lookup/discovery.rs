//! Which namespaces the mesh looks at (`discoverySelectors`).

use std::sync::Arc;

use imbl::OrdSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::mesh::Mesh;
use crate::value::{Labels, Text};

impl Mesh {
    /// Whether objects of a namespace count: services, rules, policies. Without selectors those of all do.
    pub fn discovers(&self, namespace: &str) -> bool {
        self.discovered.as_ref().is_none_or(|known| known.contains(namespace))
    }

    /// Namespaces that the mesh's selectors choose, by their labels now; none if there are no selectors.
    pub(crate) fn discoverable(&self) -> Option<OrdSet<Text>> {
        let selectors = &self.settings.config.discovery_selectors;
        let chosen = |labels: &Labels| selectors.iter().any(|selector| selects(selector, labels));
        let all = self.namespaces.values().filter(|namespace| chosen(&namespace.labels));
        (!selectors.is_empty()).then(|| all.map(|namespace| namespace.name.clone()).collect())
    }

    /// Renews what [`Mesh::discovers`] answers by; true if that changed.
    pub(crate) fn rediscover(mesh: &mut Arc<Self>) -> bool {
        let discovered = mesh.discoverable();
        let changed = mesh.discovered != discovered;
        if changed {
            Arc::make_mut(mesh).discovered = discovered;
        }
        changed
    }
}

/// Kubernetes' rules: all conditions must hold, and an empty selector chooses everything.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().flatten();
    let conditions = selector.match_expressions.iter().flatten();
    exact.into_iter().all(|(key, value)| labels.get(key).is_some_and(|own| **own == **value))
        && conditions.into_iter().all(|condition| holds(condition, labels))
}

fn holds(condition: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let own = labels.get(&condition.key);
    let listed = || own.is_some_and(|own| condition.values.iter().flatten().any(|value| **value == **own));
    match condition.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => own.is_some(),
        "DoesNotExist" => own.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_as_kubernetes_reads_it() {
        let labels = Labels::new([("team", "shop"), ("stage", "live")]);
        let chosen = |yaml: serde_json::Value| {
            let selector: LabelSelector = serde_json::from_value(yaml).unwrap();
            selects(&selector, &labels)
        };
        let expression = |operator: &str, key: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(chosen(serde_json::json!({})));
        assert!(chosen(serde_json::json!({"matchLabels": {"team": "shop"}})));
        assert!(!chosen(serde_json::json!({"matchLabels": {"team": "shop", "stage": "test"}})));
        assert!(chosen(expression("In", "team", &["shop", "bank"])));
        assert!(!chosen(expression("NotIn", "team", &["shop"])));
        assert!(chosen(expression("NotIn", "other", &["x"])));
        assert!(chosen(expression("Exists", "stage", &[])));
        assert!(chosen(expression("DoesNotExist", "other", &[])));
    }
}
