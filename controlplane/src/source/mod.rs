//! Where objects come from: a Kubernetes cluster or a folder of YAML. Both deliver the same events.

pub(crate) mod folder;
pub(crate) mod kubernetes;
mod problems;

use std::time::Instant;

use tokio::sync::mpsc;

pub(crate) use problems::Problems;

/// Events waiting to be applied; a source that is ahead waits.
const QUEUE: usize = 4096;

/// Something that a source has to say.
#[derive(Debug)]
pub(crate) enum SourceEvent {
    /// Objects came, changed or went, all at once.
    Objects(Vec<model::Event>, Instant),
    /// Generations of objects that were told before.
    Generations(Vec<(model::Key, i64)>),
    /// All Secrets of a namespace have been delivered; `*` stands for every namespace.
    SecretsKnown(String),
    /// Everything that existed at the start of this source has been delivered.
    Synced(&'static str),
}

pub(crate) type Events = mpsc::Sender<SourceEvent>;

pub(crate) fn channel() -> (Events, mpsc::Receiver<SourceEvent>) {
    mpsc::channel(QUEUE)
}
