//! Whether a MeshInstall can be installed. Asked at admission and again at each look at the object, which may have been stored
//! while no webhook ran. Pure.

use crds::{Problem, mesh::MeshInstall};
use kube::core::{DynamicObject, ResourceExt};
use serde_json::Value;
use webhook::validate::validate;

use crate::{Release, Settings};

/// Labels carry the name, and are no longer.
const LONGEST_NAME: usize = 63;

/// What came of it.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// It can be installed.
    Accepted { settings: Box<Settings>, warnings: Vec<String> },
    /// Only a person can help.
    Refused { reason: &'static str, message: String },
}

/// Judges a MeshInstall among the others.
pub(crate) fn judge(object: &DynamicObject, others: &[DynamicObject], release: &Release) -> Judgement {
    let invalid = |message: String| Judgement::Refused { reason: "InvalidSpec", message };
    let raw = raw(object);
    let verdict = validate(&raw, None);
    if !verdict.is_accepted() {
        return invalid(verdict.refusal(&raw));
    }
    let wish = match Wish::read(&raw, release) {
        Ok(wish) => wish,
        Err(problem) => return invalid(problem.to_string()),
    };
    match others
        .iter()
        .filter(|other| is_older(other, object))
        .find_map(|other| wish.conflict(other, release))
    {
        Some(problem) => Judgement::Refused { reason: "Conflict", message: problem.to_string() },
        None => Judgement::Accepted { settings: Box::new(wish.settings), warnings: verdict.warnings },
    }
}

/// What speaks against storing a MeshInstall that is valid by itself; `old` is the one that it replaces.
pub(crate) fn objections(
    object: &Value,
    old: Option<&Value>,
    others: &[DynamicObject],
    release: &Release,
) -> Vec<Problem> {
    let wish = match Wish::read(object, release) {
        Ok(wish) => wish,
        Err(problem) => return vec![problem],
    };
    let before = old.and_then(|old| Wish::read(old, release).ok());
    others
        .iter()
        .filter(|other| Some(other.name_any()) != wish.install.metadata.name)
        // What is on its way out is waited for, not argued with.
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        // Where two are stored in spite of a conflict, both can still be changed.
        .filter(|other| before.as_ref().is_none_or(|before| before.conflict(other, release).is_none()))
        .filter_map(|other| wish.conflict(other, release))
        .collect()
}

/// A MeshInstall, and what it comes to.
struct Wish {
    install: MeshInstall,
    settings: Settings,
}

impl Wish {
    fn read(object: &Value, release: &Release) -> Result<Self, Problem> {
        let problem = |field: &str, message: String| Problem { field: field.to_owned(), message };
        let install: MeshInstall = crds::decode(object).map_err(|error| problem("", error.to_string()))?;
        if install.metadata.name.as_ref().is_some_and(|name| name.len() > LONGEST_NAME) {
            let message = format!("at most {LONGEST_NAME} characters, for it is the value of a label");
            return Err(problem("metadata.name", message));
        }
        let settings =
            Settings::of(&install, release).map_err(|error| problem(&error.field, error.problem))?;
        Ok(Self { install, settings })
    }

    /// Why this can't be beside another.
    fn conflict(&self, other: &DynamicObject, release: &Release) -> Option<Problem> {
        let other: MeshInstall = crds::decode(&raw(other)).ok()?;
        if let Some(problem) = self.install.conflicts_with(&other).into_iter().next() {
            return Some(problem);
        }
        // Gateways that neither lists, but both profiles bring.
        let theirs = Settings::of(&other, release).ok()?;
        let shared = self.settings.gateways.iter().find(|gateway| {
            theirs
                .gateways
                .iter()
                .any(|other| (&other.name, &other.namespace) == (&gateway.name, &gateway.namespace))
        })?;
        let message = format!(
            "MeshInstall {:?} has gateway {:?} in namespace {:?} already; use profile minimal, or list the gateway with \
             enabled: false",
            theirs.owner, shared.name, shared.namespace
        );
        Some(Problem { field: "spec.profile".to_owned(), message })
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

    fn objected(
        object: &DynamicObject,
        old: Option<&DynamicObject>,
        others: &[DynamicObject],
    ) -> Vec<String> {
        let old = old.map(raw);
        let found = objections(&raw(object), old.as_ref(), others, &Release::default());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_second_for_a_namespace_is_not_let_in() {
        let first = install("first", "2026-01-01T00:00:00Z", json!({}));
        // In the same second, and its name is before the other's: who comes is second all the same.
        let second = |spec| install("a", "2026-01-01T00:00:00Z", spec);
        let both = [first.clone(), second(json!({"namespace": "elsewhere"}))];
        let found = objected(&second(json!({"profile": "minimal"})), None, &both[..1]);
        assert!(
            found.len() == 1
                && found[0]
                    .starts_with("spec.namespace: MeshInstall \"first\" has namespace \"istio-system\""),
            "{found:?}"
        );
        let found = objected(&second(json!({"revision": "canary"})), None, &both[..1]);
        assert!(found[0].starts_with("spec.profile: MeshInstall \"first\" has gateway"), "{found:?}");
        assert_eq!(objected(&both[1], None, &both[..1]), [""; 0]);
        assert_eq!(objected(&first, Some(&first), &both), [""; 0]);
        let found = objected(&second(json!({"values": {"pilot": {"replicaCount": "two"}}})), None, &[]);
        assert!(found[0].starts_with("spec.values.pilot.replicaCount"), "{found:?}");
        let found = objected(&install(&"a".repeat(64), "2026-01-01T00:00:00Z", json!({})), None, &[]);
        assert!(found[0].starts_with("metadata.name: at most 63"), "{found:?}");
    }

    #[test]
    fn a_conflict_that_is_there_already_or_about_to_end_keeps_nobody_from_mending_it() {
        let mut first = install("first", "2026-01-01T00:00:00Z", json!({}));
        let second = |spec| install("second", "2026-01-02T00:00:00Z", spec);
        let both = [first.clone(), second(json!({}))];
        assert_eq!(objected(&second(json!({"hub": "x"})), Some(&both[1]), &both), [""; 0]);
        assert_eq!(objected(&first, Some(&first), &both), [""; 0]);
        let apart = second(json!({"revision": "canary", "profile": "minimal"}));
        assert_eq!(objected(&second(json!({})), Some(&apart), &both).len(), 1);
        first.metadata.deletion_timestamp = first.metadata.creation_timestamp.clone();
        assert_eq!(objected(&second(json!({})), None, &[first]), [""; 0]);
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
