//! Objects as people write them, against the types, the checks and the generated definitions.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod objects;
