//! The log: to stderr, as text or JSON, and what keeps others from filling it.

use std::{
    io::{self, IsTerminal as _},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Lines a second of one kind that others can cause.
const THROTTLED_LINES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

/// Lines of one kind that others can cause at once after a quiet time.
const THROTTLED_LINES_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error(
        "the log level {0:?} is not valid: expected error, warn, info, debug or trace, or directives such \
         as info,handfast_daemon::grpc=debug"
    )]
    Level(String),
    /// It was set up before.
    #[error("the log was set up before")]
    Again,
}

/// Sets the log up, once a process.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(&settings.level).map_err(|_| TelemetryError::Level(settings.level.clone()))?;
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let set = match settings.format {
        LogFormat::Text => base.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => base.json().try_init(),
    };
    set.map_err(|_| TelemetryError::Again)
}

/// Lets a bounded number of log lines pass, so that nobody outside can fill the log.
#[derive(Debug)]
pub struct LogThrottle {
    limiter: DefaultDirectRateLimiter,
    held_back: AtomicU64,
}

impl Default for LogThrottle {
    fn default() -> Self {
        let quota = Quota::per_second(THROTTLED_LINES_PER_SECOND).allow_burst(THROTTLED_LINES_BURST);
        Self {
            limiter: RateLimiter::direct(quota),
            held_back: AtomicU64::new(0),
        }
    }
}

impl LogThrottle {
    /// `Some` where a line may be written now, with the number of lines held back since the last one.
    pub fn pass(&self) -> Option<u64> {
        if self.limiter.check().is_ok() {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_burst_are_held_back_and_counted() {
        let throttle = LogThrottle::default();
        let passed = (0..1000).filter(|_| throttle.pass().is_some()).count();
        assert!((20..40).contains(&passed), "{passed}");
        assert!(throttle.held_back.load(Ordering::Relaxed) > 900);
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let settings = LogSettings {
            level: "loud=very".to_owned(),
            ..LogSettings::default()
        };
        assert!(matches!(init(&settings), Err(TelemetryError::Level(_))));
    }
}
