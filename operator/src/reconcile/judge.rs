//! Whether a MeshInstall can be installed. The webhook asks the same, but an object may reach us before any webhook runs.

use crds::mesh::MeshInstall;
use kube::core::{DynamicObject, ResourceExt};
use serde_json::Value;
use webhook::validate::validate;

use crate::{Release, Settings};

/// Labels carry the name, and are no longer.
const LONGEST_NAME: usize = 63;

/// What came of it.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It can be installed.
    Accepted { settings: Box<Settings>, warnings: Vec<String> },
    /// Only a person can help.
    Refused { reason: &'static str, message: String },
}

/// Judges a MeshInstall among the others.
pub(super) fn judge(object: &DynamicObject, others: &[DynamicObject], release: &Release) -> Judgement {
    let invalid = |message: String| Judgement::Refused { reason: "InvalidSpec", message };
    if object.name_any().len() > LONGEST_NAME {
        return invalid(format!(
            "metadata.name: at most {LONGEST_NAME} characters, for it is the value of a label"
        ));
    }
    let raw = raw(object);
    let verdict = validate(&raw, None);
    if !verdict.is_accepted() {
        return invalid(verdict.refusal(&raw));
    }
    let install: MeshInstall = match crds::decode(&raw) {
        Ok(install) => install,
        Err(error) => return invalid(error.to_string()),
    };
    let settings = match Settings::of(&install, release) {
        Ok(settings) => settings,
        Err(error) => return invalid(error.to_string()),
    };
    match others
        .iter()
        .filter(|other| is_older(other, object))
        .find_map(|other| conflict(&install, &settings, other, release))
    {
        Some(message) => Judgement::Refused { reason: "Conflict", message },
        None => Judgement::Accepted { settings: Box::new(settings), warnings: verdict.warnings },
    }
}

/// The object without what the server adds: status is ours, and the judge is for what a person wrote.
fn raw(object: &DynamicObject) -> Value {
    let mut raw = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = raw.as_object_mut() {
        fields.remove("status");
    }
    raw
}

/// Who was first keeps what both want; one that is being deleted keeps it until it is gone.
fn is_older(other: &DynamicObject, object: &DynamicObject) -> bool {
    let key = |object: &DynamicObject| (object.creation_timestamp(), object.name_any());
    other.name_any() != object.name_any() && key(other) < key(object)
}

fn conflict(
    install: &MeshInstall,
    settings: &Settings,
    other: &DynamicObject,
    release: &Release,
) -> Option<String> {
    let other: MeshInstall = crds::decode(&raw(other)).ok()?;
    if let Some(problem) = install.conflicts_with(&other).into_iter().next() {
        return Some(problem.to_string());
    }
    // Gateways that neither lists, but both profiles bring.
    let theirs = Settings::of(&other, release).ok()?;
    let shared = settings.gateways.iter().find(|gateway| {
        theirs
            .gateways
            .iter()
            .any(|other| (&other.name, &other.namespace) == (&gateway.name, &gateway.namespace))
    })?;
    Some(format!(
        "MeshInstall {:?} has gateway {:?} in namespace {:?} already; use profile minimal, or list the gateway with \
         enabled: false",
        theirs.owner, shared.name, shared.namespace
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn install(name: &str, created: &str, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "mesh.trysail.dev/v1alpha1", "kind": "MeshInstall",
            "metadata": {"name": name, "creationTimestamp": created}, "spec": spec,
            "status": {"conditions": []},
        }))
        .unwrap()
    }

    fn refusal(object: &DynamicObject, others: &[DynamicObject]) -> Option<(&'static str, String)> {
        match judge(object, others, &Release::default()) {
            Judgement::Accepted { .. } => None,
            Judgement::Refused { reason, message } => Some((reason, message)),
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_field_and_what_was_meant() {
        let cases = [
            (json!({"profil": "demo"}), "did you mean spec.profile?"),
            (json!({"profile": "demos"}), "spec.profile"),
            (
                json!({"components": {"pilot": {"k8s": {"replicas": 2}}}}),
                "spec.components.pilot.k8s.replicas",
            ),
            (json!({"values": {"pilot": {"replicaCount": "two"}}}), "spec.values.pilot.replicaCount"),
            (json!({"meshConfig": {"connectTimeout": "soon"}}), "spec.meshConfig.connectTimeout"),
        ];
        for (spec, expected) in cases {
            let (reason, message) = refusal(&install("a", "2026-01-01T00:00:00Z", spec), &[]).unwrap();
            assert_eq!(reason, "InvalidSpec");
            assert!(message.contains(expected), "{message}");
        }
        let long = install(&"a".repeat(64), "2026-01-01T00:00:00Z", json!({}));
        assert!(refusal(&long, &[]).unwrap().1.contains("metadata.name"));
    }

    #[test]
    fn the_first_of_two_for_one_namespace_wins() {
        let first = install("first", "2026-01-01T00:00:00Z", json!({}));
        let second = install("second", "2026-01-02T00:00:00Z", json!({"profile": "minimal"}));
        let both = [first.clone(), second.clone()];
        assert_eq!(refusal(&first, &both), None);
        let (reason, message) = refusal(&second, &both).unwrap();
        assert_eq!(reason, "Conflict");
        assert!(message.contains("MeshInstall \"first\""), "{message}");
    }

    #[test]
    fn revisions_share_a_namespace_but_not_a_gateway() {
        let first = install("first", "2026-01-01T00:00:00Z", json!({}));
        let canary = |spec| install("canary", "2026-01-02T00:00:00Z", spec);
        assert_eq!(
            refusal(
                &canary(json!({"revision": "canary", "profile": "minimal"})),
                std::slice::from_ref(&first)
            ),
            None
        );
        let (reason, message) = refusal(&canary(json!({"revision": "canary"})), &[first]).unwrap();
        assert_eq!(reason, "Conflict");
        assert!(message.contains("gateway \"istio-ingressgateway\""), "{message}");
    }
}
