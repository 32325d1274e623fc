//! `handfast-agent run`: settings first, then the log, then the agent.

use super::{args::RunArgs, page};
use crate::{
    app::Start,
    config::{self, Config, Overrides},
    telemetry,
};

/// Checks and prints the settings.
pub(super) fn print(args: &RunArgs) -> anyhow::Result<()> {
    page::put(config::print(&load(args)?).as_bytes())
}

/// Checks everything that can be checked before anything starts, and starts the log.
pub(super) fn prepare(args: &RunArgs) -> anyhow::Result<Start> {
    let config = load(args)?;
    telemetry::init(config.log_level, config.log_format);
    Ok(Start {
        state_dir: args.state_dir.clone().unwrap_or_default(),
        config,
    })
}

fn load(args: &RunArgs) -> anyhow::Result<Config> {
    let overrides = Overrides {
        log_level: args.log_level,
        log_format: args.log_format,
        max_payload_mib: args.max_payload_mib,
        private_codes: args.private_codes.clone(),
    };
    Ok(config::load(
        args.config.as_deref(),
        &overrides,
        args.state_dir.as_deref(),
    )?)
}
