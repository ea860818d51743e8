//! The order of an uninstall. Webhook configurations go first, so that pods can be made all the while; gateways before the
//! control plane, so that they end with a control plane to talk to; rights last, for everything above needs them.

use super::ObjectId;

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

/// The first step that has something to do; `None` when nothing but namespaces is left. Each object comes with the value of
/// its component label.
pub fn next_step(existing: &[(ObjectId, String)]) -> Option<Step> {
    STEPS.iter().find_map(|(what, kinds, owner)| {
        let belongs = |(object, component): &&(ObjectId, String)| {
            kinds.contains(&object.kind.kind) && (*owner == Owner::Anybody || component.ends_with("Gateways"))
        };
        let objects: Vec<_> = existing.iter().filter(belongs).map(|(object, _)| object.clone()).collect();
        (!objects.is_empty()).then_some(Step { what, objects })
    })
}
