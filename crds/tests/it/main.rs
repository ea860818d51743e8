//! Objects as people write them, against the types, the checks and the generated definitions.

mod checks;
mod generated;
mod objects;
