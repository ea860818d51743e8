//! Scenarios on a real cluster, told as a person would do them: with kubectl,
//! Helm and a client, against pods.
//!
//! [`run`] picks scenarios and reports; [`cluster`] is where they run; [`test`]
//! is what a scenario holds in its hands. One file per scenario in [`scenarios`].

mod access_log;
pub mod answers;
mod apps;
pub mod cluster;
pub mod demo;
mod diagnose;
pub mod load;
mod memory;
mod mesh;
pub mod namespace;
pub mod outside;
pub mod run;
pub mod scenarios;
pub mod shell;
pub mod test;
mod wire;
