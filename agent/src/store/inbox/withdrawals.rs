//! Withdrawals that are to be confirmed: when every output has carried one out, and nothing of it is left
//! in this file or its write-ahead log.

use sqlx::Row as _;

use super::{columns::unsigned, error::InboxError, open::Inbox};

/// Confirmations sent again on each new connection; the daemon takes a repeat for what it is.
const MAX_REPEATED: i64 = 256;

/// Confirmations older than this are not repeated any more: 7 days in milliseconds.
const REPEATED_FOR_MS: i64 = 7 * 24 * 3600 * 1000;

/// A withdrawal that was carried out everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The withdrawal.
    pub job: u64,
    /// Records removed.
    pub removed: u64,
    /// Records that an output could not remove.
    pub not_removed: u64,
}

impl Inbox {
    /// The withdrawals that may be confirmed: those not confirmed yet, and with `repeat` also the recent
    /// ones that were.
    pub async fn confirmations(&self, repeat: bool) -> Result<Vec<Confirmation>, InboxError> {
        self.purge().await?;
        let rows = sqlx::query(
            "SELECT w.job, w.removed, (SELECT count(*) FROM dead_letter AS d WHERE d.source_id = w.source_id \
             AND d.op = 'delete' AND d.state = 'refused') AS not_removed FROM withdrawal AS w \
             WHERE w.purged = 1 AND (w.confirmed_at IS NULL OR ?1) \
             AND NOT EXISTS (SELECT 1 FROM output AS o WHERE o.position < w.change_no OR o.resync = 1) \
             AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.source_id = w.source_id \
             AND d.op = 'delete' AND d.state = 'waiting') ORDER BY w.job DESC LIMIT ?2",
        )
        .bind(repeat)
        .bind(MAX_REPEATED)
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Confirmation {
                    job: unsigned(row, "job")?,
                    removed: unsigned(row, "removed")?,
                    not_removed: unsigned(row, "not_removed")?,
                })
            })
            .collect()
    }

    /// Enters that these were confirmed.
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
        sqlx::query("DELETE FROM withdrawal WHERE confirmed_at < ?1")
            .bind(now - REPEATED_FOR_MS)
            .execute(&mut writer.conn)
            .await?;
        Ok(())
    }

    /// Empties the write-ahead log if something withdrawn may be left in it.
    async fn purge(&self) -> Result<(), InboxError> {
        let mut writer = self.writer().await?;
        let open: Vec<i64> = sqlx::query("SELECT job FROM withdrawal WHERE purged = 0")
            .fetch_all(&mut writer.conn)
            .await?
            .iter()
            .map(|row| row.try_get("job"))
            .collect::<Result<_, _>>()?;
        if open.is_empty() || !Self::truncate_log(&mut writer).await? {
            return Ok(());
        }
        sqlx::query("UPDATE withdrawal SET purged = 1 WHERE job IN (SELECT value FROM json_each(?1))")
            .bind(format!("{open:?}"))
            .execute(&mut writer.conn)
            .await?;
        Ok(())
    }
}
