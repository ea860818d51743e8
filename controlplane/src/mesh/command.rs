//! How streams talk to the publisher: they register a proxy and get a slot in which its newest snapshot lies.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use translate::ProxyNode;

use super::Slot;

/// What is asked of the publisher.
#[derive(Debug)]
pub(super) enum Command {
    /// A proxy connected.
    Register { node: Box<ProxyNode>, reply: oneshot::Sender<Registration> },
    /// Its stream ended.
    Leave { id: u64 },
}

/// The publisher, as streams see it.
#[derive(Clone, Debug)]
pub(crate) struct Views(pub(super) mpsc::UnboundedSender<Command>);

impl Views {
    /// Waits until the sources are synced, and returns the slot of this proxy. None when the process is ending.
    pub(crate) async fn register(&self, node: ProxyNode) -> Option<Registration> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Command::Register { node: Box::new(node), reply }).ok()?;
        answer.await.ok()
    }
}

/// A registered proxy; dropping it takes the proxy out.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(super) id: u64,
    /// Where its snapshots come.
    pub(crate) slot: Arc<Slot>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Fails only when the publisher is gone, and with it everything to leave.
        let _ = self.commands.send(Command::Leave { id: self.id });
    }
}
