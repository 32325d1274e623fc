//! The current version of each record: rows of table `record`.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject, Text},
    ids::{NhsNumber, RecordId},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    OutboxError, WaitReason,
    schema::{count, stored},
};

/// A version on its way into the table, with everything but its patient.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) record: RecordId,
    pub(super) category: Category,
    pub(super) private: bool,
    pub(super) digest: [u8; 32],
    pub(super) last_updated: Option<i64>,
    pub(super) recorded_at: i64,
    pub(super) author: Text,
    pub(super) content_type: Text,
    pub(super) payload: Bytes,
    /// What it says to the daemon, encoded; then it is no record.
    pub(super) statement: Option<Bytes>,
}

/// What is held of a record, without its payload.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) id: i64,
    pub(super) version: u64,
    /// False: a tombstone.
    pub(super) live: bool,
    /// It speaks to the daemon: no record, and never sent as one.
    pub(super) said: bool,
    pub(super) patient_id: Option<String>,
    pub(super) subject: Option<Subject>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) last_updated: Option<i64>,
}

const HEAD: &str = "id, version, held, statement IS NOT NULL AS said, patient_id, number, category, private, restricted, \
     digest, last_updated";

/// What is held of a record; `None`: never heard of.
pub(super) async fn find(
    conn: &mut SqliteConnection,
    record: &RecordId,
) -> Result<Option<Held>, OutboxError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {HEAD} FROM record WHERE name = ?"
    )))
    .bind(record.as_str().to_owned())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(held).transpose()
}

fn held(row: &SqliteRow) -> Result<Held, OutboxError> {
    let digest: Option<Vec<u8>> = row.try_get("digest")?;
    Ok(Held {
        id: row.try_get("id")?,
        version: count(row, "version")?,
        live: row.try_get("held")?,
        said: row.try_get("said")?,
        patient_id: row.try_get("patient_id")?,
        subject: subject(row)?,
        digest: digest.and_then(|d| d.try_into().ok()),
        last_updated: row.try_get("last_updated")?,
    })
}

fn subject(row: &SqliteRow) -> Result<Option<Subject>, OutboxError> {
    let number: Option<i64> = row.try_get("number")?;
    let category_code: Option<i32> = row.try_get("category")?;
    let (Some(number), Some(code)) = (number, category_code) else {
        return Ok(None);
    };
    let patient = u64::try_from(number)
        .ok()
        .and_then(|n| NhsNumber::from_u64(n).ok());
    let (Some(patient), Some(category)) = (patient, category(code)) else {
        return Err(OutboxError::Damaged(
            "a record has no valid patient or category".to_owned(),
        ));
    };
    Ok(Some(Subject {
        patient,
        category,
        confidentiality: marks(row.try_get("private")?, row.try_get("restricted")?),
    }))
}

/// A category out of its stored code.
pub(super) fn category(code: i32) -> Option<Category> {
    Category::try_from(code)
        .ok()
        .filter(|c| *c != Category::Unspecified)
}

/// Both marks as bits.
pub(super) fn marks(private: bool, restricted: bool) -> Confidentiality {
    let mut marks = Confidentiality::NORMAL;
    if private {
        marks = marks.and(Confidentiality::PRIVATE);
    }
    if restricted {
        marks = marks.and(Confidentiality::RESTRICTED);
    }
    marks
}

/// Makes this the version held.
pub(super) async fn put(
    conn: &mut SqliteConnection,
    candidate: &Candidate,
    version: u64,
    patient_id: &str,
    subject: &Subject,
) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO record (name, version, held, patient_id, number, category, private, restricted, digest,
             last_updated, recorded_at, author, content_type, payload)
         VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, held = 1,
             patient_id = excluded.patient_id, number = excluded.number, category = excluded.category,
             private = excluded.private, restricted = excluded.restricted, digest = excluded.digest,
             last_updated = excluded.last_updated, recorded_at = excluded.recorded_at,
             author = excluded.author, content_type = excluded.content_type, payload = excluded.payload,
             statement = NULL, doubt = 0",
    )
    .bind(candidate.record.as_str().to_owned())
    .bind(stored(version))
    .bind(patient_id.to_owned())
    .bind(stored(subject.patient.as_u64()))
    .bind(subject.category as i32)
    .bind(subject.confidentiality.is_private())
    .bind(subject.confidentiality.is_restricted())
    .bind(candidate.digest.to_vec())
    .bind(candidate.last_updated)
    .bind(candidate.recorded_at)
    .bind(candidate.author.as_str().to_owned())
    .bind(candidate.content_type.as_str().to_owned())
    .bind(candidate.payload.to_vec())
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes this the version held of what speaks to the daemon. Without a category, so that it is no amendment
/// of anything; `number`: of whom a view was.
pub(super) async fn put_said(
    conn: &mut SqliteConnection,
    candidate: &Candidate,
    version: u64,
    (patient_id, number): (Option<&str>, Option<NhsNumber>),
    statement: &[u8],
) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO record (name, version, held, patient_id, number, private, restricted, digest,
             last_updated, recorded_at, author, content_type, payload, statement)
         VALUES (?, ?, 1, ?, ?, 0, 0, ?, ?, ?, '', ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, held = 1,
             patient_id = excluded.patient_id, number = excluded.number, category = NULL, private = 0,
             restricted = 0,
             doubt = 0, digest = excluded.digest, last_updated = excluded.last_updated,
             recorded_at = excluded.recorded_at, author = '', content_type = excluded.content_type,
             payload = excluded.payload, statement = excluded.statement",
    )
    .bind(candidate.record.as_str().to_owned())
    .bind(stored(version))
    .bind(patient_id.map(str::to_owned))
    .bind(number.map(|n| stored(n.as_u64())))
    .bind(candidate.digest.to_vec())
    .bind(candidate.last_updated)
    .bind(candidate.recorded_at)
    .bind(candidate.content_type.as_str().to_owned())
    .bind(candidate.payload.to_vec())
    .bind(statement.to_vec())
    .execute(conn)
    .await?;
    Ok(())
}

/// Turns a record into a tombstone, or makes one of what was never held.
pub(super) async fn entomb(
    conn: &mut SqliteConnection,
    record: &RecordId,
    version: u64,
    last_updated: Option<i64>,
    recorded_at: i64,
) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO record (name, version, held, private, restricted, last_updated, recorded_at, author,
             content_type, payload)
         VALUES (?, ?, 0, 0, 0, ?, ?, '', '', x'')
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, held = 0, digest = NULL,
             last_updated = max(ifnull(last_updated, excluded.last_updated),
                                ifnull(excluded.last_updated, last_updated)),
             recorded_at = excluded.recorded_at, author = '', payload = x'', statement = NULL, doubt = 0",
    )
    .bind(record.as_str().to_owned())
    .bind(stored(version))
    .bind(last_updated)
    .bind(recorded_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A repeat of what is held carries a newer time: what is older than that is older.
pub(super) async fn touch(
    conn: &mut SqliteConnection,
    id: i64,
    last_updated: i64,
) -> Result<(), OutboxError> {
    sqlx::query("UPDATE record SET last_updated = ? WHERE id = ?")
        .bind(last_updated)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A record is another patient's now, or nothing of its patient is to leave any more, or may again.
pub(super) async fn realign(
    conn: &mut SqliteConnection,
    id: i64,
    patient: NhsNumber,
    restricted: bool,
) -> Result<(), OutboxError> {
    sqlx::query("UPDATE record SET number = ?, restricted = ? WHERE id = ?")
        .bind(stored(patient.as_u64()))
        .bind(restricted)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The records of a Patient that were last sent with another number (where one is given) or mark.
pub(super) async fn misaligned(
    conn: &mut SqliteConnection,
    patient_id: &str,
    number: Option<NhsNumber>,
    restricted: bool,
) -> Result<Vec<i64>, OutboxError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM record WHERE patient_id = ?1 AND held = 1 AND statement IS NULL
         AND (restricted <> ?3 OR (?2 IS NOT NULL AND number <> ?2)) ORDER BY id",
    )
    .bind(patient_id.to_owned())
    .bind(number.map(|n| stored(n.as_u64())))
    .bind(restricted)
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Enters why the records of a Patient are held back; `None`: they are not.
pub(super) async fn set_doubt(
    conn: &mut SqliteConnection,
    patient_id: &str,
    doubt: Option<WaitReason>,
) -> Result<(), OutboxError> {
    sqlx::query(
        "UPDATE record SET doubt = ?2 WHERE patient_id = ?1 AND held = 1 AND statement IS NULL AND doubt <> ?2",
    )
    .bind(patient_id.to_owned())
    .bind(doubt.map_or(0, |reason| reason as i64))
    .execute(conn)
    .await?;
    Ok(())
}

/// The numbers under which records of a Patient were last sent, but for this one.
pub(super) async fn other_numbers(
    conn: &mut SqliteConnection,
    patient_id: &str,
    number: NhsNumber,
) -> Result<Vec<NhsNumber>, OutboxError> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT number FROM record WHERE patient_id = ? AND held = 1 AND number <> ? ORDER BY number",
    )
    .bind(patient_id.to_owned())
    .bind(stored(number.as_u64()))
    .fetch_all(conn)
    .await?;
    found.into_iter().map(nhs_number).collect()
}

/// A number out of its stored form.
pub(super) fn nhs_number(stored: i64) -> Result<NhsNumber, OutboxError> {
    let number = u64::try_from(stored)
        .ok()
        .and_then(|n| NhsNumber::from_u64(n).ok());
    number.ok_or_else(|| OutboxError::Damaged("an NHS number is invalid".to_owned()))
}

/// The next records after one, in the order of their ids.
pub(super) async fn after(conn: &mut SqliteConnection, id: i64, limit: u32) -> Result<Vec<i64>, OutboxError> {
    let ids = sqlx::query_scalar("SELECT id FROM record WHERE id > ? ORDER BY id LIMIT ?")
        .bind(id)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(ids)
}

/// A record as it would be sent now: an `Amend` of what is held, a `Retract` of a tombstone. `None`: there
/// is no such record, or it was never sent.
pub(super) async fn amendment(
    conn: &mut SqliteConnection,
    id: i64,
) -> Result<Option<Amendment>, OutboxError> {
    let row = sqlx::query("SELECT * FROM record WHERE id = ? AND statement IS NULL")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let Some(subject) = subject(&row)? else {
        return Ok(None);
    };
    let name: String = row.try_get("name")?;
    let record = name
        .parse()
        .map_err(|_| OutboxError::Damaged("a record's name is invalid".to_owned()))?;
    let live: bool = row.try_get("held")?;
    let stays = subject.confidentiality != Confidentiality::NORMAL;
    let payload: Vec<u8> = if live && !stays {
        row.try_get("payload")?
    } else {
        Vec::new()
    };
    Ok(Some(Amendment {
        op: if live { Op::Amend } else { Op::Retract },
        record,
        subject: Some(subject),
        former: None,
        // Who recorded what is not to leave may already say what it is about.
        author: if stays {
            Text::default()
        } else {
            text(&row, "author")?
        },
        recorded_at: row.try_get("recorded_at")?,
        content_type: text(&row, "content_type")?,
        payload: payload.into(),
    }))
}

/// A view that was reported since a moment: its report, of whom, and what it says.
pub(super) async fn view_since(
    conn: &mut SqliteConnection,
    id: i64,
    since: i64,
) -> Result<Option<(RecordId, NhsNumber, Bytes)>, OutboxError> {
    let row: Option<(String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT name, number, statement FROM record WHERE id = ? AND held = 1 AND statement IS NOT NULL
         AND number IS NOT NULL AND recorded_at >= ?",
    )
    .bind(id)
    .bind(since)
    .fetch_optional(conn)
    .await?;
    row.map(|(name, number, statement)| {
        let record = name
            .parse()
            .map_err(|_| OutboxError::Damaged("a record's name is invalid".to_owned()))?;
        Ok((record, nhs_number(number)?, statement.into()))
    })
    .transpose()
}

/// A short text out of a column.
pub(super) fn text(row: &SqliteRow, column: &str) -> Result<Text, OutboxError> {
    let raw: String = row.try_get(column)?;
    Ok(Text::new(raw).unwrap_or_default())
}
