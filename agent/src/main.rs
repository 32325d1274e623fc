//! `handfast-agent`: see `handfast-agent --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    handfast_agent::cli::main()
}
