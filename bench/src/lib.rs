//! Side-by-side measurements: ours and a peer, in one run, in alternating rounds.
//!
//! In: built binaries. Out: a table, and `target/bench/results.json`.
//! Machines are shared and noisy, so no absolute time is asserted: the figure is CPU per request (or per event) of the
//! process itself, and what counts is the ratio to the peer measured in the same minute.

pub mod control_plane;
pub mod large;
mod load;
mod pods;
pub mod process;
pub mod proxies;
pub mod relay;
pub mod results;
