//! What one response will contain.

use std::sync::Arc;

use crate::ResourceType;

/// A response to build: names to look up in the snapshot that it was planned against.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Type of all resources.
    pub kind: ResourceType,
    /// To be echoed by the client.
    pub nonce: u64,
    /// Resources to send.
    pub send: Vec<Arc<str>>,
    /// Resources that are gone, or that were asked for and do not exist.
    pub remove: Vec<Arc<str>>,
}

impl Plan {
    /// The nonce as written on the wire.
    pub fn nonce_text(&self) -> String {
        nonce_text(self.nonce)
    }
}

pub(super) fn nonce_text(nonce: u64) -> String {
    format!("{nonce:x}")
}

/// Which part of what a type owes may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Only new and changed resources.
    Additions,
    /// Removals too.
    Everything,
}

impl Part {
    /// Nothing refers to a secret by route, so its removals need not wait for anything.
    pub(super) fn additions(kind: ResourceType) -> Self {
        if kind == ResourceType::Secret { Self::Everything } else { Self::Additions }
    }
}
