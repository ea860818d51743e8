//! `trysailctl`: the mesh from a person's terminal.
//!
//! Flags flow in through `main.rs`, one file in [`commands`] answers each command, text flows out. [`cluster`] does all
//! talking to the API server; [`proxy_config`] turns what a proxy says of itself into tables; [`demo`] is what `demo` runs
//! and shows, [`explain`] what `explain` does.

pub mod cluster;
pub mod commands;
pub mod demo;
pub mod error;
pub mod explain;
pub mod manifests;
pub mod progress;
pub mod proxy_config;
pub mod set_flag;
pub mod table;
pub mod target;
