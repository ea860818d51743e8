//! Status of a MeshInstall as a pure function of what was found, in kstatus' terms.

mod components;
mod conditions;

use crds::mesh::{ComponentStatus, MeshInstallStatus};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};

use self::conditions::conditions;
pub use self::{
    components::{of_deployment, reason_of},
    conditions::Progress,
};

/// What was found out about a MeshInstall.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Generation of the spec that was looked at.
    pub generation: Option<i64>,
    /// Version that is installed.
    pub version: Option<String>,
    /// Components, one by one.
    pub components: Vec<ComponentStatus>,
    /// Where the whole is.
    pub progress: Progress,
}

/// The new status. A condition keeps the time of its last change unless it changes now.
pub fn of(previous: Option<&MeshInstallStatus>, found: &Observation, now: Timestamp) -> MeshInstallStatus {
    let before = previous.map(|status| status.conditions.as_slice()).unwrap_or_default();
    MeshInstallStatus {
        observed_generation: found.generation,
        conditions: conditions(before, found, now),
        version: found.version.clone().or_else(|| previous?.version.clone()),
        components: found.components.clone(),
    }
}

/// The first reason why one of a component's pods doesn't run.
pub fn first_reason(pods: &[Pod]) -> Option<String> {
    pods.iter().find_map(reason_of)
}

/// What deserves an event: becoming ready, and a new failure. Reason and note.
pub fn turn(previous: Option<&MeshInstallStatus>, progress: &Progress) -> Option<(&'static str, String)> {
    let ready =
        previous.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready"));
    let (reason, message) = progress.words();
    let told = ready
        .is_some_and(|ready| ready.reason == reason && (progress.is_ready() || ready.message == message));
    let tells = matches!(progress, Progress::Ready(_) | Progress::Failing(_) | Progress::Stalled(..));
    (tells && !told).then(|| (reason, message.to_owned()))
}
