//! Gateways: those of the profile and those that a MeshInstall lists.

use std::collections::BTreeMap;

use crds::mesh::{GatewayComponent, KubernetesOptions};
use serde_json::{Value, json};

use super::{
    Settings, SettingsError,
    options::{options_of, over},
    profile::Layer,
};
use crate::names::Component;

/// A gateway with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Ingress or egress.
    pub component: Component,
    /// Name of Deployment and Service.
    pub name: String,
    /// Namespace it runs in.
    pub namespace: String,
    /// Labels of its pods, by which Gateway objects select it.
    pub labels: BTreeMap<String, String>,
    /// Settings of its Kubernetes objects.
    pub options: KubernetesOptions,
}

impl Gateway {
    /// Its service account, named as istioctl names it.
    pub fn service_account(&self) -> String {
        format!("{}-service-account", self.name)
    }
}

type Listed = (Vec<GatewayComponent>, Vec<GatewayComponent>);

/// The profile's gateway stays unless a listed one of its name replaces it or switches it off.
pub(super) fn all(settings: &Settings, layer: &Layer, listed: Listed) -> Result<Vec<Gateway>, SettingsError> {
    let groups = [
        (Component::IngressGateways, "istio-ingressgateway", layer.ingress, listed.0),
        (Component::EgressGateways, "istio-egressgateway", layer.egress, listed.1),
    ];
    let mut gateways = Vec::new();
    for (component, standard, enabled, mut list) in groups {
        if enabled && list.iter().all(|gateway| gateway.name != standard) {
            list.insert(0, GatewayComponent { name: standard.to_owned(), ..Default::default() });
        }
        for gateway in list.into_iter().filter(GatewayComponent::is_enabled) {
            gateways.push(filled_in(settings, component, standard, gateway)?);
        }
    }
    Ok(gateways)
}

fn filled_in(
    settings: &Settings,
    component: Component,
    standard: &str,
    gateway: GatewayComponent,
) -> Result<Gateway, SettingsError> {
    // Values are for the profile's gateways; others of the kind start with the same requests for resources.
    let values = if gateway.name == standard {
        settings.values["gateways"][standard].clone()
    } else {
        json!({ "resources": settings.values["gateways"][standard]["resources"] })
    };
    let options = options_of(&values, &format!("spec.values.gateways.{standard}"))?;
    let mut labels = BTreeMap::from([
        ("app".to_owned(), gateway.name.clone()),
        ("istio".to_owned(), standard.trim_start_matches("istio-").to_owned()),
    ]);
    labels.extend(texts(&values["labels"]));
    labels.extend(gateway.label.clone());
    Ok(Gateway {
        component,
        namespace: gateway.namespace(&settings.namespace).to_owned(),
        labels,
        options: over(options, gateway.k8s.unwrap_or_default()),
        name: gateway.name,
    })
}

fn texts(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}
