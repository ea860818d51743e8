//! Picks scenarios, runs them one after the other, reports each, and ends with
//! the plain line `N passed, N failed`.

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    cluster::Cluster,
    diagnose, mesh,
    scenarios::{ALL, Scenario},
    test::{Skipped, Test},
};

/// What to run.
#[derive(Args, Debug)]
pub struct Options {
    /// Only scenarios whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the scenarios and stop
    #[arg(long)]
    list: bool,
    /// Leave the scenarios' namespaces and the mesh in place
    #[arg(long)]
    keep: bool,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<&'static str>,
}

/// Runs what the options pick; fails if any scenario does.
pub async fn run(options: Options) -> Result<ExitCode> {
    let picked = pick(&options.only)?;
    if options.list {
        for scenario in picked {
            println!("{:12} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let mut test = Test::new(Cluster::ready().await?);
    let mut tally = Tally::default();
    for scenario in picked {
        if options.keep && scenario.name == "uninstall" {
            continue;
        }
        one(&mut test, scenario, &options, &mut tally).await?;
    }
    if !tally.failed.is_empty() {
        println!("\nfailed: {}", tally.failed.join(", "));
    }
    println!("took {:.0} s", started.elapsed().as_secs_f64());
    println!("{} passed, {} failed", tally.passed, tally.failed.len());
    Ok(if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn pick(only: &[String]) -> Result<Vec<&'static Scenario>> {
    // A whole name means that scenario alone: `install` isn't `uninstall` as well.
    let whole = |part: &str| ALL.iter().any(|scenario| scenario.name == part);
    let matches = |scenario: &Scenario, part: &str| {
        if whole(part) { scenario.name == part } else { scenario.name.contains(part) }
    };
    let wanted = |scenario: &Scenario| only.is_empty() || only.iter().any(|part| matches(scenario, part));
    let picked: Vec<_> = ALL.iter().filter(|scenario| wanted(scenario)).collect();
    if picked.is_empty() {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        bail!("no scenario is named like that; there are {}", names.join(", "));
    }
    Ok(picked)
}

async fn one(
    test: &mut Test,
    scenario: &'static Scenario,
    options: &Options,
    tally: &mut Tally,
) -> Result<()> {
    println!("\n{}: {}", scenario.name, scenario.about);
    test.begin();
    let outcome = async {
        if scenario.needs_mesh {
            mesh::ensure(test).await?;
        }
        (scenario.run)(test).await
    };
    match outcome.await {
        Ok(()) => {
            println!("ok {} ({:.1} s)", scenario.name, test.elapsed().as_secs_f64());
            tally.passed += 1;
        }
        Err(error) => match error.downcast_ref::<Skipped>() {
            Some(why) => println!("skipped {}: {why}", scenario.name),
            None => {
                println!("FAILED {} after {:.1} s: {error:#}", scenario.name, test.elapsed().as_secs_f64());
                diagnose::print(test, scenario.name).await;
                tally.failed.push(scenario.name);
            }
        },
    }
    if !options.keep {
        for namespace in test.namespaces() {
            test.sh(format!("kubectl delete namespace {namespace} --ignore-not-found --wait=false")).await?;
        }
    }
    Ok(())
}
