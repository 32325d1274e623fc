//! `cargo bench-pipeline`: the benchmark. Prints a table, and JSON where a file for it is named.

#![expect(
    clippy::print_stdout,
    reason = "a command for people: what it says is its work"
)]

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser;
use handfast_integration_tests::bench::{Plan, print_table, run};

/// Measures amendments a second, latency, and the daemon's CPU time and memory.
#[derive(Parser)]
#[command(name = "cargo bench-pipeline")]
struct Options {
    /// How long each scenario is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
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
    };
    let figures = run(&plan).await?;
    print_table(&figures);
    let json = serde_json::to_string_pretty(&figures)?;
    match options.json {
        Some(path) => std::fs::write(&path, json).with_context(|| format!("write {}", path.display()))?,
        None => println!("{json}"),
    }
    Ok(())
}
