//! `echo load --rps 200 URL`: steady load for a time, or until stdin ends, so
//! that whoever started it by `kubectl exec -i` decides when it is enough.

use std::time::Duration;

use clap::Args;
use tokio::io::AsyncReadExt as _;

use super::{get::Target, print};
use crate::{
    client::load::{self, Plan},
    units,
};

/// The command.
#[derive(Args, Debug)]
pub struct Load {
    #[command(flatten)]
    target: Target,
    /// Requests per second
    #[arg(long, default_value_t = 100.0)]
    rps: f64,
    /// For how long; without it, until stdin ends
    #[arg(long, value_parser = units::duration)]
    duration: Option<Duration>,
    /// Count the values of this response header
    #[arg(long)]
    tally: Option<String>,
}

impl Load {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let plan = Plan { rps: self.rps, timeout: self.target.timeout, tally: self.tally };
        let duration = self.duration;
        let stop = async move {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => until_stdin_ends().await,
            }
        };
        print(&load::run(self.target.template()?, self.target.route()?, plan, stop).await)?;
        // A read of stdin cannot be given up, so the runtime would wait for it.
        std::process::exit(0)
    }
}

async fn until_stdin_ends() {
    let mut byte = [0];
    while matches!(tokio::io::stdin().read(&mut byte).await, Ok(1)) {}
}
