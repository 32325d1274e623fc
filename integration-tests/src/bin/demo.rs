//! `cargo demo`: builds Handfast, starts a daemon and three agents in a temporary folder on loopback, and
//! shows amendments arriving only where both units agreed. The exit code is not 0 where what is shown did
//! not happen.

#![expect(
    clippy::print_stdout,
    reason = "a command for people: what it says is its work"
)]

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use handfast_integration_tests::demo;

/// Shows the whole path on this machine, with synthetic records.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Options {
    /// Leaves everything running until Ctrl-C, and says how to go on by hand.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo demo -- --keep` and `cargo demo --keep` mean the same: the alias ends in `--` already.
    let options = Options::parse_from(std::env::args_os().filter(|arg| arg != "--"));
    match show(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("\nThe demo stopped: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(options: Options) -> anyhow::Result<()> {
    println!("Building handfastd, handfastctl and handfast-agent …");
    build()?;
    tokio::select! {
        told = demo::tell(options.keep) => told,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("listen for Ctrl-C")?;
            println!("\nStopped; nothing is left behind.");
            Ok(())
        }
    }
}

fn build() -> anyhow::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, so that nothing is compiled again with other features.
    cargo.args(["build", "--workspace", "--bins"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = cargo
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    Ok(())
}
