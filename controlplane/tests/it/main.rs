//! The whole control plane, in-process, on a folder of YAML.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod bad_input;
mod certificates;
mod discovery;
mod hostile;
mod pages;
mod replicas;
mod slow;
mod stage;
