//! The limits of time on a request while it waits for its answer.

use std::{pin::Pin, time::Duration};

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Exchange, attempt::Ended, body::Source, outcome::Flags, reply::Reply};
use crate::{
    snapshot::http::HttpConnectionManager,
    stage::timeout::Timeouts,
    upstream::{ResponseBody, SendError},
};

/// When the answer's last byte must have come, and what it is called if it hasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// The response flag.
    pub flag: Flags,
    /// The response code details.
    pub details: &'static str,
}

/// The limits of one request.
pub(super) struct Clock {
    timeouts: Timeouts,
    /// For the whole request to come (`request_timeout`).
    request: Option<Instant>,
    /// For everything (`max_stream_duration`).
    stream: Option<Instant>,
    /// Without anything moving.
    idle: Option<Duration>,
    started: Instant,
    /// For the answer; runs from when the last byte of the request has come, as Envoy's does.
    answer: Option<Instant>,
}

/// Which limit was reached.
enum Reached {
    Answer,
    Attempt,
    Request,
    Stream,
    Idle,
}

impl Clock {
    pub(super) fn new(exchange: &Exchange, timeouts: Timeouts) -> Self {
        let manager: &HttpConnectionManager = &exchange.connection.manager;
        let started = exchange.record.started;
        Self {
            timeouts,
            request: manager.request_timeout.map(|limit| started + limit),
            stream: manager.max_stream_duration.map(|limit| started + limit),
            idle: exchange.idle_timeout(),
            started,
            answer: None,
        }
    }

    /// When the answer must be over.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let answer =
            self.answer.map(|at| Deadline { at, flag: Flags::UPSTREAM_TIMEOUT, details: "response_timeout" });
        let stream = self.stream.map(|at| Deadline {
            at,
            flag: Flags::DURATION_TIMEOUT,
            details: "max_duration_timeout",
        });
        [answer, stream].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// Whether a wait from now would outlast the answer's limit, which is returned.
    pub(super) fn outlasted_by(&self, wait: Duration) -> Option<Instant> {
        self.answer.filter(|answer| Instant::now() + wait >= *answer)
    }

    /// How long ago the last byte of the request had come; zero where the answer has no limit.
    pub(super) fn elapsed(&self) -> Duration {
        let whole = self.timeouts.whole.unwrap_or_default();
        self.answer.map_or(Duration::ZERO, |answer| {
            whole.saturating_sub(answer.saturating_duration_since(Instant::now()))
        })
    }

    fn unlimited(&self) -> bool {
        self.timeouts.whole.is_none()
            && self.timeouts.each.is_none()
            && self.request.is_none()
            && self.stream.is_none()
            && self.idle.is_none()
    }

    /// Waits for one attempt, as long as it may take.
    pub(super) async fn limit(
        &mut self,
        source: &Source,
        mut sent: Pin<&mut impl Future<Output = Result<Response<ResponseBody>, SendError>>>,
    ) -> Ended {
        if self.unlimited() {
            return Ended::from(sent.await);
        }
        let mut complete = source.is_empty();
        let mut attempt = None;
        loop {
            if complete && attempt.is_none() {
                let now = Instant::now();
                attempt = self.timeouts.each.map(|each| now + each);
                self.answer = self.answer.or(self.timeouts.whole.map(|whole| now + whole));
            }
            let (at, reached) = self.next(source, complete, attempt);
            tokio::select! {
                biased;
                result = &mut sent => return Ended::from(result),
                () = source.completed(), if !complete => complete = true,
                () = tokio::time::sleep_until(at) => match reached {
                    Reached::Answer => return Ended::Timeout,
                    Reached::Attempt => return Ended::TryTimeout,
                    Reached::Request => return Ended::Late(late("request_overall_timeout", "request timeout")),
                    Reached::Stream => {
                        let mut reply = late("max_duration_timeout", "downstream duration timeout");
                        reply.flag = Flags::DURATION_TIMEOUT;
                        return Ended::Late(reply);
                    }
                    Reached::Idle if self.idle_at(source).is_some_and(|at| at <= Instant::now()) => {
                        return Ended::Late(idle(complete));
                    }
                    // Something has moved meanwhile.
                    Reached::Idle => {}
                },
            }
        }
    }

    /// The limit that will be reached first. Without any, it is far away.
    fn next(&self, source: &Source, complete: bool, attempt: Option<Instant>) -> (Instant, Reached) {
        let request = self.request.filter(|_| !complete);
        [
            self.answer.map(|at| (at, Reached::Answer)),
            attempt.map(|at| (at, Reached::Attempt)),
            request.map(|at| (at, Reached::Request)),
            self.stream.map(|at| (at, Reached::Stream)),
            self.idle_at(source).map(|at| (at, Reached::Idle)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
        .unwrap_or_else(|| (self.started + Duration::from_hours(24 * 365), Reached::Idle))
    }

    fn idle_at(&self, source: &Source) -> Option<Instant> {
        self.idle
            .map(|idle| source.touched().map_or(self.started, |touched| touched.max(self.started)) + idle)
    }
}

fn late(details: &'static str, body: &'static str) -> Box<Reply> {
    Reply::new(StatusCode::REQUEST_TIMEOUT, Flags::NONE, details).text(body)
}

fn idle(complete: bool) -> Box<Reply> {
    let status = if complete { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::REQUEST_TIMEOUT };
    Reply::new(status, Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout").text("stream timeout")
}
