//! What each profile sets before the person's own fields: Istio's profiles of the same names, with requests small
//! enough for a laptop.

use crds::mesh::Profile;
use serde_json::{Value, json};

/// What a profile switches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) pilot: bool,
    pub(super) ingress: bool,
    pub(super) egress: bool,
}

/// Which components a profile has.
pub(super) fn components(profile: Profile) -> Defaults {
    match profile {
        Profile::Demo => Defaults { pilot: true, ingress: true, egress: true },
        Profile::Minimal => Defaults { pilot: true, ingress: false, egress: false },
        Profile::Empty => Defaults { pilot: false, ingress: false, egress: false },
        _ => Defaults { pilot: true, ingress: true, egress: false },
    }
}

/// The MeshConfig a profile begins with.
pub(super) fn mesh_config(profile: Profile) -> Value {
    match profile {
        Profile::Demo => json!({
            "accessLogFile": "/dev/stdout",
            "defaultConfig": { "tracing": { "sampling": 100.0 } },
        }),
        _ => json!({}),
    }
}
