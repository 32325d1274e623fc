//! What recipients could not write. Only what is unresolved is kept.

use sqlx::SqliteConnection;

use super::{
    database::Database,
    fault::fault,
    units,
    values::{Columns, int},
};
use crate::{
    consent::Pair,
    store::{DeadLetterRow, StoreError},
};

/// Records what a recipient says of a dead letter; the last word counts.
pub(super) async fn record(main: &Database, letter: &DeadLetterRow, at: i64) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = keep(write.conn(), letter, at).await;
    write.finish(result).await
}

async fn keep(conn: &mut SqliteConnection, letter: &DeadLetterRow, at: i64) -> Result<(), StoreError> {
    let Pair { source, recipient } = letter.pair;
    let seq = int(letter.seq)?;
    for ods in [source, recipient] {
        units::state_of(conn, ods).await?;
    }
    if letter.resolved {
        sqlx::query("DELETE FROM dead_letter WHERE source = ?1 AND recipient = ?2 AND seq = ?3")
            .bind(source.as_str())
            .bind(recipient.as_str())
            .bind(seq)
            .execute(conn)
            .await
            .map_err(fault)?;
        return Ok(());
    }
    let sql = "INSERT INTO dead_letter (source, recipient, seq, record, reason, at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (source, recipient, seq) DO UPDATE SET
                   record = excluded.record, reason = excluded.reason, at = excluded.at";
    sqlx::query(sql)
        .bind(source.as_str())
        .bind(recipient.as_str())
        .bind(seq)
        .bind(letter.record.as_str())
        .bind(letter.reason.as_str())
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// How many unresolved dead letters each pair has, by pair.
pub(super) async fn counts(main: &Database) -> Result<Vec<(Pair, u64)>, StoreError> {
    let sql = "SELECT source, recipient, count(*) AS letters FROM dead_letter
               GROUP BY source, recipient ORDER BY source, recipient";
    let rows = sqlx::query(sql).fetch_all(main.readers()).await.map_err(fault)?;
    rows.iter()
        .map(|row| Ok((row.pair()?, row.count("letters")?)))
        .collect()
}
