//! Desired objects, plans and status, as pure functions.

// `cfg(test)` tells clippy that helpers are tests too, where `unwrap` says enough.
#[cfg(test)]
mod desired;
#[cfg(test)]
mod options;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod status;
#[cfg(test)]
mod support;
