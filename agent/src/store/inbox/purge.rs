//! Sees to it that nothing is left in the inbox's files of what was removed: not in tables, not in the gaps of
//! pages, not in the write-ahead log. Only then is a withdrawal confirmed.
//!
//! Order: every output has carried the removals out → their names leave the queue and closed letters → gaps are
//! zeroed → the log is emptied → this is entered. Whatever is interrupted is begun anew; all of it is
//! safe to do again.

use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tokio::time::{Instant, sleep};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    letters,
    open::Inbox,
};

/// A purge rests for this many times as long as it took, so that a large file is not read over and over.
const REST_FACTOR: u32 = 9;

/// What is removed without a withdrawal is purged no more often than this.
const ORDINARY_EVERY: Duration = Duration::from_secs(60);

/// How often what is removed without a withdrawal is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// When the next purge may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rests_until: Option<Instant>,
    ordinary_at: Option<Instant>,
}

/// What a purge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purged {
    /// There is nothing that it could do.
    Nothing,
    /// It was done.
    Done,
    /// To be tried again: it rests, or a reader is in the way.
    Later,
}

impl Inbox {
    /// Purges what waits for it, if its time has come.
    pub(super) async fn purge(&self) -> Result<Purged, InboxError> {
        let mut pace = self.0.pace.lock().await;
        let Some((through, withdrawals)) = self.to_purge().await? else {
            return Ok(Purged::Nothing);
        };
        let begun = Instant::now();
        let rests = pace.rests_until.is_some_and(|at| begun < at);
        let waits = !withdrawals && pace.ordinary_at.is_some_and(|at| begun < at + ORDINARY_EVERY);
        if rests || waits {
            return Ok(if withdrawals {
                Purged::Later
            } else {
                Purged::Nothing
            });
        }
        pace.ordinary_at = Some(begun);
        self.forget_names(through).await?;
        let pages = self.scrub().await?;
        let emptied = self.empty_log(through).await?;
        pace.rests_until = Some(Instant::now() + begun.elapsed() * REST_FACTOR);
        tracing::debug!(pages, emptied, "purged what was removed from the inbox's files");
        Ok(if emptied { Purged::Done } else { Purged::Later })
    }

    /// Purges for ever what nobody waits for. A fault is no reason to end: it comes again, or the writer meets it.
    pub async fn keep_clean(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            if let Err(error) = self.purge().await {
                tracing::debug!(%error, "the inbox could not be purged; it is tried again");
            }
        }
    }

    /// Up to which change there is something to purge that no output needs any more, and whether a withdrawal
    /// waits for it.
    async fn to_purge(&self) -> Result<Option<(u64, bool)>, InboxError> {
        let residue = self.writer().await?.state.residue;
        let row = sqlx::query(
            "SELECT coalesce((SELECT min(position) FROM output), m.last_change) AS through, \
             (SELECT min(change_no) FROM withdrawal WHERE purged = 0 AND removed > 0) AS withdrawal \
             FROM meta AS m",
        )
        .fetch_one(self.readers())
        .await?;
        let through = unsigned(&row, "through")?;
        let withdrawal: Option<i64> = row.try_get("withdrawal")?;
        let withdrawal = withdrawal.is_some_and(|at| at.unsigned_abs() <= through);
        let names = letters::have_names_left(self).await?;
        let due = withdrawal || names || (residue > 0 && residue <= through);
        Ok(due.then_some((through, withdrawal)))
    }

    /// Drops the names of removed records from what every output has carried out, and from closed letters.
    async fn forget_names(&self, through: u64) -> Result<(), InboxError> {
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM change WHERE number <= ?1")
            .bind(count(through))
            .execute(&mut *tx)
            .await?;
        letters::forget_names(&mut tx).await?;
        tx.commit().await?;
        writer.clean = true;
        Ok(())
    }

    /// Empties the write-ahead log, and enters what is purged with it. False where a reader is in the way.
    async fn empty_log(&self, through: u64) -> Result<bool, InboxError> {
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        if !Self::truncate_log(writer).await? {
            return Ok(false);
        }
        let state = &mut writer.state;
        let residue = if state.residue <= through {
            0
        } else {
            state.residue
        };
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE withdrawal SET purged = 1 WHERE purged = 0 AND change_no <= ?1")
            .bind(count(through))
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE meta SET residue = ?1")
            .bind(count(residue))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        writer.state.residue = residue;
        writer.clean = true;
        Ok(true)
    }
}
