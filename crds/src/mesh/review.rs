//! Judges a MeshInstall beyond its schema. Asked by the webhook, the operator and `trysailctl`,
//! since the object may reach the operator before any webhook runs.

use super::{Components, KubernetesOptions, MeshInstall};
use crate::{Problem, Report, UnknownField, check_part, mesh_config::MeshConfig};

/// What is wrong with a MeshInstall that its schema can't say; `old` is the object it replaces.
/// `unknown` holds settings of `meshConfig` that nobody knows.
pub fn review(install: &MeshInstall, old: Option<&MeshInstall>) -> Report {
    let mut report = Report::default();
    let spec = &install.spec;
    if let Some(old) = old.filter(|old| old.spec.namespace() != spec.namespace()) {
        let message = format!(
            "can't change from {:?}; delete the MeshInstall and create another",
            old.spec.namespace()
        );
        report.problems.push(Problem { field: "spec.namespace".into(), message });
    }
    if let Some(components) = &spec.components {
        components_of(components, spec.namespace(), &mut report.problems);
    }
    let settings = check_part::<MeshConfig>(&spec.mesh_config.clone().into());
    let within = |field: String| format!("spec.meshConfig.{field}");
    report.problems.extend(
        settings.problems.into_iter().map(|p| Problem { field: within(p.field), message: p.message }),
    );
    report.unknown.extend(settings.unknown.into_iter().map(|unknown| UnknownField {
        field: within(unknown.field),
        hint: unknown.hint.map(below_mesh_config),
    }));
    report
}

/// A suggestion is made relative to the settings; a person wants it from the object's root.
fn below_mesh_config(hint: String) -> String {
    hint.replacen("did you mean ", "did you mean spec.meshConfig.", 1)
}

fn components_of(components: &Components, own: &str, problems: &mut Vec<Problem>) {
    if let Some(options) = components.pilot.as_ref().and_then(|pilot| pilot.k8s.as_ref()) {
        options_of("spec.components.pilot.k8s", options, problems);
    }
    let lists =
        [("ingressGateways", &components.ingress_gateways), ("egressGateways", &components.egress_gateways)];
    let mut seen = Vec::new();
    for (list, gateways) in lists {
        for (index, gateway) in gateways.iter().enumerate() {
            let field = format!("spec.components.{list}[{index}]");
            let key = (gateway.name.as_str(), gateway.namespace(own));
            let mut refuse = |message: &str| {
                problems.push(Problem { field: format!("{field}.name"), message: message.to_owned() });
            };
            if gateway.name == "istiod" && key.1 == own {
                refuse("istiod is the control plane's name; choose another");
            }
            if seen.contains(&key) {
                refuse("another gateway has the same name and namespace");
            }
            seen.push(key);
            if let Some(options) = &gateway.k8s {
                options_of(&format!("{field}.k8s"), options, problems);
            }
        }
    }
}

fn options_of(field: &str, options: &KubernetesOptions, problems: &mut Vec<Problem>) {
    let mut refuse =
        |name: &str, message: String| problems.push(Problem { field: format!("{field}.{name}"), message });
    if let Some(scaling) = &options.hpa_spec {
        let least = scaling.min_replicas.unwrap_or(1);
        // k8s-openapi reads a missing maxReplicas as 0, which the operator fills in.
        if scaling.max_replicas != 0 && least > scaling.max_replicas {
            refuse(
                "hpaSpec",
                format!("minReplicas {least} is greater than maxReplicas {}", scaling.max_replicas),
            );
        }
    }
    if let Some(budget) = &options.pod_disruption_budget
        && budget.min_available.is_some()
        && budget.max_unavailable.is_some()
    {
        refuse("podDisruptionBudget", "minAvailable and maxUnavailable exclude each other".into());
    }
}

impl MeshInstall {
    /// Why this object can't exist beside another: each control plane and each gateway has one owner.
    pub fn conflicts_with(&self, other: &Self) -> Vec<Problem> {
        let name = other.metadata.name.as_deref().unwrap_or_default();
        let mut problems = Vec::new();
        if self.spec.namespace() == other.spec.namespace() && self.spec.revision() == other.spec.revision() {
            let message = format!(
                "MeshInstall {name:?} has namespace {:?} and the same revision already; \
                 choose another namespace or revision, or change that object",
                other.spec.namespace()
            );
            problems.push(Problem { field: "spec.namespace".into(), message });
        }
        let theirs: Vec<_> = other.spec.gateways().map(|(_, _, key)| key).collect();
        for (list, index, key) in self.spec.gateways().filter(|(_, _, key)| theirs.contains(key)) {
            problems.push(Problem {
                field: format!("spec.components.{list}[{index}].name"),
                message: format!(
                    "MeshInstall {name:?} has gateway {:?} in namespace {:?} already",
                    key.0, key.1
                ),
            });
        }
        problems
    }
}

impl super::MeshInstallSpec {
    /// Gateways that are listed and enabled: list, index, and (name, namespace).
    fn gateways(&self) -> impl Iterator<Item = (&'static str, usize, (&str, &str))> {
        let components = self.components.as_ref();
        let ingress = components.map(|c| c.ingress_gateways.as_slice()).unwrap_or_default();
        let egress = components.map(|c| c.egress_gateways.as_slice()).unwrap_or_default();
        [("ingressGateways", ingress), ("egressGateways", egress)].into_iter().flat_map(
            move |(list, gateways)| {
                gateways.iter().enumerate().filter(|(_, gateway)| gateway.is_enabled()).map(
                    move |(index, gateway)| {
                        (list, index, (gateway.name.as_str(), gateway.namespace(self.namespace())))
                    },
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn install(name: &str, spec: Value) -> MeshInstall {
        let object = json!({
            "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": name}, "spec": spec,
        });
        crate::decode(&object).unwrap()
    }

    #[test]
    fn impossible_values_are_named() {
        for (spec, field) in [
            (json!({"meshConfig": {"connectTimeout": "later"}}), "spec.meshConfig.connectTimeout"),
            (
                json!({"meshConfig": {"outboundTrafficPolicy": {"mode": "ALLOW"}}}),
                "spec.meshConfig.outboundTrafficPolicy.mode",
            ),
            (
                json!({"components": {"pilot": {"k8s": {"hpaSpec": {"minReplicas": 3, "maxReplicas": 2}}}}}),
                "spec.components.pilot.k8s.hpaSpec",
            ),
            (
                json!({"components": {"ingressGateways": [{"name": "a"}], "egressGateways": [{"name": "a", "namespace": "istio-system"}]}}),
                "spec.components.egressGateways[0].name",
            ),
            (
                json!({"components": {"ingressGateways": [{"name": "istiod"}]}}),
                "spec.components.ingressGateways[0].name",
            ),
            (
                json!({"components": {"ingressGateways": [{"name": "a", "k8s":
                    {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}}]}}),
                "spec.components.ingressGateways[0].k8s.podDisruptionBudget",
            ),
        ] {
            let problems = review(&install("a", spec), None).problems;
            assert_eq!(
                problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(),
                [field],
                "{problems:?}"
            );
        }
    }

    #[test]
    fn unknown_mesh_settings_get_a_suggestion() {
        let report = review(&install("a", json!({"meshConfig": {"accessLogfile": "/dev/stdout"}})), None);
        assert_eq!(
            report.unknown[0].to_string(),
            "unknown field spec.meshConfig.accessLogfile; did you mean spec.meshConfig.accessLogFile?"
        );
        assert_eq!(report.problems, []);
    }

    #[test]
    fn the_namespace_stays() {
        let (old, new) = (install("a", json!({})), install("a", json!({"namespace": "mesh"})));
        assert_eq!(review(&new, Some(&old)).problems[0].field, "spec.namespace");
        assert_eq!(review(&old, Some(&old)).problems, []);
    }

    #[test]
    fn one_owner_for_each_control_plane_and_gateway() {
        let gateway = json!({"ingressGateways": [{"name": "in"}]});
        for (mine, theirs, fields) in [
            (json!({}), json!({"namespace": "istio-system"}), vec!["spec.namespace"]),
            (json!({}), json!({"revision": ""}), vec!["spec.namespace"]),
            (json!({}), json!({"revision": "canary"}), vec![]),
            (json!({}), json!({"namespace": "other"}), vec![]),
            (
                json!({"components": gateway, "revision": "b"}),
                json!({"components": gateway}),
                vec!["spec.components.ingressGateways[0].name"],
            ),
        ] {
            let found = install("a", mine.clone()).conflicts_with(&install("b", theirs.clone()));
            assert_eq!(found.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), fields, "{mine} {theirs}");
        }
    }
}
