//! What is to be confirmed: withdrawals, and jobs over a patient or over changes with what they removed. One is
//! confirmed when every output has carried it out, and nothing of it is left in this file or its write-ahead
//! log; where nothing was removed, at once.

use super::{columns::unsigned, error::InboxError, open::Inbox, purge::Purged};

/// Confirmations in one list.
const MAX_LIST: i64 = 256;

/// Confirmations older than this are not repeated any more: 7 days in milliseconds.
const REPEATED_FOR_MS: i64 = 7 * 24 * 3600 * 1000;

/// A withdrawal that was carried out everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The withdrawal, or the job.
    pub job: u64,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
}

/// What may be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confirmations {
    /// These.
    pub list: Vec<Confirmation>,
    /// There are more.
    pub more: bool,
    /// Something is to be purged first: to be asked for again by and by.
    pub later: bool,
}

impl Inbox {
    /// What may be confirmed: what is not confirmed yet, and with `repeat` also the recent ones that were
    /// (the daemon takes a repeat for what it is).
    pub async fn confirmations(&self, repeat: bool) -> Result<Confirmations, InboxError> {
        let purged = self.purge().await?;
        // Of a whole source whatever could not be deleted counts, of some of its records only theirs.
        let rows = sqlx::query(
            "SELECT w.job, w.removed, (SELECT count(*) FROM dead_letter AS d WHERE d.source_id = w.source_id \
             AND d.op = 'delete' AND (d.state = 'refused' AND (w.partial = 0 OR d.job = w.job) \
             OR d.state = 'discarded' AND d.job = w.job)) AS not_removed FROM withdrawal AS w \
             WHERE (w.confirmed_at IS NULL OR ?1) AND NOT EXISTS (SELECT 1 FROM output AS o WHERE o.resync = 1) \
             AND (w.removed = 0 AND w.partial = 1 OR (w.purged = 1 OR w.removed = 0) \
             AND NOT EXISTS (SELECT 1 FROM output AS o WHERE o.position < w.change_no) \
             AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.source_id = w.source_id AND d.op = 'delete' \
             AND d.state = 'waiting' AND (w.partial = 0 OR d.job = w.job))) \
             ORDER BY w.confirmed_at IS NOT NULL, w.job DESC LIMIT ?2",
        )
        .bind(repeat)
        .bind(MAX_LIST)
        .fetch_all(self.readers())
        .await?;
        let list: Result<Vec<_>, InboxError> = rows
            .iter()
            .map(|row| {
                Ok(Confirmation {
                    job: unsigned(row, "job")?,
                    removed: unsigned(row, "removed")?,
                    not_removed: unsigned(row, "not_removed")?,
                })
            })
            .collect();
        let full = i64::try_from(rows.len()).is_ok_and(|n| n >= MAX_LIST);
        Ok(Confirmations {
            list: list?,
            more: full && !repeat,
            later: purged == Purged::Later,
        })
    }

    /// Enters that these were confirmed. What removed nothing is forgotten with it.
    pub async fn confirmed(&self, jobs: &[u64]) -> Result<(), InboxError> {
        let now = self.now();
        let mut writer = self.writer().await?;
        sqlx::query(
            "UPDATE withdrawal SET confirmed_at = ?2 WHERE confirmed_at IS NULL \
             AND job IN (SELECT value FROM json_each(?1))",
        )
        .bind(format!("{jobs:?}"))
        .bind(now)
        .execute(&mut writer.conn)
        .await?;
        sqlx::query(
            "DELETE FROM withdrawal WHERE confirmed_at < ?1 \
             OR confirmed_at IS NOT NULL AND removed = 0 AND partial = 1",
        )
        .bind(now - REPEATED_FOR_MS)
        .execute(&mut writer.conn)
        .await?;
        Ok(())
    }
}
