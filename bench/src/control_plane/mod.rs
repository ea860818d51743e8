//! The control plane under a large mesh and many proxies.

mod clients;
mod mesh;
mod row;

pub use row::run;
