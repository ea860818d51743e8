//! Reads the body of a request, within bounds.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;

use super::RequestProblem;

/// As much as the API server itself accepts of an object.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// As much as is read of a body that is too large. Over HTTP/1.1 a connection that is closed with something unread is reset,
/// and the reset overtakes the answer that says why.
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;
/// The API server gives up after ten seconds by default.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body. Of one that is too large nothing is kept.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, RequestProblem> {
    let mut reading = Reading::default();
    let ended = tokio::time::timeout(BODY_TIMEOUT, reading.drain(body)).await;
    if reading.size > BODY_LIMIT {
        return Err(RequestProblem::TooLarge);
    }
    match ended {
        Err(_) => Err(RequestProblem::TooSlow),
        Ok(Err(error)) => Err(RequestProblem::Broken(error.to_string())),
        Ok(Ok(())) => Ok(reading.kept),
    }
}

#[derive(Default)]
struct Reading {
    /// Bytes that have come.
    size: usize,
    kept: Vec<u8>,
}

impl Reading {
    async fn drain(&mut self, mut body: Body) -> Result<(), axum::Error> {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            self.size = self.size.saturating_add(data.len());
            if self.size <= BODY_LIMIT {
                self.kept.extend_from_slice(&data);
            } else {
                self.kept = Vec::new();
            }
            if self.size > DISCARD_LIMIT {
                break;
            }
        }
        Ok(())
    }
}
