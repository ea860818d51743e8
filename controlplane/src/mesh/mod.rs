//! From events to what each proxy should have: one thread owns the store, merges bursts, regenerates what changed once per
//! view, and puts the outcome where the streams look.

mod command;
mod debounce;
mod ledger;
mod patience;
mod publisher;
mod slot;
mod snapshot;
mod views;

pub(crate) use command::{Registration, Views};
pub(crate) use ledger::{Book, InForce, Ledger};
pub(crate) use publisher::{Published, Publisher, Setup};
pub(crate) use slot::Slot;
pub(crate) use snapshot::ViewSnapshot;
