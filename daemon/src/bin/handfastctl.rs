//! handfastctl, the administrator's command line: parses, runs, and says how it ended.

use std::{io, process::ExitCode};

use clap::Parser as _;
use handfast_daemon::ctl::{Cli, Exit, run};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to the parser, too, with exit code 0. Where even the message
            // cannot be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return Exit::Failed.into();
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let (answers, notes) = (Box::new(io::stdout()), Box::new(io::stderr()));
    runtime.block_on(run(cli, now, answers, notes)).into()
}
