//! `trysail-proxy wait`: ends when the proxy in this pod is ready. A postStart hook of it holds the application back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

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
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let timeout = Duration::from_millis(args.request_timeout_millis.max(1));
    let end = Instant::now() + Duration::from_secs(args.timeout_seconds);
    loop {
        let problem = match ask(address, timeout) {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200") => {
                return Ok(());
            }
            Ok(answer) => answer.lines().last().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= end {
            bail!("the proxy is not ready after {} seconds: {problem}", args.timeout_seconds);
        }
        std::thread::park_timeout(Duration::from_millis(args.period_millis));
    }
}

fn ask(address: SocketAddr, timeout: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"GET /healthz/ready HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    Ok(answer)
}
