//! Which rule a request meets, and why: a plain reading of Istio's rules over the model.
//!
//! ```text
//! Evaluator::new(mesh).explain(source, request) -> Decision    each step with its reasons, as values
//!                                               -> Unanswerable what the question gets wrong, and what was meant
//! ```
//!
//! Pure: no I/O, no clock. It is slow and simple on purpose, and shares nothing with `translate`, which compiles the
//! same rules, nor with the proxy, which matches what was compiled: `tests/it/routing.rs` holds all three against each
//! other. Of the model's answers it takes only what a workload sees at all (`model::Scope`) and the merging of
//! DestinationRules for one host. From `xds` come names and the dialect of regular expressions.

mod action;
mod claims;
mod conditions;
mod decision;
mod delegates;
mod destination;
mod endpoints;
mod evaluator;
mod gateway;
mod hosts;
mod others;
mod outcome;
mod paths;
mod peers;
mod policy;
mod question;
mod rules;
mod sidecar;
mod tcp;
mod unanswerable;
mod walk;

pub use decision::{Considered, Decision, Listener, RuleSeen, ServiceSeen, Verdict, VirtualHostSeen};
pub use evaluator::Evaluator;
pub use outcome::{
    Block, EndpointSeen, Forward, Mirror, Outcome, PeerPolicy, Policy, RetriesSeen, RuleUsed, Target, Tls,
};
pub use question::{Request, Role, Source};
pub use unanswerable::Unanswerable;
