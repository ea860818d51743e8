//! MeshInstall. The judgement itself is `crds`', because the operator needs it as well.

use crds::mesh::{MeshInstall, review};
use serde_json::Value;

use super::findings::{At, FieldError, Findings};

pub(super) fn check(install: &MeshInstall, old: Option<&Value>, found: &mut Findings) {
    let old: Option<MeshInstall> = old.and_then(|old| crds::decode(old).ok());
    let reviewed = review(install, old.as_ref());
    for problem in reviewed.problems {
        found.error(&At::of(&problem.field), problem.message);
    }
    for field in reviewed.unknown {
        found.warning(&At::of(&field.field), field.hint.unwrap_or_else(|| "unknown setting".to_owned()));
    }
}

/// Why a MeshInstall can't exist beside others: two control planes, or two gateways, of the same name in one namespace.
pub fn conflicts<'a>(object: &Value, others: impl IntoIterator<Item = &'a Value>) -> Vec<FieldError> {
    let Ok(install) = crds::decode::<MeshInstall>(object) else { return Vec::new() };
    others
        .into_iter()
        .filter_map(|other| crds::decode::<MeshInstall>(other).ok())
        .filter(|other| other.metadata.name != install.metadata.name)
        .flat_map(|other| install.conflicts_with(&other))
        .map(|problem| FieldError { field: problem.field, message: problem.message })
        .collect()
}
