//! A MeshInstall with everything resolved: profile first, then the person's own fields.
//!
//! In: MeshInstall and release. Out: [`Settings`], which the other files turn into objects without deciding anything.

use std::collections::BTreeMap;

use crds::mesh::{GatewayComponent, KubernetesOptions, MeshInstall, Profile};
use serde_json::{Map, Value, json};

use super::{Names, Release, profile};

/// Everything resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the MeshInstall.
    pub install: String,
    /// Names of objects.
    pub names: Names,
    /// Registry and path of images.
    pub hub: String,
    /// Tag of images.
    pub tag: String,
    /// MeshConfig for ConfigMap `istio`.
    pub mesh_config: Value,
    /// Values for ConfigMap `istio-sidecar-injector`.
    pub values: Value,
    /// Key `config` of ConfigMap `istio-sidecar-injector`.
    pub injector: Value,
    /// The control plane.
    pub pilot: PilotSettings,
    /// Enabled ingress gateways.
    pub ingress_gateways: Vec<GatewaySettings>,
    /// Enabled egress gateways.
    pub egress_gateways: Vec<GatewaySettings>,
}

/// The control plane.
#[derive(Clone, Debug, PartialEq)]
pub struct PilotSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Kubernetes settings.
    pub k8s: KubernetesOptions,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// Deployment, Service and service account.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels: those Gateways select it by.
    pub labels: BTreeMap<String, String>,
    /// Whether traffic comes in here (else it leaves here).
    pub ingress: bool,
    /// Kubernetes settings.
    pub k8s: KubernetesOptions,
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MeshInstall {install}, {field}: {problem}")]
pub struct SettingsError {
    /// Name of the MeshInstall.
    pub install: String,
    /// Path of the field.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Settings {
    /// Resolves a MeshInstall.
    ///
    /// # Errors
    /// When fields contradict each other.
    pub fn of(install: &MeshInstall, release: &Release) -> Result<Self, SettingsError> {
        let spec = &install.spec;
        let name = install.metadata.name.clone().unwrap_or_default();
        let names = Names::new(spec.namespace(), spec.revision());
        let defaults = profile::components(spec.profile());
        let components = spec.components.clone().unwrap_or_default();
        let pilot = components.pilot.unwrap_or_default();
        let (hub, tag) = images(install, release);
        let settings = Self {
            mesh_config: mesh_config(spec.profile(), &spec.mesh_config, &names),
            values: values(&spec.values, &names, &hub, &tag),
            injector: injector(&spec.values),
            pilot: PilotSettings {
                enabled: pilot.enabled.unwrap_or(defaults.pilot),
                k8s: pilot.k8s.unwrap_or_default(),
            },
            ingress_gateways: gateways(components.ingress_gateways, defaults.ingress, true, &names),
            egress_gateways: gateways(components.egress_gateways, defaults.egress, false, &names),
            install: name,
            names,
            hub,
            tag,
        };
        settings.check()
    }

    /// Every enabled gateway.
    pub fn gateways(&self) -> impl Iterator<Item = &GatewaySettings> {
        self.ingress_gateways.iter().chain(&self.egress_gateways)
    }

    /// Labels of every object.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.names.labels(&self.install)
    }

    /// A full image name.
    pub(super) fn image(&self, name: &str) -> String {
        format!("{}/{name}:{}", self.hub, self.tag)
    }

    fn check(self) -> Result<Self, SettingsError> {
        let mut seen = BTreeMap::new();
        for gateway in self.gateways() {
            if let Some(other) = seen.insert((&gateway.namespace, &gateway.name), gateway) {
                return Err(SettingsError {
                    install: self.install.clone(),
                    field: format!("spec.components, gateway {}", other.name),
                    problem: format!(
                        "two gateways have this name in namespace {}; rename one",
                        other.namespace
                    ),
                });
            }
        }
        Ok(self)
    }
}

/// Hub and tag: the spec's, else those of `values.global`, else the release's.
fn images(install: &MeshInstall, release: &Release) -> (String, String) {
    let global = |name: &str| {
        let value = install.spec.values.get("global")?.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let own_hub = install.spec.hub.clone().filter(|hub| hub != crds::mesh::DEFAULT_HUB);
    let hub = own_hub.or_else(|| global("hub")).unwrap_or_else(|| crds::mesh::DEFAULT_HUB.to_owned());
    let tag = install.spec.tag.clone().or_else(|| global("tag")).unwrap_or_else(|| release.version.clone());
    (hub, tag)
}

fn mesh_config(profile: Profile, own: &Map<String, Value>, names: &Names) -> Value {
    let mut config = json!({
        "rootNamespace": names.namespace,
        "defaultConfig": { "discoveryAddress": format!("{}:15012", names.istiod_host()) },
    });
    merge(&mut config, profile::mesh_config(profile));
    merge(&mut config, Value::Object(own.clone()));
    config
}

/// What injection reads of the values; see Istio's Helm values of the same names.
fn values(own: &Map<String, Value>, names: &Names, hub: &str, tag: &str) -> Value {
    let revision = if names.revision == "default" { "" } else { &names.revision };
    let mut values = json!({
        "global": {
            "istioNamespace": names.namespace,
            "caAddress": format!("{}:15012", names.istiod_host()),
            "proxy": { "resources": {
                "requests": { "cpu": "10m", "memory": "32Mi" },
                "limits": { "cpu": "2000m", "memory": "1024Mi" },
            } },
        },
        "revision": revision,
    });
    merge(&mut values, Value::Object(own.clone()));
    merge(&mut values, json!({ "global": { "hub": hub, "tag": tag } }));
    values
}

/// `values.sidecarInjectorWebhook` holds what Istio's chart writes into the injector's own configuration.
fn injector(own: &Map<String, Value>) -> Value {
    let webhook = own.get("sidecarInjectorWebhook");
    let setting = |name: &str| webhook.and_then(|webhook| webhook.get(name)).cloned();
    let auto_inject =
        own.get("global").and_then(|global| global.pointer("/proxy/autoInject")).and_then(Value::as_str);
    json!({
        "policy": auto_inject.unwrap_or("enabled"),
        "defaultTemplates": setting("defaultTemplates").unwrap_or_else(|| json!(["sidecar"])),
        "alwaysInjectSelector": setting("alwaysInjectSelector").unwrap_or_else(|| json!([])),
        "neverInjectSelector": setting("neverInjectSelector").unwrap_or_else(|| json!([])),
        "injectedAnnotations": setting("injectedAnnotations").unwrap_or_else(|| json!({})),
        "templates": setting("templates").unwrap_or_else(|| json!({})),
    })
}

/// The gateways that were asked for, and the profile's own unless one of that name was.
fn gateways(
    asked: Vec<GatewayComponent>,
    by_default: bool,
    ingress: bool,
    names: &Names,
) -> Vec<GatewaySettings> {
    let standard = if ingress { "istio-ingressgateway" } else { "istio-egressgateway" };
    let mut all = asked;
    if by_default && !all.iter().any(|gateway| gateway.name == standard) {
        all.insert(0, GatewayComponent { name: standard.to_owned(), ..GatewayComponent::default() });
    }
    let enabled = all.into_iter().filter(GatewayComponent::is_enabled);
    enabled.map(|gateway| resolve(gateway, ingress, names)).collect()
}

fn resolve(gateway: GatewayComponent, ingress: bool, names: &Names) -> GatewaySettings {
    let role = if ingress { "ingressgateway" } else { "egressgateway" };
    let mut labels =
        BTreeMap::from([("app".to_owned(), gateway.name.clone()), ("istio".to_owned(), role.to_owned())]);
    labels.extend(gateway.label.clone());
    GatewaySettings {
        namespace: gateway.namespace.clone().unwrap_or_else(|| names.namespace.clone()),
        name: gateway.name,
        labels,
        ingress,
        k8s: gateway.k8s.unwrap_or_default(),
    }
}

/// Lays `over` on `base`: maps merge, everything else is replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
