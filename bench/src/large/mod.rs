//! Our proxy under much configuration: many routes on one host, many virtual hosts, many clusters.

mod objects;
mod rows;

pub use rows::run;
