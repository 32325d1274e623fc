//! Ending what has run out: halves with an end, and emergency accesses.

use super::{database::Database, fault::fault, grants, values::Columns};
use crate::{
    consent::Pair,
    store::{HalfOutcome, StoreError, With},
};

/// The pairs of which something in force has run out at `?1`.
pub(super) const RUN_OUT: &str = "
    SELECT DISTINCT g.source, g.recipient
    FROM sharing_grant AS g
    JOIN agreement AS a ON a.source = g.source AND a.recipient = g.recipient
    WHERE g.ended_at IS NULL
      AND (g.until <= ?1 OR a.out_ends_at <= ?1 OR (g.patient IS NULL AND a.in_ends_at <= ?1))
    ORDER BY g.source, g.recipient";

/// Ends every grant that has run out. Where there is none, and nothing to enter, nothing is written.
pub(super) async fn end(main: &Database, now: i64, with: &With) -> Result<Vec<HalfOutcome>, StoreError> {
    let due = pairs(main.readers(), now).await?;
    if due.is_empty() && with.is_nothing() {
        return Ok(Vec::new());
    }
    let mut write = main.write().await?;
    let result = async {
        let mut outcomes = Vec::new();
        for pair in pairs(&mut *write.conn(), now).await? {
            outcomes.push(grants::settle(write.conn(), pair, now).await?);
        }
        Ok(outcomes)
    }
    .await;
    write.finish_with_what_it_did(result, with, now).await
}

async fn pairs<'e>(executor: impl sqlx::SqliteExecutor<'e>, now: i64) -> Result<Vec<Pair>, StoreError> {
    let rows = sqlx::query(RUN_OUT)
        .bind(now)
        .fetch_all(executor)
        .await
        .map_err(fault)?;
    rows.iter().map(Columns::pair).collect()
}
