//! The echo's client side: each command does one thing and prints JSON, so that
//! a pod needs no curl, grpcurl or netcat.

mod batch;
mod get;
mod grpc;
mod load;
mod tcp;
mod websocket;

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

/// What the client side can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send HTTP requests, one after the other, and print each answer
    Get(get::Get),
    /// Many of those, told on standard input, several at a time
    Batch(batch::Batch),
    /// Send requests at a steady rate; print counts and latencies at the end
    Load(load::Load),
    /// Open a TCP connection, send bytes, print what came back
    Tcp(tcp::Tcp),
    /// Make a gRPC call of one of the four shapes
    Grpc(grpc::Grpc),
    /// Open a WebSocket, send messages, print what came back
    Ws(websocket::Ws),
}

impl Command {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Get(get) => get.run().await,
            Self::Batch(batch) => batch.run().await,
            Self::Load(load) => load.run().await,
            Self::Tcp(tcp) => tcp.run().await,
            Self::Grpc(grpc) => grpc.run().await,
            Self::Ws(ws) => ws.run().await,
        }
    }
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    Ok(writeln!(out)?)
}

/// A conversation that may take no longer than `limit`.
async fn within<T>(
    limit: Duration,
    conversation: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(limit, conversation)
        .await
        .with_context(|| format!("the conversation took more than {limit:?}"))?
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("a header is written `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
