//! Our proxy beside a stock Envoy, driven by the same control plane in the same local mesh.

mod rows;

pub use rows::run;
