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
    /// The demo without a cluster, in namespaces of its own
    #[command(name = demo::LOCAL, hide = true)]
    DemoLocal,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Arguments::parse().command;
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match command {
        Command::Run(options) => runtime()?.block_on(run::run(options)),
        Command::Demo(options) => runtime()?.block_on(demo::up(options)),
        Command::DemoDown(options) => runtime()?.block_on(demo::down(options)),
        // Makes its own runtime: namespaces are entered before there are threads.
        Command::DemoLocal => Ok(demo::local()),
    }
}
