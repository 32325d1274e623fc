//! `handfast-load scale`: measures one of them, prints it, and says whether every aim was met.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    away::{AwayOptions, away},
    big::{BigOptions, big},
    crowd::{CrowdOptions, crowd},
    curves::{CurvesOptions, curves},
    idle::{IdleOptions, idle},
    verdict::{Shown, table},
};

const IDLE: &str = "\
Aims: 60 KiB of the daemon's own memory an agent; 0.05 cores for keepalives; when all come back after the daemon was
killed, no more than 1 in 100 tries that the daemon turned away or the agent gave up, and 3 tries an agent.

Each agent has one connection, and a process may not have more files open than its hard limit (`ulimit -Hn`):
10,000 agents take 10,200. Where it is lower, fewer are measured, the first aim is missed, and it is said what to raise.

Examples:
  handfast-load scale idle --agents 500 --idle 10       Some seconds.
  ulimit -n 11000; handfast-load scale idle             All 10,000; some minutes, and some GiB for the agents' side.";

const BIG: &str = "\
Aims: the daemon answers 5 s after it was started; 256 bytes of its own memory a record or word; a catch-up of a new
agreement over every record adds no more than 64 MiB, sampled while it goes on.

Examples:
  handfast-load scale big --records 100000 --words 100000     Half a minute.
  handfast-load scale big --json big.json                     A million of each: some minutes, and 2 GB of disk.";

const CURVES: &str = "\
A point is a run of the same flow, which is checked as `handfast-load run` checks. What the idle units cost by themselves
is measured before it and taken out.

Aims: a delivery beside the most idle units costs 1.25 times that beside the fewest at most; to the most recipients 1.1
times that to the fewest at most; the cost of an amendment over its recipients is a straight line
(no point more than 0.15 off it).

Examples:
  handfast-load scale curves --units 1,10,100 --seconds 5
  handfast-load scale curves --recipients 1,4,16 --per-second 4000 --json curves.json";

const AWAY: &str = "\
Aims: the others receive at least 0.98 of what they received before; their median latency grows by 10 ms at most, their
99th percentile by 50 ms. Latency is from when an amendment was due to its receipt.

Examples:
  handfast-load scale away --week 100000 --others 2 --seconds 5
  handfast-load scale away --week 700000 --per-second 5000 --json away.json";

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub enum ScaleCommand {
    /// Agents connected and idle: memory, keepalives, and all of them coming back at once.
    #[command(after_help = IDLE)]
    Idle(Scale<IdleOptions>),
    /// Many records and words of patients: start-up, memory, and a new agreement over all of them.
    #[command(after_help = BIG)]
    Big(Scale<BigOptions>),
    /// What a delivery costs beside more and more idle units, and with more and more recipients.
    #[command(after_help = CURVES)]
    Curves(Scale<CurvesOptions>),
    /// A recipient that was away for a week, and returns: what the others have of it.
    #[command(after_help = AWAY)]
    Away(Scale<AwayOptions>),
    /// Agents' links in a process of their own; started by `idle` and `curves`.
    #[command(hide = true)]
    Crowd(CrowdOptions),
}

/// Options of every measurement.
#[derive(Debug, Clone, Args)]
pub struct Scale<O: Args> {
    #[command(flatten)]
    options: O,
    /// Writes the figures here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Ends with 0 though an aim is missed.
    #[arg(long)]
    report_only: bool,
}

/// Measures what is asked for; whether every aim was met. Fails where it could not be measured.
pub async fn run(command: ScaleCommand) -> anyhow::Result<bool> {
    match command {
        ScaleCommand::Idle(of) => tell(&idle(&of.options).await?, of.json.as_deref(), of.report_only),
        ScaleCommand::Big(of) => tell(&big(&of.options).await?, of.json.as_deref(), of.report_only),
        ScaleCommand::Curves(of) => tell(&curves(&of.options).await?, of.json.as_deref(), of.report_only),
        ScaleCommand::Away(of) => tell(&away(&of.options).await?, of.json.as_deref(), of.report_only),
        ScaleCommand::Crowd(options) => crowd(options).await.map(|()| true),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was measured, for people"
)]
fn tell(figures: &impl Shown, json: Option<&Path>, report_only: bool) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("handfast-load: figures of an unoptimised build mean nothing: use `cargo load`");
    }
    print!("{}", table(figures));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(figures)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let missed = figures.aims().iter().filter(|aim| !aim.met()).count();
    let of = figures.aims().len();
    println!(
        "{}",
        if missed == 0 {
            format!("Every aim is met ({of}).")
        } else {
            format!("{missed} of {of} aims missed.")
        }
    );
    Ok(missed == 0 || report_only)
}
