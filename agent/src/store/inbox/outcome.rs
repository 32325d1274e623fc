//! Writes what became of a run of deliveries: records, tombstones, and the changes queued for outputs.

use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::{
    columns::{Bulk, count},
    error::InboxError,
    fold::{ChangeRow, Fold},
    model::ChangeOp,
    removed,
    rule::{Kind, Row, Touched},
    state::State,
};

/// Writes all of it within the caller's transaction.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    state: &State,
    fold: &Fold,
    now: i64,
) -> Result<(), InboxError> {
    if state.has_outputs {
        overtake(conn, &fold.changes).await?;
        queue(conn, &fold.changes, now).await?;
    }
    let written: Vec<&Row> = fold
        .rows
        .iter()
        .filter(|r| r.touched == Touched::Written)
        .collect();
    put(conn, &written).await?;
    remove(conn, state, &written, now).await?;
    super::tombstone::write(conn, &state.tags, &written).await?;
    confirm(conn, &fold.rows).await
}

async fn put(conn: &mut SqliteConnection, written: &[&Row]) -> Result<(), InboxError> {
    static UPSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO record (source_id, record, seq, version, grant_no, confirmed_job, patient_job, removed, \
             patient, category, recorded_at, content_type, payload)",
            13,
            "ON CONFLICT (source_id, record) DO UPDATE SET seq = excluded.seq, version = excluded.version, \
             grant_no = excluded.grant_no, confirmed_job = excluded.confirmed_job, \
             patient_job = excluded.patient_job, patient = excluded.patient, category = excluded.category, \
             recorded_at = excluded.recorded_at, content_type = excluded.content_type, \
             payload = excluded.payload",
        )
    });
    let held: Vec<&Row> = written.iter().copied().filter(|r| r.kind == Kind::Held).collect();
    UPSERT
        .write(conn, &held, |query, row| {
            let content = row.content.as_ref();
            query
                .bind(row.source)
                .bind(row.record.as_str().to_owned())
                .bind(count(row.seq))
                .bind(count(row.version))
                .bind(count(row.grant))
                .bind(count(row.job))
                .bind(count(row.patient_job))
                .bind(0_i64)
                .bind(content.map(|c| count(c.patient)))
                .bind(content.map(|c| c.category))
                .bind(content.map(|c| c.recorded_at))
                .bind(content.map(|c| c.content_type.clone()))
                .bind(content.map(|c| c.payload.to_vec()))
        })
        .await
}

/// Deletes the records that are held no more.
async fn remove(
    conn: &mut SqliteConnection,
    state: &State,
    written: &[&Row],
    now: i64,
) -> Result<(), InboxError> {
    let gone = written
        .iter()
        .filter(|r| r.kind == Kind::Removed && r.filed == Kind::Held)
        .map(|r| (r.source, r.record.as_str()));
    let Some(names) = names(gone)? else { return Ok(()) };
    removed::keep_named(conn, state, &names, now).await?;
    sqlx::query(
        "DELETE FROM record WHERE (source_id, record) IN \
         (SELECT k.value ->> 0, k.value ->> 1 FROM json_each(?1) AS k)",
    )
    .bind(names)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes which records a job confirmed, without touching their payloads.
async fn confirm(conn: &mut SqliteConnection, rows: &[Row]) -> Result<(), InboxError> {
    let confirmed: Vec<_> = rows
        .iter()
        .filter(|r| r.touched == Touched::Confirmed)
        .map(|r| (r.source, r.record.as_str(), r.seq, r.grant, r.job, r.patient_job))
        .collect();
    if confirmed.is_empty() {
        return Ok(());
    }
    let list = serde_json::to_string(&confirmed).map_err(|_| InboxError::Damaged("a record's name"))?;
    sqlx::query(
        "UPDATE record SET seq = k.value ->> 2, grant_no = k.value ->> 3, confirmed_job = k.value ->> 4, \
         patient_job = k.value ->> 5 FROM json_each(?1) AS k \
         WHERE source_id = k.value ->> 0 AND record = k.value ->> 1",
    )
    .bind(list)
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops what was queued and is not carried out of the records that a job to be confirmed removed.
async fn overtake(conn: &mut SqliteConnection, changes: &[ChangeRow]) -> Result<(), InboxError> {
    let removed = changes
        .iter()
        .filter(|c| c.job != 0)
        .map(|c| (c.source, c.record.as_str()));
    let Some(names) = names(removed)? else {
        return Ok(());
    };
    sqlx::query(
        "DELETE FROM change WHERE number > (SELECT min(position) FROM output) AND op IN (?2, ?3) \
         AND (source_id, record) IN (SELECT k.value ->> 0, k.value ->> 1 FROM json_each(?1) AS k)",
    )
    .bind(names)
    .bind(ChangeOp::Create.code())
    .bind(ChangeOp::Amend.code())
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues changes for the outputs.
async fn queue(conn: &mut SqliteConnection, changes: &[ChangeRow], now: i64) -> Result<(), InboxError> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO change (number, source_id, seq, op, record, version, applied_at, job)",
            8,
            "",
        )
    });
    INSERT
        .write(conn, changes, |query, c| {
            query
                .bind(count(c.number))
                .bind(c.source)
                .bind(count(c.seq))
                .bind(c.op.code())
                .bind(c.record.as_str().to_owned())
                .bind(count(c.version))
                .bind(now)
                .bind(count(c.job))
        })
        .await
}

/// Sources and records, as JSON; `None` where there are none.
fn names<'a>(list: impl Iterator<Item = (i64, &'a str)>) -> Result<Option<String>, InboxError> {
    let list: Vec<_> = list.collect();
    if list.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&list)
        .map(Some)
        .map_err(|_| InboxError::Damaged("a record's name"))
}
