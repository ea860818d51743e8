//! Trysail's data plane: sidecar and gateway in one program, and the init step.
//!
//! A connection comes in at `listen`, which finds out where it wanted to go, what it speaks and which filter chain
//! takes it. `request` carries requests through their stages, `tcp` carries everything else. `snapshot` is the
//! configuration in force, made by `config` from what `subscribe` receives. `runtime` owns the threads.

pub mod admin;
pub mod agent;
pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod cork;
pub mod dns;
pub mod drain;
pub mod identity;
pub mod listen;
pub mod observe;
mod packet_mark;
pub mod proxy_protocol;
pub mod redirect;
pub mod request;
pub mod runtime;
pub mod snapshot;
pub mod stage;
pub mod status;
pub mod subscribe;
pub mod tcp;
pub mod upstream;
