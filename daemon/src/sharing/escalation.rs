//! Escalates alerts that nobody reviewed in time: auditors and the operator then see them too, without
//! anything that identifies a person.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::{ActError, Context};
use crate::store::With;

/// How long it sleeps at most where nothing wakes it.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Escalates alerts that nobody reviewed in time.
pub struct Escalation {
    ctx: Context,
    after_ms: i64,
    changes: watch::Receiver<u64>,
}

impl Escalation {
    /// Alerts are escalated so many milliseconds after they were raised.
    pub fn new(ctx: Context, after_ms: i64) -> Self {
        Self {
            changes: ctx.changes.subscribe(),
            ctx,
            after_ms,
        }
    }

    /// Looks whenever one may be due, for ever. Cancellation-safe: what was not committed is found again.
    pub async fn run(mut self) {
        loop {
            self.changes.mark_unchanged();
            let next = match self.look().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for alerts that nobody reviewed");
                    None
                }
            };
            let wait = self.wait(next);
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.changes.changed() => if changed.is_err() {
                    // Nothing wakes it any more: the daemon is ending.
                    sleep(wait).await;
                },
            }
        }
    }

    fn wait(&self, next: Option<i64>) -> Duration {
        let ms = next.map_or(i64::MAX, |at| at.saturating_sub(self.ctx.clock.now_ms()));
        Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK_AT_LEAST_EVERY)
    }

    /// Escalates what is due; when the next one is.
    pub(super) async fn look(&self) -> Result<Option<i64>, ActError> {
        let now = self.ctx.clock.now_ms();
        let due = |oldest: i64| oldest.saturating_add(self.after_ms);
        let oldest = self.ctx.store.oldest_open().await?;
        if oldest.is_none_or(|oldest| due(oldest) > now) {
            return Ok(oldest.map(due));
        }
        // One millisecond further: `escalate` takes those raised before a moment.
        let raised_before = now.saturating_sub(self.after_ms).saturating_add(1);
        let escalated = self
            .ctx
            .store
            .escalate(raised_before, now, &With::nothing())
            .await?;
        if !escalated.is_empty() {
            tracing::warn!(alerts = escalated.len(), "alerts were not reviewed in time");
            self.ctx.changes.notify();
        }
        Ok(self.ctx.store.oldest_open().await?.map(due))
    }
}
