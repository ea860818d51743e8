//! `trysail-proxy`: the sidecar and gateway, the init step, the agent for a stock Envoy, and helpers of `pilot-agent`'s.

mod cli;
mod logging;
mod proxy_command;
mod request_command;
mod wait_command;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trysail-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Proxy(args) => proxy_command::run(args, &cli.log),
        Command::Redirect(flags) => {
            logging::start(&cli.log.levels("info", "")?, cli.log.log_as_json);
            Ok(proxy::redirect::run(flags)?)
        }
        Command::Agent(flags) => {
            logging::start(&cli.log.levels("info", "")?, cli.log.log_as_json);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(async {
                proxy::agent::run(flags, logging::ended()?).await.map_err(anyhow::Error::from)
            })?)
        }
        Command::Version => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Request(args) => request_command::run(args),
        Command::Wait(args) => wait_command::run(args),
    }
}
