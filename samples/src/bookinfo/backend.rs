//! A call from one service to another.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::Value;

use crate::client::{Pool, Route, Template};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A service to call, with the connections to it.
pub(super) struct Backend {
    address: String,
    pool: Pool,
}

impl Backend {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.trim_end_matches('/').to_owned(), pool: Pool::new(Route::default()) }
    }

    /// The JSON at `path`, or the status and words of what went wrong.
    pub(super) async fn get(&self, path: &str, headers: HeaderMap) -> Result<Value, (u16, String)> {
        let asked = async {
            let template = Template { headers, ..Template::get(&format!("{}{path}", self.address))? };
            self.pool.send(&template, TIMEOUT).await
        };
        match asked.await {
            Ok(answer) if answer.status < 300 => Ok(answer.text),
            Ok(answer) => Err((answer.status, answer.body_text())),
            Err(error) => Err((503, format!("{error:#}"))),
        }
    }
}
