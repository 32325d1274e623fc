//! The commands of `handfast-load`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use super::{
    Machine,
    interrupt::{Interrupt, NOTHING_MEASURED},
    peers::{PeersOptions, RelayServerOptions, packages_lacking, peers, relay_server},
    plan::{Flags, Plan},
    report,
    run::{Options, run},
    scale,
    target::Given,
};
use crate::packages;

const EXAMPLES: &str = "\
Examples:
  handfast-load run --sources 16 --recipients 4 --seconds 30
      As fast as it goes, with a daemon of its own.
  handfast-load run --sources 4 --recipients 4 --rate 5000 --toggles-per-second 5 --dissents-per-second 2 \\
                    --drops-per-second 0.5 --seconds 60 --json run.json --html run.html
      At times that are due whatever happens, while people turn halves, patients say no and agents come and go.
  handfast-load run --sources 2 --recipients 2 --seconds 5 --sabotage leak; echo $?
      Tries the checker: it must find the leak, and the exit code is 1.
  handfast-load run --daemon https://127.0.0.1:7443 --profile ./operator --seconds 60
      Against a daemon made with `handfastd init --test`, with a profile made by `handfastctl enrol`.
  handfast-load compare before.json after.json
  handfast-load peers --install --json peers.json
      The same work for Handfast, PostgreSQL, Redis and a bare relay, in turn; as root, to install the two.

Exit codes: 0 sound; 1 something leaked, was lost, came twice, came out of order or was forged; 2 it could not run, or
not to its end.";

/// Drives a daemon as many units do, and checks what arrives while it measures.
#[derive(Debug, Parser)]
#[command(name = "handfast-load", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a load and says what it found.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Shows two runs side by side.
    Compare {
        /// The JSON of the run before.
        a: PathBuf,
        /// The JSON of the run after.
        b: PathBuf,
    },
    /// Makes a page of a run's JSON, with charts, that needs nothing beside it.
    Report {
        /// The JSON of a run.
        json: PathBuf,
        /// The page.
        #[arg(long, value_name = "FILE")]
        html: PathBuf,
    },
    /// Measures what scale costs one daemon on one machine, and judges it by stated aims.
    #[command(subcommand)]
    Scale(scale::ScaleCommand),
    /// Gives Handfast, a bare relay, PostgreSQL and Redis the same work in turn, and shows how Handfast stands to each.
    Peers(Box<PeersOptions>),
    /// The bare relay of `peers`.
    #[command(hide = true)]
    RelayServer(RelayServerOptions),
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    flags: Flags,
    /// A daemon that is there, made with `handfastd init --test`; without it the run has one of its own.
    #[arg(long, value_name = "URL", requires = "profile")]
    daemon: Option<String>,
    /// The operator's profile at that daemon, a folder made by `handfastctl enrol`.
    #[arg(long, value_name = "DIR", requires = "daemon")]
    profile: Option<PathBuf>,
    /// Writes what was found here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a page with charts here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Shows nothing while it runs.
    #[arg(long)]
    quiet: bool,
    /// Prints the plan as a scenario's TOML, and runs nothing.
    #[arg(long)]
    print_plan: bool,
}

/// What a command came to.
enum Ended {
    Sound,
    Found,
    /// Before its end, with what there was by then shown.
    Failed,
}

/// Runs the command that the arguments name.
#[expect(
    clippy::print_stderr,
    reason = "a command for people: what it says is its work"
)]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = tokio::runtime::Runtime::new()
        .context("start")
        .and_then(|runtime| runtime.block_on(command(cli.command)));
    match ended {
        Ok(Ended::Sound) => ExitCode::SUCCESS,
        Ok(Ended::Found) => ExitCode::from(1),
        Ok(Ended::Failed) => ExitCode::from(2),
        Err(error) => {
            eprintln!("handfast-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a command for people: what it says is its work"
)]
async fn command(command: Command) -> anyhow::Result<Ended> {
    match command {
        Command::Run(args) => run_and_report(args).await,
        Command::Compare { a, b } => {
            let (before, after) = (report::read(&a)?, report::read(&b)?);
            let named = |name: &PathBuf| name.display().to_string();
            let (a, b) = (named(&a), named(&b));
            let shown = report::compare(
                report::Named {
                    name: &a,
                    outcome: &before,
                },
                report::Named {
                    name: &b,
                    outcome: &after,
                },
            );
            println!("{shown}");
            Ok(Ended::Sound)
        }
        Command::Report { json, html } => {
            report::write_html(&report::read(&json)?, &html)?;
            Ok(Ended::Sound)
        }
        Command::Scale(command) => {
            let mut interrupt = Interrupt::listen()?;
            let measured = Box::pin(scale::run(command));
            let met = interrupt.unless(measured, NOTHING_MEASURED).await?;
            Ok(if met { Ended::Sound } else { Ended::Found })
        }
        Command::Peers(options) => compare_with_peers(*options).await,
        Command::RelayServer(options) => relay_server(options).await.map(|()| Ended::Sound),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is its work"
)]
async fn run_and_report(args: Box<RunArgs>) -> anyhow::Result<Ended> {
    let plan: Plan = args.flags.plan()?;
    if args.print_plan {
        print!("{}", plan.to_toml()?);
        return Ok(Ended::Sound);
    }
    if cfg!(debug_assertions) && !args.quiet {
        eprintln!("handfast-load: figures of an unoptimised build mean nothing: use `cargo load`");
    }
    let options = Options {
        daemon: args.daemon.zip(args.profile).map(|(url, profile)| Given {
            url,
            profile,
            process: None,
        }),
        progress: !args.quiet,
        machine: Machine::look(),
    };
    let outcome = run(&plan, &options).await?;
    println!("{}", report::table(&outcome));
    if let Some(path) = &args.json {
        report::write_json(&outcome, path)?;
    }
    if let Some(path) = &args.html {
        report::write_html(&outcome, path)?;
    }
    Ok(if outcome.sound() {
        Ended::Sound
    } else {
        Ended::Found
    })
}

/// Installs what is to be installed, saying so, and compares.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is its work"
)]
async fn compare_with_peers(options: PeersOptions) -> anyhow::Result<Ended> {
    let lacking = packages_lacking(&options);
    if options.install && !lacking.is_empty() {
        let list = lacking.join(" ");
        eprintln!(
            "handfast-load: installing {list}: apt-get update, then apt-get install -y --no-install-recommends {list}. \
             Servers that the packages start are left alone; the comparison starts its own in temporary folders."
        );
        packages::install(&lacking)?;
    }
    if cfg!(debug_assertions) && !options.quiet {
        eprintln!("handfast-load: figures of an unoptimised build mean nothing: use `cargo load peers`");
    }
    let report = Box::pin(peers(options, |report| println!("{}", report.table()))).await?;
    let Some(error) = report.failed else {
        return Ok(Ended::Sound);
    };
    eprintln!("handfast-load: {error}");
    Ok(Ended::Failed)
}
