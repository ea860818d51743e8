//! `e2e run` runs the scenarios, `e2e demo` shows a mesh at work and leaves it up.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::{demo, run};

/// Scenarios on a real cluster: the one that KUBECONFIG names, else one started here.
#[derive(Parser)]
#[command(name = "e2e", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios; the last line is `N passed, N failed`
    Run(run::Options),
    /// Install a mesh with Bookinfo, send traffic, and print what happened
    Demo(demo::Options),
    /// Remove what `demo` made
    DemoDown(demo::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run(options) => run::run(options).await,
        Command::Demo(options) => demo::up(options).await.map(|()| ExitCode::SUCCESS),
        Command::DemoDown(options) => demo::down(options).await.map(|()| ExitCode::SUCCESS),
    }
}
