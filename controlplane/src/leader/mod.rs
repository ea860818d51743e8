//! One replica writes, all serve: a Lease says which.

mod elect;
mod lease;

pub(crate) use elect::run;
