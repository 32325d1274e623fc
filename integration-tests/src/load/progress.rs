//! How a run goes on, on standard error, for whoever looks on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Second;

/// How often the spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(120);

/// A line that is drawn anew; nothing where nobody looks on.
#[derive(Debug, Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(shown: bool) -> Self {
        let bar = ProgressBar::new_spinner();
        if shown {
            bar.enable_steady_tick(TURN_EVERY);
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    /// What is being done now.
    pub(super) fn say(&self, what: &'static str) {
        self.0.set_style(ProgressStyle::default_spinner());
        self.0.set_message(what);
    }

    /// What is being counted now.
    pub(super) fn count(&self, what: &'static str, of: usize) {
        let style = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} {msg}");
        self.0
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_length(of as u64);
        self.0.set_position(0);
        self.0.set_message(what);
    }

    /// One more.
    pub(super) fn one(&self) {
        self.0.inc(1);
    }

    /// So many more.
    pub(super) fn more(&self, n: usize) {
        self.0.inc(n as u64);
    }

    /// One more second.
    pub(super) fn second(&self, second: &Second, findings: u64) {
        self.0.inc(1);
        let (amendments, deliveries) = (second.amendments, second.deliveries);
        let latency = second
            .p99_ms
            .map_or(String::new(), |p99| format!(", p99 {p99:.1} ms"));
        self.0.set_message(format!(
            "seconds: {amendments} amendments/s, {deliveries} deliveries/s{latency}, {findings} findings"
        ));
    }

    /// The line goes.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
