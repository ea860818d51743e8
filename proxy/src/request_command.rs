//! `trysail-proxy request GET /config_dump`: one request to the admin interface, printed.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Flags of `trysail-proxy request`.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// GET or POST
    method: String,
    /// Path with query: /clusters?format=json
    path: String,
    /// Body of a POST
    #[arg(default_value = "")]
    body: String,
    /// Port of the admin interface
    #[arg(long, default_value_t = 15000)]
    debug_port: u16,
}

pub(crate) fn run(args: &RequestArgs) -> anyhow::Result<()> {
    let slash = if args.path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{}", args.path);
    if !path.bytes().all(|byte| byte.is_ascii_graphic())
        || !args.method.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        bail!("{} {path:?} is not a request; write for example: request GET /clusters", args.method);
    }
    let address = (Ipv4Addr::LOCALHOST, args.debug_port);
    let mut stream = TcpStream::connect(address).with_context(|| {
        format!("cannot connect to the admin interface on port {}; is a proxy running here?", args.debug_port)
    })?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer comes unchunked and ends with the connection.
    let head = format!(
        "{} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        args.method.to_ascii_uppercase(),
        args.body.len()
    );
    stream.write_all((head + &args.body).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("the answer is not HTTP")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]);
    io::stdout().write_all(body)?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{} {path}: status {status}", args.method);
    }
    Ok(())
}
