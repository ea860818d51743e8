//! Keeps a request's [`Outcome`] until everything is over, and then hands it to `observe`.
//!
//! Whatever ends a request, be it the last byte, the client or a reset, drops the [`Record`]; that is the one place
//! where requests are counted and logged.

use std::{borrow::Cow, ops, rc::Rc};

use tokio::time::Instant;

use super::{
    body::Source,
    outcome::{Flags, Outcome, Protocol},
    server::HttpConnection,
};

/// A request under way.
#[derive(Debug)]
pub struct Record {
    outcome: Box<Outcome>,
    connection: Rc<HttpConnection>,
    source: Option<Source>,
    finished: bool,
}

impl Record {
    /// A request begins.
    pub fn begin(connection: &Rc<HttpConnection>, protocol: Protocol) -> Self {
        let outcome = Box::new(Outcome::new(connection.facts.clone(), protocol, Instant::now()));
        Self { outcome, connection: connection.clone(), source: None, finished: false }
    }

    /// Counts what comes from this body.
    pub fn watch(&mut self, source: &Source) {
        self.source = Some(source.clone());
    }

    /// The client has all that it will get.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The request became a tunnel through which so much came from the client.
    pub fn tunnelled(&mut self, bytes: u64) {
        self.source = None;
        self.outcome.bytes_received = bytes;
    }

    /// The connection that the request came by.
    pub fn connection(&self) -> &Rc<HttpConnection> {
        &self.connection
    }
}

impl ops::Deref for Record {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.outcome
    }
}

impl ops::DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = &mut *self.outcome;
        outcome.duration = outcome.started.elapsed();
        if let Some(source) = &self.source {
            outcome.bytes_received = source.received();
            outcome.request_messages = source.messages();
            let received = source.received_at().map(|at| at.saturating_duration_since(outcome.started));
            outcome.request_received = outcome.request_received.or(received);
        }
        if !self.finished && outcome.flags == Flags::NONE {
            let reset = self.source.as_ref().is_some_and(Source::failed);
            outcome.flags.set(Flags::DOWNSTREAM_TERMINATION);
            outcome.details = Cow::Borrowed(if reset {
                "downstream_remote_disconnect"
            } else if outcome.protocol == Protocol::Http2 {
                "http2.remote_reset"
            } else {
                "downstream_remote_disconnect"
            });
        }
        self.connection.observe(outcome);
        self.connection.lifetime.end();
    }
}
