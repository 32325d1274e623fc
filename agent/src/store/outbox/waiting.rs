//! Versions whose patient is not known yet: rows of table `waiting`, one a record.

use handfast_proto::ids::{NhsNumber, RecordId};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    OutboxError, WaitReason,
    records::{Candidate, category, text},
};
use crate::codec::fhir::PatientLink;

/// What waits of a record, without its payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) last_updated: Option<i64>,
}

/// Under which key an entry waits.
pub(super) fn key(link: &PatientLink) -> String {
    match link {
        PatientLink::Id(id) => id.clone(),
        PatientLink::Number(number) => number_key(*number),
    }
}

/// The key of entries that name an NHS number. No id contains `#`.
pub(super) fn number_key(number: NhsNumber) -> String {
    format!("#{}", number.as_u64())
}

/// What waits of a record.
pub(super) async fn find(conn: &mut SqliteConnection, name: &str) -> Result<Option<Head>, OutboxError> {
    let row = sqlx::query("SELECT id, last_updated FROM waiting WHERE name = ?")
        .bind(name.to_owned())
        .fetch_optional(conn)
        .await?;
    row.map(|row| {
        Ok(Head {
            id: row.try_get("id")?,
            last_updated: row.try_get("last_updated")?,
        })
    })
    .transpose()
}

/// Lets a version wait; one of the same record keeps its place in the order.
pub(super) async fn put(
    conn: &mut SqliteConnection,
    candidate: &Candidate,
    key: &str,
    reason: WaitReason,
) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO waiting (name, patient_key, reason, category, private, digest, last_updated, recorded_at,
             author, content_type, payload, statement)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET patient_key = excluded.patient_key, reason = excluded.reason,
             category = excluded.category, private = excluded.private, digest = excluded.digest,
             last_updated = excluded.last_updated, recorded_at = excluded.recorded_at,
             author = excluded.author, content_type = excluded.content_type, payload = excluded.payload,
             statement = excluded.statement",
    )
    .bind(candidate.record.as_str().to_owned())
    .bind(key.to_owned())
    .bind(reason as i64)
    .bind(candidate.category as i32)
    .bind(candidate.private)
    .bind(candidate.digest.to_vec())
    .bind(candidate.last_updated)
    .bind(candidate.recorded_at)
    .bind(candidate.author.as_str().to_owned())
    .bind(candidate.content_type.as_str().to_owned())
    .bind(candidate.payload.to_vec())
    .bind(candidate.statement.as_ref().map(|s| s.to_vec()))
    .execute(conn)
    .await?;
    Ok(())
}

/// It waits no more.
pub(super) async fn remove(conn: &mut SqliteConnection, id: i64) -> Result<(), OutboxError> {
    sqlx::query("DELETE FROM waiting WHERE id = ?")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The first that waits under a key, in the order in which they came; of what speaks to the daemon alone
/// where that is asked for.
pub(super) async fn first(
    conn: &mut SqliteConnection,
    key: &str,
    only_said: bool,
) -> Result<Option<(i64, Candidate)>, OutboxError> {
    let row = sqlx::query(
        "SELECT * FROM waiting WHERE patient_key = ?1 AND (?2 = 0 OR statement IS NOT NULL) ORDER BY id LIMIT 1",
    )
    .bind(key.to_owned())
    .bind(only_said)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(candidate).transpose()
}

/// Whether anything but a Patient itself waits for that Patient.
pub(super) async fn is_awaited(conn: &mut SqliteConnection, patient: &RecordId) -> Result<bool, OutboxError> {
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM waiting WHERE patient_key = ? AND name <> ? AND name NOT LIKE 'AuditEvent/%')",
    )
    .bind(patient.id().to_owned())
    .bind(patient.as_str().to_owned())
    .fetch_one(conn)
    .await?;
    Ok(found)
}

fn candidate(row: &SqliteRow) -> Result<(i64, Candidate), OutboxError> {
    let damaged = |what: &str| OutboxError::Damaged(format!("the {what} of a waiting record is invalid"));
    let name: String = row.try_get("name")?;
    let digest: Vec<u8> = row.try_get("digest")?;
    let payload: Vec<u8> = row.try_get("payload")?;
    let statement: Option<Vec<u8>> = row.try_get("statement")?;
    let candidate = Candidate {
        record: name.parse().map_err(|_| damaged("name"))?,
        category: category(row.try_get("category")?).ok_or_else(|| damaged("category"))?,
        private: row.try_get("private")?,
        digest: digest.try_into().map_err(|_| damaged("digest"))?,
        last_updated: row.try_get("last_updated")?,
        recorded_at: row.try_get("recorded_at")?,
        author: text(row, "author")?,
        content_type: text(row, "content_type")?,
        payload: payload.into(),
        statement: statement.map(Into::into),
    };
    Ok((row.try_get("id")?, candidate))
}

/// They go on waiting, for another reason.
pub(super) async fn set_reason(
    conn: &mut SqliteConnection,
    key: &str,
    reason: WaitReason,
) -> Result<(), OutboxError> {
    sqlx::query("UPDATE waiting SET reason = ?1 WHERE patient_key = ?2 AND reason <> ?1")
        .bind(reason as i64)
        .bind(key.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// How many wait.
pub(super) async fn count(conn: &mut SqliteConnection) -> Result<u64, OutboxError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM waiting")
        .fetch_one(conn)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}
