//! `trysail-proxy wait`: ends when the proxy in this pod is ready. A postStart hook of it holds the application back.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use http::{Method, StatusCode};

use crate::request_command::ask;

/// Flags of `trysail-proxy wait`; the names are those of Istio's agent.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Port that answers /healthz/ready
    #[arg(long, env = "ENVOY_STATUS_PORT", default_value_t = 15021)]
    port: u16,
    /// Give up after so many seconds
    #[arg(long = "timeoutSeconds", default_value_t = 60)]
    timeout_seconds: u64,
    /// Milliseconds between attempts
    #[arg(long = "periodMillis", default_value_t = 500)]
    period_millis: u64,
    /// Milliseconds that one attempt may take
    #[arg(long = "requestTimeoutMillis", default_value_t = 500)]
    request_timeout_millis: u64,
}

pub(crate) fn run(args: &WaitArgs) -> anyhow::Result<()> {
    let timeout = Duration::from_millis(args.request_timeout_millis.max(1));
    let end = Instant::now() + Duration::from_secs(args.timeout_seconds);
    loop {
        let problem = match ask(args.port, Method::GET, "/healthz/ready", String::new(), timeout) {
            Ok((StatusCode::OK, _)) => return Ok(()),
            Ok((status, answer)) => format!("{status} {}", String::from_utf8_lossy(&answer).trim_end()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!("the proxy is not ready after {} seconds: {problem}", args.timeout_seconds);
        }
        std::thread::park_timeout(Duration::from_millis(args.period_millis));
    }
}
