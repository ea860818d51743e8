//! `trysailctl explain`: where the mesh comes from, who is meant, and the page that tells.

pub mod health;
pub mod live;
pub mod manifests;
pub mod page;
pub mod sender;
mod workload;
