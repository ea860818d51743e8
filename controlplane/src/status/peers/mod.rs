//! Proxies of other replicas: the leader asks each replica how far its proxies have come with objects that are on their way.
//!
//! Replicas know each other by a certificate for the control plane's own service account, which whoever holds the CA's key
//! makes for itself. Nothing else is shown to anybody but them.

mod answer;
mod ask;

use model::{Key, Kind};
use serde::{Deserialize, Serialize};

use super::progress::Progress;

pub(crate) use answer::{Peers, router};
pub(crate) use ask::{Asker, Open};

/// Where replicas ask, on the port of discovery.
const PATH: &str = "/trysail.status/Progress";
/// The service account in a replica's certificate.
const ACCOUNT: &str = "istiod";

/// One generation of an object.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    kind: String,
    namespace: String,
    name: String,
    generation: i64,
}

/// The answer to each question, in order; none where the replica has not put that generation in force.
type Answers = Vec<Option<Progress>>;

impl Question {
    fn of(key: &Key, generation: i64) -> Self {
        Self {
            kind: key.kind.as_str().to_owned(),
            namespace: key.name.namespace.to_string(),
            name: key.name.name.to_string(),
            generation,
        }
    }

    fn key(&self) -> Option<Key> {
        Some(Key::new(Kind::named(&self.kind)?, &self.namespace, &self.name))
    }
}
