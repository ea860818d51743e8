//! Injection and the admission edge, as an API server meets them.

// `cfg(test)` tells clippy that helpers are tests too, where `unwrap` says enough.
#[cfg(test)]
mod admission;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod support;
