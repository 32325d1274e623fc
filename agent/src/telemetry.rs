//! The log: to standard error, as lines for people or as JSON, one level for the agent's own events.
//! Libraries are heard from `warn` up, whatever the level, because what they say below is not ours to
//! promise free of patients' data.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::config::{LogFormat, LogLevel};

/// Starts the log. A second call in one process changes nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let filter = match level {
        LogLevel::Error => EnvFilter::new("error"),
        _ => EnvFilter::new(format!("warn,handfast_agent={}", level.as_str())),
    };
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Only a log that is there already is refused, and then that one stays.
    let _ = match format {
        LogFormat::Text => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .finish()
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).finish().try_init(),
    };
}
