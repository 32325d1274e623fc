//! Escalates alerts that nobody reviewed in time: auditors and the operator then see them too, without
//! anything that identifies a person.

use std::time::Duration;

use handfast_proto::v1::AlertStep;
use tokio::{sync::watch, time::sleep};

use super::{ActError, Context};
use crate::{
    audit::{Actor, events::Alerted},
    store::{AlertId, AlertRow, With},
};

/// How long it sleeps at most where nothing wakes it.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Alerts that are escalated in one transaction.
const BATCH: u32 = 100;

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
        loop {
            let now = self.ctx.clock.now_ms();
            // The first that is not due yet tells when to look again.
            let waiting = self.ctx.store.not_escalated(BATCH).await?;
            let is_due = |row: &&AlertRow| row.alert.at.saturating_add(self.after_ms) <= now;
            let due: Vec<&AlertRow> = waiting.iter().take_while(is_due).collect();
            if due.is_empty() {
                return Ok(waiting
                    .first()
                    .map(|row| row.alert.at.saturating_add(self.after_ms)));
            }
            match self.escalate(&due, now).await {
                Ok(()) => {
                    tracing::warn!(alerts = due.len(), "alerts were not reviewed in time");
                    self.ctx.changes.notify();
                }
                // One was reviewed at this very moment: look again.
                Err(ActError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn escalate(&self, due: &[&AlertRow], now: i64) -> Result<(), ActError> {
        let entry = |row: &&AlertRow| {
            let event = Alerted {
                step: AlertStep::Escalated,
                kind: (row.alert.kind as i32).unsigned_abs(),
                alert: row.id.0,
                unit: row.alert.unit,
                source: row.alert.source,
                patient: row.alert.patient,
                justified: false,
                note: "",
            };
            self.ctx.audit.entry(now, &Actor::Daemon, &event)
        };
        let with = With::audit(due.iter().map(entry).collect::<Result<_, _>>()?);
        let ids: Vec<AlertId> = due.iter().map(|row| row.id).collect();
        Ok(self.ctx.store.escalate(&ids, now, &with).await?)
    }
}
