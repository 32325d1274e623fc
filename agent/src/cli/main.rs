//! Parses, does, and ends with a code that says how it went.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use super::{
    args::{Cli, Command},
    dead_letters, enrol, exit, page, run, status,
};

/// The whole process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match act(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "handfast-agent: {error:#}");
            ExitCode::from(exit::code_of(&error))
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "handfast-agent", &mut script);
            page::put(&script)
        }
        Command::Status(args) if args.clear_alarm => on_runtime(status::clear_alarm(args)),
        Command::Status(args) => status::show(&args),
        Command::Run(args) if args.print_config => run::print(&args),
        Command::Run(args) => {
            let start = run::prepare(&args)?;
            on_runtime(crate::app::run(start))
        }
        Command::Enrol(args) => on_runtime(enrol::enrol(args)),
        Command::DeadLetters(command) => on_runtime(dead_letters::act(command)),
    }
}

fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(Box::pin(work));
    // A call to a disk that does not answer must not keep the process from ending.
    runtime.shutdown_background();
    result
}
