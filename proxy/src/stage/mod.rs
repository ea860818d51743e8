//! The stages of a request, one file each: plain functions over the configuration and what is known so far.
//!
//! `request` calls them in order. None of them does I/O.

pub mod cors;
pub mod fault;
pub mod forwarded;
pub mod hash;
pub mod headers;
pub mod hop;
pub mod mirror;
pub mod normalise;
pub mod redirect;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod timeout;
pub mod xfcc;
