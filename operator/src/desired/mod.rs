//! What a MeshInstall means, as objects.
//!
//! In: the MeshInstall, the operator's release, and what is known of the cluster. Out: every object that must exist, in
//! the order to apply them. A pure function: the same three values always give the same objects.
//!
//! ```text
//! settings   profile, then the person's own fields, resolved once
//!  ├─ foundation   namespace, service accounts, rbac, ConfigMaps
//!  ├─ istiod       Deployment, Service, disruption budget, autoscaler
//!  ├─ webhooks     only once the webhook answers, with its root certificate
//!  └─ gateways     only after the webhooks: their pods are injected
//! ```

mod config_maps;
mod foundation;
mod gateway;
mod istiod;
mod names;
mod object;
mod profile;
mod rbac;
mod settings;
mod webhooks;
mod workload;

use crds::mesh::MeshInstall;

pub use self::{
    names::{INSTALL_LABEL, MANAGED_BY, Names, OPERATOR},
    object::{Object, Stage},
    settings::{GatewaySettings, Settings, SettingsError},
};

/// What this operator was built as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Version of the operator and of the images it installs.
    pub version: String,
}

impl Release {
    /// The release that this binary belongs to.
    pub fn current() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What the operator has seen of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The root certificate (PEM) that the webhook has answered with, once it has.
    pub webhook_root: Option<String>,
}

/// Every object of the mesh, in the order to apply them.
///
/// # Errors
/// When a field has a value that no schema can refuse but that makes no sense; the error names it.
pub fn desired(
    install: &MeshInstall,
    release: &Release,
    facts: &ClusterFacts,
) -> Result<Vec<Object>, SettingsError> {
    let settings = Settings::of(install, release)?;
    let mut objects = foundation::objects(&settings);
    objects.extend(config_maps::objects(&settings));
    if settings.pilot.enabled {
        objects.extend(rbac::objects(&settings));
        objects.extend(istiod::objects(&settings));
        if let Some(root) = &facts.webhook_root {
            objects.extend(webhooks::objects(&settings, root));
        }
    }
    if !settings.pilot.enabled || facts.webhook_root.is_some() {
        objects.extend(settings.gateways().flat_map(|gateway| gateway::objects(&settings, gateway)));
    }
    objects.sort_by_key(|object| object.stage);
    Ok(objects)
}

#[cfg(test)]
mod tests;
