//! MeshInstall. The judgement itself is `crds`', because the operator needs it as well.

use crds::mesh::{MeshInstall, review};
use serde_json::Value;

use super::findings::{At, Findings};

pub(super) fn check(install: &MeshInstall, old: Option<&Value>, found: &mut Findings) {
    let old: Option<MeshInstall> = old.and_then(|old| crds::decode(old).ok());
    let reviewed = review(install, old.as_ref());
    let setting = |name: &str| install.spec.mesh_config.get(name).and_then(Value::as_str).unwrap_or_default();
    let json = setting("accessLogEncoding") == "JSON";
    if let Some(problem) = xds::operators::format_problem(setting("accessLogFormat"), json) {
        found.error(&At::of("spec.meshConfig.accessLogFormat"), problem);
    }
    for problem in reviewed.problems {
        found.error(&At::of(&problem.field), problem.message);
    }
    for field in reviewed.unknown {
        found.warning(&At::of(&field.field), field.hint.unwrap_or_else(|| "unknown setting".to_owned()));
    }
}
