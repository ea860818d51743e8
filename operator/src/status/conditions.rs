//! Conditions `Ready`, `Reconciling` and `Stalled`. Argo CD and Flux read them by kstatus' rules: a missing `Ready` means
//! that all is well, so it is always there; `Stalled` means that only a person can help.

use std::fmt;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::Observation;

/// Where the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A new spec was seen, and nothing done yet.
    Seen,
    /// Something is being waited for.
    Waiting(String),
    /// Something failed and is tried again.
    Failing(String),
    /// Only a person can help: reason and message.
    Stalled(&'static str, String),
    /// Everything runs.
    Ready(String),
    /// Everything is being removed.
    Uninstalling(String),
}

/// Kubernetes allows 32768 bytes; nobody reads that much.
const LONGEST: usize = 2048;

pub(super) fn conditions(before: &[Condition], found: &Observation, now: Timestamp) -> Vec<Condition> {
    let (ready, reconciling, stalled) = match &found.progress {
        Progress::Seen => ("Unknown", true, false),
        Progress::Waiting(_) | Progress::Failing(_) | Progress::Uninstalling(_) => ("False", true, false),
        Progress::Stalled(..) => ("False", false, true),
        Progress::Ready(_) => ("True", false, false),
    };
    let (reason, message) = found.progress.words();
    let flag = |on: bool| if on { "True" } else { "False" };
    let quiet = |on: bool| if on { (reason, message) } else { ("AsExpected", "") };
    [
        ("Ready", ready, (reason, message)),
        ("Reconciling", flag(reconciling), quiet(reconciling)),
        ("Stalled", flag(stalled), quiet(stalled)),
    ]
    .into_iter()
    .map(|(type_, status, (reason, message))| {
        let last = before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(LONGEST).collect(),
            observed_generation: found.generation,
            last_transition_time: last.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    })
    .collect()
}

impl Progress {
    pub(super) fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Seen => ("Reconciling", "a new spec was seen"),
            Self::Waiting(message) => ("Progressing", message),
            Self::Failing(message) => ("Failing", message),
            Self::Stalled(reason, message) => (reason, message),
            Self::Ready(message) => ("Installed", message),
            Self::Uninstalling(message) => ("Uninstalling", message),
        }
    }

    /// Whether everything runs.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, message) = self.words();
        write!(f, "{reason}: {message}")
    }
}
