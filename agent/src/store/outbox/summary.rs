//! Counts for `status`, and reads of single records.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use handfast_proto::ids::RecordId;
use sqlx::{Row as _, SqliteConnection};

use super::{
    OutboxError, WaitReason,
    model::{Disk, HeldRecord, Summary},
    schema::count,
    shared::Shared,
    statements,
};

/// How the outbox stands.
pub(super) async fn summary(conn: &mut SqliteConnection, shared: &Shared) -> Result<Summary, OutboxError> {
    let standing = shared.standing();
    let acked = shared.wanted().clamp(standing.acked_seq, standing.last_seq);
    let mut waiting = BTreeMap::new();
    for row in sqlx::query("SELECT reason, count(*) AS n FROM waiting GROUP BY reason")
        .fetch_all(&mut *conn)
        .await?
    {
        let reason = WaitReason::from_stored(row.try_get("reason")?);
        waiting.insert(reason.name().to_owned(), count(&row, "n")?);
    }
    let marked = sqlx::query(
        "SELECT ifnull(sum(private), 0) AS private, ifnull(sum(restricted AND doubt = 0), 0) AS restricted FROM record
         WHERE held = 1 AND (private = 1 OR restricted = 1)",
    )
    .fetch_one(&mut *conn)
    .await?;
    let records: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM record INDEXED BY record_patient WHERE held = 1)
             - (SELECT count(*) FROM record INDEXED BY record_statement WHERE statement IS NOT NULL)",
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut held_back = BTreeMap::new();
    for row in sqlx::query("SELECT doubt, count(*) AS n FROM record WHERE doubt <> 0 GROUP BY doubt")
        .fetch_all(&mut *conn)
        .await?
    {
        let reason = WaitReason::from_stored(row.try_get("doubt")?);
        held_back.insert(reason.name().to_owned(), count(&row, "n")?);
    }
    Ok(Summary {
        store_id: standing.store.to_string(),
        last_seq: standing.last_seq,
        acked_seq: acked,
        unacknowledged: standing.last_seq - acked,
        records: u64::try_from(records).unwrap_or(0),
        waiting,
        private: count(&marked, "private")?,
        restricted: count(&marked, "restricted")?,
        held_back,
        statements: statements::counts(conn, acked).await?,
        echoes: standing.echoes + shared.echoes.load(Ordering::Relaxed),
        rejected: standing.rejected + shared.rejected.load(Ordering::Relaxed),
        older: standing.older,
        rebased: standing.rebased,
        resending: standing.resend_after.is_some(),
        disk: match &*shared.disk.borrow() {
            Disk::Ok => String::new(),
            Disk::Full => "full; make room, the outbox goes on by itself".to_owned(),
            Disk::Failing(why) => why.clone(),
        },
    })
}

/// The current version of a record; `None`: never held. The report of a view is passed on, and not held.
pub(super) async fn record(
    conn: &mut SqliteConnection,
    record: &RecordId,
) -> Result<Option<HeldRecord>, OutboxError> {
    let row = sqlx::query(
        "SELECT version, held, recorded_at, payload FROM record WHERE name = ? AND version > 0
             AND (statement IS NULL OR number IS NULL)",
    )
    .bind(record.as_str().to_owned())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let payload: Vec<u8> = row.try_get("payload")?;
    let live: bool = row.try_get("held")?;
    Ok(Some(HeldRecord {
        version: count(&row, "version")?,
        recorded_at: row.try_get("recorded_at")?,
        payload: live.then(|| payload.into()),
    }))
}
