//! What a replica answers.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;

use super::{ACCOUNT, Answers, PATH, Question};
use crate::serve::Peer;
use crate::status::desk::Sources;
use crate::status::progress::Progress;
use crate::status::proxies::Watcher;

/// Ten thousand questions fit.
const MAX_QUESTIONS: usize = 4 << 20;

/// What answers are made from.
pub(crate) struct Peers {
    pub(crate) sources: Sources,
    /// Namespace of the control plane.
    pub(crate) namespace: String,
    watcher: Mutex<Watcher>,
}

impl Peers {
    pub(crate) fn new(sources: Sources, namespace: String) -> Arc<Self> {
        Arc::new(Self { sources, namespace, watcher: Mutex::default() })
    }

    /// Whether this is another replica.
    fn knows(&self, peer: &Peer) -> bool {
        let mesh = self.sources.mesh.load();
        peer.id.as_ref().is_some_and(|id| {
            id.trust_domain() == mesh.trust_domain()
                && id.service_account() == Some((self.namespace.as_str(), ACCOUNT))
        })
    }

    fn answers(&self, questions: &[Question]) -> Answers {
        let Sources { ledger, mesh, connections, .. } = &self.sources;
        let keys: Vec<_> = questions.iter().map(|question| (question.key(), question.generation)).collect();
        let in_force: Vec<_> =
            keys.iter().map(|(key, _)| key.as_ref().and_then(|key| ledger.get(key))).collect();
        let mesh = mesh.load_full();
        let proxies = self.watcher.lock().look(connections, Instant::now());
        let answer = |((key, generation), in_force): ((Option<_>, i64), Option<crate::mesh::InForce>)| {
            let (key, in_force) = (key?, in_force.filter(|known| known.generation == generation)?);
            Some(Progress::of(&mesh, &key, in_force, &proxies))
        };
        keys.into_iter().zip(in_force).map(answer).collect()
    }
}

/// For the port of discovery, beside gRPC.
pub(crate) fn router(peers: Arc<Peers>) -> Router {
    Router::new().route(PATH, post(progress)).layer(DefaultBodyLimit::max(MAX_QUESTIONS)).with_state(peers)
}

async fn progress(
    State(peers): State<Arc<Peers>>,
    Extension(peer): Extension<Peer>,
    Json(questions): Json<Vec<Question>>,
) -> Response {
    if !peers.knows(&peer) {
        tracing::warn!(address = %peer.address, "asks how proxies do, and is no replica of this control plane");
        return StatusCode::FORBIDDEN.into_response();
    }
    match tokio::task::spawn_blocking(move || peers.answers(&questions)).await {
        Ok(answers) => Json(answers).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
