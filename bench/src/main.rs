//! `bench [proxies|large|control-plane]`: measures, prints a table, writes `target/bench/results.json`.
//! `bench relay LISTEN TO` is the relay that the rows of proxies run in a pod.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use bench::{control_plane, large, proxies, relay, results};
use testkit::{Binaries, LocalMesh, enter, envoy_binary};

const PARTS: [&str; 3] = ["proxies", "large", "control-plane"];

fn main() -> ExitCode {
    if let [command, listen, to] = &std::env::args().skip(1).collect::<Vec<_>>()[..]
        && command == "relay"
    {
        return as_relay(listen, to);
    }
    let outside = || envoy_binary().map(drop);
    enter(outside, || {
        let only = std::env::args().nth(1);
        if let Some(unknown) = only.as_deref().filter(|only| !PARTS.contains(only)) {
            bail!("there is no part {unknown}; there are {}", PARTS.join(", "));
        }
        let wanted = |part| only.as_deref().is_none_or(|only| only == part);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut rows = Vec::new();
        runtime.block_on(async {
            if wanted("proxies") || wanted("large") {
                let mut mesh = LocalMesh::start().await?;
                if wanted("proxies") {
                    rows.extend(proxies::run(&mut mesh).await?);
                }
                if wanted("large") {
                    rows.extend(large::run(&mut mesh).await?);
                }
            }
            if wanted("control-plane") {
                rows.extend(control_plane::run(&Binaries::find()?).await?);
            }
            anyhow::Ok(())
        })?;
        results::report(&rows, Path::new("target/bench/results.json"))
    })
}

fn as_relay(listen: &str, to: &str) -> ExitCode {
    let relayed = (|| relay::run(listen.parse()?, to.parse()?))();
    match relayed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
