//! Why a request or connection failed on our way to an endpoint, in Envoy's words.
//!
//! The request path puts the flag and details into the `Outcome`, asks the retry stage about [`SendError::failure`], and
//! answers with [`SendError::body`].

use std::{borrow::Cow, fmt};

use crate::{request::outcome::Flags, stage::retry::Failure};

/// Envoy's reasons for the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// We couldn't begin to connect.
    LocalConnectionFailure,
    /// The endpoint refused the connection or its TLS failed.
    RemoteConnectionFailure,
    /// Connecting took too long.
    ConnectionTimeout,
    /// The connection ended.
    ConnectionTermination,
    /// We ended the stream.
    LocalReset,
    /// The endpoint ended the stream.
    RemoteReset,
    /// The endpoint refused the stream before it did anything.
    RemoteRefusedStream,
    /// A limit of the circuit breaker was reached.
    Overflow,
    /// The endpoint broke the protocol.
    ProtocolError,
}

impl ResetReason {
    /// As Envoy's local replies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalConnectionFailure => "local connection failure",
            Self::RemoteConnectionFailure => "remote connection failure",
            Self::ConnectionTimeout => "connection timeout",
            Self::ConnectionTermination => "connection termination",
            Self::LocalReset => "local reset",
            Self::RemoteReset => "remote reset",
            Self::RemoteRefusedStream => "remote refused stream reset",
            Self::Overflow => "overflow",
            Self::ProtocolError => "protocol error",
        }
    }

    /// The response flag.
    pub fn flag(self) -> Flags {
        match self {
            Self::LocalConnectionFailure | Self::RemoteConnectionFailure | Self::ConnectionTimeout => {
                Flags::UPSTREAM_CONNECTION_FAILURE
            }
            Self::ConnectionTermination => Flags::UPSTREAM_CONNECTION_TERMINATION,
            Self::LocalReset => Flags::LOCAL_RESET,
            Self::RemoteReset | Self::RemoteRefusedStream => Flags::UPSTREAM_RESET,
            Self::Overflow => Flags::UPSTREAM_OVERFLOW,
            Self::ProtocolError => Flags::UPSTREAM_PROTOCOL_ERROR,
        }
    }
}

/// Why there is no response, or no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.details())]
pub struct SendError {
    /// What happened.
    pub reason: ResetReason,
    /// What the transport said: `delayed connect error: Connection refused`, `TLS_error:...`.
    pub transport: Option<Cow<'static, str>>,
    /// What the retry stage needs to know.
    pub failure: Failure,
    /// The connection had been used before and the endpoint closed it without a byte of an answer, most likely
    /// because it had been idle for too long. Trying again at once is right for requests that are safe to repeat.
    pub stale: bool,
}

impl SendError {
    pub(super) fn new(reason: ResetReason, failure: Failure) -> Self {
        Self { reason, transport: None, failure, stale: false }
    }

    pub(super) fn overflow() -> Self {
        Self::new(ResetReason::Overflow, Failure::Overflow)
    }

    /// The connection could not be made.
    pub(super) fn connect(reason: ResetReason, transport: impl Into<Cow<'static, str>>) -> Self {
        Self { transport: Some(transport.into()), ..Self::new(reason, Failure::Connect) }
    }

    /// The stream or connection ended after (part of) the request was sent.
    pub(super) fn reset(reason: ResetReason) -> Self {
        Self::new(reason, Failure::Reset { sent: true })
    }

    /// The response flag.
    pub fn flag(&self) -> Flags {
        self.reason.flag()
    }

    /// Envoy's response code details: `upstream_reset_before_response_started{connection_termination}`.
    pub fn details(&self) -> String {
        details("upstream_reset_before_response_started", self.reason, self.transport.as_deref())
    }

    /// The body of the answer that clients get; what the transport said is for the log.
    pub fn body(&self, retried: bool) -> String {
        let mut text = String::from("upstream connect error or disconnect/reset before headers. ");
        if retried {
            text.push_str("retried and the latest ");
        }
        text.push_str("reset reason: ");
        text.push_str(self.reason.as_str());
        text
    }
}

/// Why a response's body ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// What happened.
    pub reason: ResetReason,
}

impl BodyError {
    /// The response flag.
    pub fn flag(&self) -> Flags {
        self.reason.flag()
    }

    /// Envoy's response code details: `upstream_reset_after_response_started{connection_termination}`.
    pub fn details(&self) -> String {
        details("upstream_reset_after_response_started", self.reason, None)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the response's body ended early: {}", self.reason.as_str())
    }
}

impl std::error::Error for BodyError {}

fn details(basic: &str, reason: ResetReason, transport: Option<&str>) -> String {
    let mut text = format!("{basic}{{{}", reason.as_str());
    if let Some(transport) = transport {
        text.push('|');
        text.push_str(transport);
    }
    text.push('}');
    text.chars().map(|letter| if letter.is_whitespace() { '_' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_envoys_words() {
        let refused = SendError::connect(
            ResetReason::RemoteConnectionFailure,
            "delayed connect error: Connection refused",
        );
        assert_eq!(
            refused.details(),
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
        assert_eq!(
            refused.body(true),
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: \
             remote connection failure"
        );
        assert_eq!(SendError::overflow().details(), "upstream_reset_before_response_started{overflow}");
        let late = BodyError { reason: ResetReason::ConnectionTermination };
        assert_eq!(late.details(), "upstream_reset_after_response_started{connection_termination}");
    }
}
