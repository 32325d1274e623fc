//! `handfast-load`: drives a daemon as many units do, checks what arrives while it measures, and reports.

use std::process::ExitCode;

fn main() -> ExitCode {
    handfast_integration_tests::load::cli::main()
}
