//! The CA and the TLS configurations together, as the control plane and the proxy use them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]
mod ca;
mod handshake;
mod plug_in;
