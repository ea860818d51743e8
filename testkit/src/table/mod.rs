//! One table, two data planes: what a configuration does to requests, on our proxy and on a stock Envoy driven by the
//! same control plane.
//!
//! A file is about one feature and has rows. A row is YAML as a person would apply it, requests, and what must come of
//! them. Each row has a namespace of its own, so that all rows of a file are in effect at once; the clients, gateways and
//! servers are shared.
//!
//! ```text
//! file ── rows (row.rs) ── fixture (fixture.rs): pods, and the Service `echo` of every row
//!              └─ requests ── send (send.rs): one batch for each client, on both data planes
//!                     └─ observed (observed.rs): answer, what the server saw, the proxy's log line
//!                            ├─ judged (judge.rs) against what the row expects
//!                            └─ compared (judge.rs) between the data planes
//! ```

mod fixture;
mod judge;
mod observed;
mod row;
mod run;
mod send;

pub use run::run;

/// The data planes, by the name that pods carry.
const PLANES: [&str; 2] = ["trysail", "envoy"];
