//! `bench [proxies|control-plane]`: measures, prints a table, writes `target/bench/results.json`.

use std::path::Path;
use std::process::ExitCode;

use bench::{control_plane, proxies, results};
use testkit::{Binaries, LocalMesh, enter};

fn main() -> ExitCode {
    enter(|| {
        let only = std::env::args().nth(1).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut rows = Vec::new();
        runtime.block_on(async {
            if only != "control-plane" {
                rows.extend(proxies::run(LocalMesh::start().await?).await?);
            }
            if only != "proxies" {
                rows.extend(control_plane::run(&Binaries::find()?).await?);
            }
            anyhow::Ok(())
        })?;
        results::report(&rows, Path::new("target/bench/results.json"))
    })
}
