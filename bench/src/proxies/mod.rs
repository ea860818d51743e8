//! Our proxy beside a stock Envoy, driven by the same control plane in the same local mesh.

mod load;
mod rows;

pub use rows::run;
