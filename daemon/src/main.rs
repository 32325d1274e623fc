//! `handfastd`: parses, and hands over.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use handfast_daemon::{
    app,
    cli::{Audit, Cli, Command, Operator},
    config::{Config, ConfigError},
    init::{NewDeployment, init, renew_operator},
    state_dir::StateError,
    telemetry::{self, TelemetryError},
};
use rustix::{fs::Mode, process::umask};

/// EX_CONFIG of sysexits.h: systemd does not start the daemon again.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    // Whatever is made from here on is for its owner only.
    umask(Mode::from_raw_mode(0o077));
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "handfastd: {error:#}");
            if needs_a_person(&error) {
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether starting again is of no use until somebody has changed something.
fn needs_a_person(error: &anyhow::Error) -> bool {
    let state = error.downcast_ref::<StateError>();
    let state = state.is_some_and(|e| !matches!(e, StateError::Locked(_) | StateError::Io { .. }));
    state || error.is::<ConfigError>() || error.is::<TelemetryError>()
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Init(asked) => {
            let wanted = NewDeployment {
                state_dir: asked.state_dir,
                trust_domain: asked.trust_domain,
                dns: asked.dns,
                test: asked.test,
                operator_sets_halves: asked.operator_sets_halves,
                zone: asked.zone,
                policy: asked.policy.into(),
                default_patients: asked.default_patients.into(),
            };
            say(&runtime()?.block_on(init(&wanted))?)
        }
        Command::Operator(Operator::Renew { state_dir }) => {
            say(&runtime()?.block_on(renew_operator(&state_dir))?)
        }
        Command::Audit(Audit::Check {
            state_dir,
            public_key,
        }) => say(&runtime()?.block_on(app::check_audit(&state_dir, public_key.as_deref()))?),
        Command::Serve(serve) => {
            let config = Config::load(serve.flags)?;
            if serve.print_config {
                return say(&config.to_string());
            }
            telemetry::init(&config.log)?;
            runtime()?.block_on(app::serve(config))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "handfastd", &mut io::stdout());
            Ok(())
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("start the runtime")
}

fn say(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("write to stdout")
}
