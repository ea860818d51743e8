//! `echo`: the echo server (without a command) and its client.

use clap::Parser;
use samples::{command::Command, echo, serve};

/// Reports what it receives, over HTTP/1.1, HTTP/2, WebSocket, gRPC, TLS and TCP.
#[derive(Parser)]
#[command(name = "echo", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    ports: echo::Ports,
    #[command(subcommand)]
    command: Option<Command>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(command) => command.run().await,
        None => echo::run(arguments.ports, serve::shutdown_on_signal()?).await,
    }
}
