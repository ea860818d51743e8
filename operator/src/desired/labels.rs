//! Labels of objects and pods.

use std::collections::BTreeMap;

use crate::{Component, Settings, names};

type Labels = BTreeMap<String, String>;

fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels of every object.
pub(super) fn of_object(settings: &Settings, component: Component) -> Labels {
    labels([
        (names::OWNER, settings.owner.as_str()),
        (names::COMPONENT, component.as_str()),
        (names::REVISION, &settings.revision),
        ("app.kubernetes.io/managed-by", "trysail-operator"),
        ("app.kubernetes.io/part-of", "trysail"),
    ])
}

/// Labels by which the control plane's pods are selected. They never change.
pub(super) fn selector(settings: &Settings) -> Labels {
    labels([("app", "istiod"), (names::REVISION, &settings.revision)])
}

/// Labels of the control plane's pods.
pub(super) fn of_pods(settings: &Settings) -> Labels {
    let mut all = selector(settings);
    all.extend(common(settings, Component::Pilot));
    all.extend(labels([("istio", if settings.revision == "default" { "pilot" } else { "istiod" })]));
    all
}

/// Labels of pods that are never injected and never captured.
pub(super) fn common(settings: &Settings, component: Component) -> Labels {
    labels([
        (names::COMPONENT, component.as_str()),
        (names::REVISION, &settings.revision),
        ("sidecar.istio.io/inject", "false"),
        ("istio.io/dataplane-mode", "none"),
        ("app.kubernetes.io/managed-by", "trysail-operator"),
        ("app.kubernetes.io/part-of", "trysail"),
    ])
}
