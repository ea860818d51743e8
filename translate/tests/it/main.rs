//! What comes out for what a user could apply: YAML in, resources out, as short text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bookinfo;
mod fixture;
mod gateway;
mod names;
mod render;
mod touch;
mod traffic;
mod updates;
