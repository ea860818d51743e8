//! The webhook configuration chooses the pods that the injector, asked offline, would choose.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde_json::{Value, json};
use webhook::inject::selected_by_webhook;

use crate::support::{find, objects};

type Labels = BTreeMap<String, String>;

fn matches(selector: &Value, labels: &Labels) -> bool {
    let selector: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
    Selector::try_from(selector).unwrap().matches(labels)
}

fn every(keys: &[(&str, &[&str])]) -> Vec<Labels> {
    keys.iter().fold(vec![Labels::new()], |all, (key, values)| {
        let with = |labels: &Labels, value: &str| {
            let mut labels = labels.clone();
            labels.insert((*key).to_owned(), value.to_owned());
            labels
        };
        all.iter()
            .flat_map(|labels| {
                std::iter::once(labels.clone())
                    .chain(values.iter().map(|value| with(labels, value)))
                    .collect::<Vec<_>>()
            })
            .collect()
    })
}

#[test]
fn configuration_and_injector_agree_on_every_combination_of_labels() {
    let revisions: &[&str] = &["default", "canary", "other"];
    let namespaces = every(&[("istio-injection", &["enabled", "disabled"]), ("istio.io/rev", revisions)]);
    let pods = every(&[("sidecar.istio.io/inject", &["true", "false"]), ("istio.io/rev", revisions)]);
    for (revision, name) in
        [("default", "istio-sidecar-injector"), ("canary", "istio-sidecar-injector-canary")]
    {
        let made = objects(
            json!({"profile": "minimal", "revision": if revision == "default" { "" } else { revision }}),
        );
        let webhooks = find(&made, &format!("MutatingWebhookConfiguration {name}"))["webhooks"].clone();
        for namespace in &namespaces {
            for pod in &pods {
                let chosen = webhooks.as_array().unwrap().iter().any(|webhook| {
                    matches(&webhook["namespaceSelector"], namespace)
                        && matches(&webhook["objectSelector"], pod)
                });
                assert_eq!(
                    chosen,
                    selected_by_webhook(namespace, pod, revision),
                    "revision {revision}, namespace {namespace:?}, pod {pod:?}"
                );
            }
        }
    }
}
