//! `cargo bench-pipeline`: the benchmark. Prints tables, and JSON where a file for it is named.

#![expect(
    clippy::print_stdout,
    reason = "a command for people: what it says is its work"
)]

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser;
use handfast_integration_tests::bench::{Plan, compare_loaded, print_compared, print_report, run};

/// Measures amendments a second, latency, how quickly halves are turned, and the daemon's CPU time and memory.
#[derive(Parser)]
#[command(name = "cargo bench-pipeline")]
struct Options {
    /// How long each scenario is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Loads 1,000 agreements and what 100,000 patients said before each measured stretch.
    #[arg(long)]
    loaded: bool,
    /// Runs the scenarios in which amendments flow N times without and N times with that load, and prints the
    /// medians and what the load costs.
    #[arg(long, value_name = "N", conflicts_with = "loaded", num_args = 0..=1, default_missing_value = "3",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    compare_loaded: Option<u32>,
    /// Current records behind the halves that are turned.
    #[arg(long, default_value_t = 1_000_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(50_000..=100_000_000))]
    records: u64,
    /// How often they are turned off at rest, and as often in the middle of a catch-up.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns: u32,
    /// Writes the figures here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        bail!("figures of an unoptimised build mean nothing: use `cargo bench-pipeline`");
    }
    let plan = Plan {
        seconds: options.seconds,
        only: options.only,
        loaded: options.loaded,
        records: options.records,
        turns: options.turns,
    };
    let json = match options.compare_loaded {
        Some(rounds) => {
            let compared = compare_loaded(&plan, rounds).await?;
            print_compared(&compared);
            serde_json::to_string_pretty(&compared)?
        }
        None => {
            let report = run(&plan).await?;
            print_report(&report);
            serde_json::to_string_pretty(&report)?
        }
    };
    match options.json {
        Some(path) => std::fs::write(&path, json).with_context(|| format!("write {}", path.display()))?,
        None => println!("{json}"),
    }
    Ok(())
}
