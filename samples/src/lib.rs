//! Two small apps to put behind a mesh, and a client to call them with.
//!
//! `bookinfo` is four services that call each other; `echo` reports what it
//! received and, as a client, needs no curl in its image. The demo and the
//! scenarios run both as pods; the scenarios also use [`client`] directly, for
//! load from outside the cluster.

pub mod body;
pub mod bookinfo;
pub mod client;
pub mod command;
pub mod echo;
pub mod identity;
pub mod serve;
pub mod units;
