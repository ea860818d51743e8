//! Several replicas may run; a Lease says which one acts.

mod elect;
mod lease;

pub use elect::{Seat, take_part};
