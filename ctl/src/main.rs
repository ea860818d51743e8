//! The command line: parses flags, runs one command, prints its answer or its error.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use ctl::cluster::Connection;
use ctl::commands::{
    demo, explain, install, kube_inject, proxy_config, proxy_status, uninstall, verify_install, version,
};

/// Installs, shows and explains a Trysail mesh.
#[derive(Debug, clap::Parser)]
#[command(name = "trysailctl", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Install a mesh, or change one
    #[command(visible_alias = "apply")]
    Install(install::Arguments),
    /// Remove a mesh
    Uninstall(uninstall::Arguments),
    /// Check an installed mesh
    VerifyInstall(verify_install::Arguments),
    /// Show the versions of this program, the control plane and the proxies
    Version(version::Arguments),
    /// Show the proxies connected to the control plane
    #[command(visible_alias = "ps")]
    ProxyStatus(proxy_status::Arguments),
    /// Show the configuration of one proxy
    #[command(visible_alias = "pc")]
    ProxyConfig(proxy_config::Arguments),
    /// Say which rule a request meets, and why
    Explain(explain::Arguments),
    /// Run Bookinfo in the mesh, send traffic, and show what happened
    Demo(demo::Arguments),
    /// Add the sidecar to the workloads of a file
    KubeInject(kube_inject::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // More than one TLS provider may be compiled in; ours is chosen here, once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Arguments { connection, command } = Arguments::parse();
    let result = match command {
        Command::Install(arguments) => install::run(arguments, &connection).await,
        Command::Uninstall(arguments) => uninstall::run(arguments, &connection).await,
        Command::VerifyInstall(arguments) => verify_install::run(arguments, &connection).await,
        Command::Version(arguments) => version::run(arguments, &connection).await,
        Command::ProxyStatus(arguments) => proxy_status::run(arguments, &connection).await,
        Command::ProxyConfig(arguments) => proxy_config::run(arguments, &connection).await,
        Command::Explain(arguments) => explain::run(arguments, &connection).await,
        Command::Demo(arguments) => demo::run(arguments, &connection).await,
        Command::KubeInject(arguments) => kube_inject::run(arguments, &connection).await,
    };
    match result {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            // A reader such as `head` has seen enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("Error: writing to standard output: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        Err(error) => {
            eprintln!("Error: {}", ctl::error::describe(&error));
            ExitCode::FAILURE
        }
    }
}
