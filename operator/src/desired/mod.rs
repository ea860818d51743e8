//! Every object that a MeshInstall stands for, as a pure function. The order is the order of applying.

mod autoscaling;
mod config;
mod control_plane;
mod gateway;
mod labels;
mod namespace;
mod object;
mod pods;
mod rbac;
mod service;
mod webhooks;

use crds::mesh::MeshInstall;
use kube::core::DynamicObject;

pub(crate) use self::webhooks::injector_name;
use crate::{ClusterFacts, Component, Release, Settings, SettingsError};

/// Every object that a MeshInstall stands for.
pub fn desired(
    install: &MeshInstall,
    release: &Release,
    facts: &ClusterFacts,
) -> Result<Vec<DynamicObject>, SettingsError> {
    objects(&Settings::of(install, release)?, facts)
}

/// The same, from settings that are filled in already.
pub fn objects(settings: &Settings, facts: &ClusterFacts) -> Result<Vec<DynamicObject>, SettingsError> {
    let mut objects = Objects { settings, list: Vec::new() };
    objects.extend(Component::Base, namespace::namespaces(settings, facts))?;
    if let Some(options) = &settings.pilot {
        objects.extend(Component::Pilot, rbac::control_plane(settings))?;
        objects.extend(Component::Pilot, config::config_maps(settings))?;
        objects.extend(Component::Pilot, control_plane::objects(settings, options))?;
    }
    for gateway in &settings.gateways {
        objects.extend(gateway.component, rbac::gateway(settings, gateway))?;
        objects.extend(gateway.component, gateway::objects(settings, gateway))?;
    }
    if let Some(roots) = facts.webhook_roots.as_ref().filter(|_| settings.pilot.is_some()) {
        objects.extend(Component::Pilot, webhooks::configurations(settings, roots))?;
    }
    Ok(objects.list)
}

/// Collects objects and gives each the labels by which it is found again.
struct Objects<'a> {
    settings: &'a Settings,
    list: Vec<DynamicObject>,
}

impl Objects<'_> {
    fn extend(&mut self, component: Component, objects: object::Made) -> Result<(), SettingsError> {
        for mut object in objects? {
            let labels = object.metadata.labels.get_or_insert_default();
            labels.extend(labels::of_object(self.settings, component));
            self.list.push(object);
        }
        Ok(())
    }
}
