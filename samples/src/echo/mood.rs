//! A server that fails on request: the status of every answer that isn't asked for another.
//!
//! After `/from-now-on/503` all answers have that status, but those to `/ready`: the server fails, and yet counts as
//! ready. `/from-now-on/200` ends it.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{Extension, extract::Path, http::StatusCode};

/// Where a kubelet asks whether the server is ready.
const READY: &str = "/ready";

/// The usual status.
#[derive(Debug)]
pub(super) struct Mood(AtomicU16);

impl Default for Mood {
    fn default() -> Self {
        Self(AtomicU16::new(StatusCode::OK.as_u16()))
    }
}

impl Mood {
    /// The status of an answer to a request that asks for none.
    pub(super) fn status(&self, path: &str) -> StatusCode {
        let usual = if path == READY { StatusCode::OK.as_u16() } else { self.0.load(Ordering::Relaxed) };
        StatusCode::from_u16(usual).unwrap_or_default()
    }
}

/// Changes it, and says from what.
pub(super) async fn change(
    Extension(mood): Extension<Arc<Mood>>,
    Path(status): Path<u16>,
) -> Result<String, (StatusCode, String)> {
    if StatusCode::from_u16(status).is_err() {
        return Err((StatusCode::BAD_REQUEST, format!("`{status}` is no HTTP status\n")));
    }
    Ok(format!("it was {}\n", mood.0.swap(status, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_fails_is_ready_all_the_same() {
        let mood = Arc::new(Mood::default());
        assert_eq!(mood.status("/"), 200);
        change(Extension(mood.clone()), Path(503)).await.unwrap();
        assert_eq!((mood.status("/"), mood.status(READY)), (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK));
        assert_eq!(change(Extension(mood.clone()), Path(1)).await.unwrap_err().0, StatusCode::BAD_REQUEST);
        change(Extension(mood.clone()), Path(200)).await.unwrap();
        assert_eq!(mood.status("/"), 200);
    }
}
