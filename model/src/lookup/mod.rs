//! Questions to the mesh whose answers need precedence: which rule, which policy, which service counts for whom.

mod destination_rule;
mod discovery;
mod mutual_tls;
mod scope;
mod virtual_service;

pub use mutual_tls::MutualTls;
pub use scope::{Door, Scope};
