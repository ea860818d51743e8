//! What operators look at: metrics and the debug pages that istioctl, trysailctl and Kiali read.

mod count;
mod debug;
mod dump;
mod http;
mod metrics;
mod process;

pub(crate) use debug::Debug;
pub(crate) use http::{Pages, http_router, monitoring_router};
pub(crate) use metrics::Metrics;
