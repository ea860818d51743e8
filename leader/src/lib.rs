//! Several replicas run, one acts: a Lease of Kubernetes says which.
//!
//! ```text
//! the Lease and the time ─ lease::Watch (pure) ─ take it, renew it, wait
//!                                │
//!                   elect: asks the API server every 3 s
//!                                │
//!                              Seat ─ won, lost, changed, held
//! ```
//!
//! Whoever holds the Lease and can't renew it knows so before anybody else may take it.

mod elect;
mod lease;
mod seat;
#[cfg(test)]
mod tests;

pub use elect::Election;
pub use seat::Seat;
