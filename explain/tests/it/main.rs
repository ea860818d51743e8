//! The evaluator by itself, and held against what the proxy does.

#[cfg(test)]
mod compiled;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod rule;
#[cfg(test)]
mod shrink;
#[cfg(test)]
mod weights;
#[cfg(test)]
mod world;
