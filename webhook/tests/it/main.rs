//! Injection and the admission edge, as an API server meets them.

mod golden;
mod rules;
mod support;
