//! The command line.

use clap::{Args, Parser, Subcommand};
use proxy::admin::{LogLevels, LogLevelsError};
use proxy::agent::AgentFlags;
use proxy::bootstrap::ProxyArgs;
use proxy::redirect::RedirectFlags;

use crate::request_command::RequestArgs;
use crate::wait_command::WaitArgs;

/// The data plane of Trysail: sidecar, gateway, agent and the init step.
#[derive(Debug, Parser)]
#[command(name = "trysail-proxy", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// How to log; the flags are those of Istio's agent.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Levels of what isn't traffic, with scopes as Istio's agent writes them: `default:info`
    #[arg(long = "log_output_level", global = true, default_value = "default:info")]
    log_output_level: String,
    /// Log lines are JSON objects
    #[arg(long = "log_as_json", global = true, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) log_as_json: bool,
}

impl LogArgs {
    pub(crate) fn levels(&self, proxy: &str, components: &str) -> Result<LogLevels, LogLevelsError> {
        LogLevels::parse(&self.log_output_level, proxy, components)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run as a sidecar or gateway
    Proxy(ProxyArgs),
    /// Write (or remove) the rules that send a pod's traffic through its sidecar
    #[command(alias = "istio-iptables")]
    Redirect(RedirectFlags),
    /// Give certificates to a stock Envoy by SDS
    Agent(AgentFlags),
    /// Print the version
    Version,
    /// Ask the admin interface of the proxy in this pod: `request GET /config_dump`
    Request(RequestArgs),
    /// Wait until the proxy in this pod is ready
    Wait(WaitArgs),
}
