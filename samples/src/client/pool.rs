//! Connections kept open between requests, as an app's HTTP client does.

use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Answer, Route, Template, connect::Sender};

/// Idle connections to one server.
pub struct Pool {
    route: Route,
    idle: Mutex<Vec<Sender>>,
}

impl Pool {
    /// An empty pool.
    pub fn new(route: Route) -> Self {
        Self { route, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request and reads the whole answer, within `timeout`.
    pub async fn send(&self, template: &Template, timeout: Duration) -> anyhow::Result<Answer> {
        tokio::time::timeout(timeout, self.exchange(template, Instant::now()))
            .await
            .with_context(|| format!("no answer in {timeout:?}"))?
    }

    async fn exchange(&self, template: &Template, started: Instant) -> anyhow::Result<Answer> {
        loop {
            let (mut sender, fresh) = match self.take() {
                Some(sender) => (sender, false),
                None => (Sender::open(&template.uri, &self.route).await?, true),
            };
            if !fresh && !sender.ready().await {
                continue;
            }
            match sender.send(template.request(sender.is_http2())?).await {
                Ok(response) => {
                    let answer = Answer::read(response, started).await?;
                    self.idle.lock().push(sender);
                    return Ok(answer);
                }
                // The server closed an idle connection before a byte of this request left:
                // every client opens another one then.
                Err(unsent) if unsent.never_left && !fresh => {}
                Err(unsent) => return Err(anyhow::Error::new(unsent.error).context("request")),
            }
        }
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock();
        idle.retain(Sender::is_open);
        idle.pop()
    }
}
