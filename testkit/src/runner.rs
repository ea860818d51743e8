//! Runs scenarios one after the other, each on a mesh of its own, and counts.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::mesh::LocalMesh;

/// What a scenario does with its mesh.
type Steps = fn(LocalMesh) -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// A named scenario on a fresh local mesh.
pub struct Scenario {
    /// What it shows, as a sentence with underscores: `a_rule_change_reaches_the_next_request`.
    pub name: &'static str,
    /// The scenario itself.
    pub run: Steps,
}

/// Runs those scenarios whose name contains the first argument (all without one), and prints
/// `N passed, N failed` at the end.
///
/// # Errors
/// When a scenario failed.
pub fn run(scenarios: &[Scenario]) -> Result<()> {
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut passed, mut failed) = (0, 0);
    for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(&filter)) {
        let start = Instant::now();
        let result = runtime.block_on(async { (scenario.run)(LocalMesh::start().await?).await });
        let seconds = start.elapsed().as_secs_f32();
        match result {
            Ok(()) => {
                passed += 1;
                println!("ok      {} ({seconds:.1} s)", scenario.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAILED  {} ({seconds:.1} s): {error:#}", scenario.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 || passed == 0 {
        bail!("{failed} scenarios failed, {passed} passed");
    }
    Ok(())
}
