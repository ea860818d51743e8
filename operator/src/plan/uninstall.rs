//! The order of an uninstall. Webhook configurations go first, so that pods can be made all the while; gateways before the
//! control plane, so that they end with a control plane to talk to; rights last, for everything above needs them.

use super::{ObjectId, Owned};

/// Objects that go together. The next step begins when they are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the step is about, for people.
    pub what: &'static str,
    /// The objects.
    pub objects: Vec<ObjectId>,
}

const WORKLOADS: &[&str] = &["HorizontalPodAutoscaler", "PodDisruptionBudget", "Deployment", "Service"];

/// Steps in their order: what they are about, their kinds, whose objects. Namespaces come after all of them.
const STEPS: [(&str, &[&str], Owner); 5] = [
    (
        "webhook configurations",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        Owner::Anybody,
    ),
    ("gateways", WORKLOADS, Owner::Gateways),
    ("the control plane", WORKLOADS, Owner::Anybody),
    (
        "rights",
        &["RoleBinding", "Role", "ClusterRoleBinding", "ClusterRole", "ServiceAccount"],
        Owner::Anybody,
    ),
    ("ConfigMaps", &["ConfigMap"], Owner::Anybody),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Gateways,
    Anybody,
}

/// The first step that has something to do; `None` when nothing but namespaces is left.
pub fn next_step(existing: &[Owned]) -> Option<Step> {
    STEPS.iter().find_map(|(what, kinds, owner)| {
        let belongs = |object: &&Owned| {
            let ours = *owner == Owner::Anybody || object.component.ends_with("Gateways");
            ours && kinds.contains(&object.id.kind.kind)
        };
        let objects: Vec<_> = existing.iter().filter(belongs).map(|object| object.id.clone()).collect();
        (!objects.is_empty()).then_some(Step { what, objects })
    })
}
