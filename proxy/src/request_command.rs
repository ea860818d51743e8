//! `trysail-proxy request GET /config_dump`: one request to the admin interface, printed.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

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
    let method: Method = args.method.to_ascii_uppercase().parse().context("the method")?;
    let (status, body) = ask(args.debug_port, method.clone(), &path, args.body.clone(), TIMEOUT)?;
    io::stdout().write_all(&body)?;
    if status != StatusCode::OK {
        bail!("{method} {path}: status {status}");
    }
    Ok(())
}

/// One request to a port of this pod, by a proxy of ours or a stock Envoy, which answers nothing older than HTTP/1.1.
pub(crate) fn ask(
    port: u16,
    method: Method,
    path: &str,
    body: String,
    timeout: Duration,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let exchange = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot connect to port {port}; is a proxy running here?"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await.context("the answer breaks off")?.to_bytes();
        connection.abort();
        anyhow::Ok((status, body))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(timeout, exchange).await.context("no answer in time")? })
}
