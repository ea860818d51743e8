//! Validation: an object in, a verdict out. No I/O; the admission endpoint, the source that reads a folder of
//! YAML and `trysailctl` all ask here, so that each gives the same answer.
//!
//! What is an error is what Istio refuses; what only surprises is a warning. Every message names the field and
//! says what would be right.

mod destination_rule;
mod findings;
mod gateway;
mod headers;
mod http_policy;
mod http_route;
mod load_balancer;
mod matching;
mod mesh_install;
mod names;
mod peer_authentication;
mod service_entry;
mod sidecar;
mod tls;
mod virtual_service;
mod workload_entry;

use crds::{
    Problem,
    mesh::MeshInstall,
    networking::{DestinationRule, Gateway, ServiceEntry, Sidecar, VirtualService, WorkloadEntry},
    security::PeerAuthentication,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::findings::{At, Findings};

/// What is to be said about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused; it is accepted when there is none.
    pub errors: Vec<Problem>,
    /// What will probably surprise.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Whether the object is accepted.
    pub fn is_accepted(&self) -> bool {
        self.errors.is_empty()
    }

    /// All errors in one sentence that begins with the object's name.
    pub fn refusal(&self, object: &Value) -> String {
        let errors: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        format!("{} is not valid: {}", crds::describe(object), errors.join("; "))
    }
}

/// Judges an object of any kind, in any served version; `old` is the object it replaces.
///
/// Objects of kinds that Trysail doesn't have are accepted.
pub fn validate(object: &Value, old: Option<&Value>) -> Verdict {
    let Some(definition) = crds::definition_of(object) else { return Verdict::default() };
    let mut found = Findings::default();
    unknown_fields(object, &mut found);
    match definition.kind {
        "VirtualService" => {
            with(object, &mut found, |o: VirtualService, ns, f| virtual_service::check(&o.spec, ns, f));
        }
        "DestinationRule" => {
            with(object, &mut found, |o: DestinationRule, ns, f| destination_rule::check(&o.spec, ns, f));
        }
        "Gateway" => with(object, &mut found, |o: Gateway, _, f| {
            gateway::check(
                &o.spec,
                o.metadata.name.as_deref().or(o.metadata.generate_name.as_deref()).unwrap_or_default(),
                f,
            );
        }),
        "ServiceEntry" => {
            with(object, &mut found, |o: ServiceEntry, ns, f| service_entry::check(&o.spec, ns, f));
        }
        "Sidecar" => with(object, &mut found, |o: Sidecar, ns, f| sidecar::check(&o.spec, ns, f)),
        "WorkloadEntry" => with(object, &mut found, |o: WorkloadEntry, _, f| {
            workload_entry::check(&At::spec(), &o.spec, true, f);
        }),
        "PeerAuthentication" => {
            with(object, &mut found, |o: PeerAuthentication, _, f| peer_authentication::check(&o.spec, f));
        }
        "MeshInstall" => with(object, &mut found, |o: MeshInstall, _, f| mesh_install::check(&o, old, f)),
        _ => {}
    }
    for field in crds::fields_without_effect(definition.kind, object) {
        found.warning(&At::of(&field.field), &field.message);
    }
    Verdict { errors: found.errors, warnings: found.warnings }
}

/// Reads the object into its type and checks that; what can't be read is the error.
fn with<K: DeserializeOwned>(
    object: &Value,
    found: &mut Findings,
    check: impl FnOnce(K, &str, &mut Findings),
) {
    match crds::decode::<K>(object) {
        Ok(typed) => {
            let namespace =
                object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
            check(typed, namespace, found);
        }
        Err(error) => error.problems.into_iter().for_each(|p| found.error(&At::of(&p.field), p.message)),
    }
}

/// Fields that the kind doesn't have. In a MeshInstall they are refused. In Istio's kinds the API server has
/// removed them before any webhook sees the object, so that kubectl's own record of what was applied is looked at too.
fn unknown_fields(object: &Value, found: &mut Findings) {
    let refuse = object.get("kind").is_some_and(|kind| kind == "MeshInstall");
    let applied = object
        .pointer("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut unknown = crds::check(object).unwrap_or_default().unknown;
    let before = applied.and_then(|object| crds::check(&object)).unwrap_or_default().unknown;
    unknown.extend(before.into_iter().filter(|_| !refuse));
    unknown.dedup();
    for field in unknown {
        let hint = field.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let at = At::of(&field.field);
        if refuse {
            found.error(&at, format!("unknown field{hint}"));
        } else {
            found.warning(&at, format!("unknown field, ignored{hint}"));
        }
    }
}

#[cfg(test)]
mod tests;
