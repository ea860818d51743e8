//! Both ends of a delta stream: each alone against a script, and both together against chance.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod client;
mod converge;
mod server;
mod world;
