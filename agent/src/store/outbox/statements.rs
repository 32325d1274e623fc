//! What was said to the daemon last: rows of table `statement`, one for each patient and side, and one for
//! each number that moved. From them it is said again should the daemon lose it.

use handfast_proto::{
    ids::{NhsNumber, RecordId},
    statement::{PatientWord, Statement, WordSide},
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    OutboxError, StatementCounts,
    records::nhs_number,
    schema::{count, stored},
};

/// The kind of a number that moved; words have that of their side.
const MOVED: i64 = 3;

const IN_FORCE: i64 = 1;
const PENDING: i64 = 2;

/// A word as it was said, about one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    /// The Consent that it came from.
    pub(super) record: RecordId,
    pub(super) word: PatientWord,
}

/// A statement to be said again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) id: i64,
    pub(super) record: RecordId,
    pub(super) number: NhsNumber,
    pub(super) statement: Statement,
}

fn kind(side: WordSide) -> i64 {
    match side {
        WordSide::ShareOut => 1,
        WordSide::ShareIn => 2,
    }
}

/// What was said last about a side of a patient.
pub(super) async fn last(
    conn: &mut SqliteConnection,
    side: WordSide,
    number: NhsNumber,
) -> Result<Option<Spoken>, OutboxError> {
    let row = sqlx::query("SELECT record, body FROM statement WHERE kind = ? AND number = ? AND former = 0")
        .bind(kind(side))
        .bind(stored(number.as_u64()))
        .fetch_optional(conn)
        .await?;
    row.as_ref()
        .map(|row| match read(row)? {
            (record, Statement::PatientWord(word)) => Ok(Spoken { record, word }),
            _ => Err(damaged()),
        })
        .transpose()
}

/// Enters a word, side by side.
pub(super) async fn put_word(
    conn: &mut SqliteConnection,
    number: NhsNumber,
    spoken: &Spoken,
    seq: u64,
) -> Result<(), OutboxError> {
    for side in &spoken.word.sides {
        let word = PatientWord {
            sides: vec![*side],
            ..spoken.word.clone()
        };
        let body = Statement::PatientWord(word).encode();
        put(conn, (kind(*side), number, 0), &spoken.record, body, seq).await?;
    }
    Ok(())
}

/// Whether it was said before that a number moved to another.
pub(super) async fn has_moved(
    conn: &mut SqliteConnection,
    former: NhsNumber,
    current: NhsNumber,
) -> Result<bool, OutboxError> {
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM statement WHERE kind = ? AND number = ? AND former = ?)",
    )
    .bind(MOVED)
    .bind(stored(current.as_u64()))
    .bind(stored(former.as_u64()))
    .fetch_one(conn)
    .await?;
    Ok(found)
}

/// Enters that a number moved to another.
pub(super) async fn put_moved(
    conn: &mut SqliteConnection,
    record: &RecordId,
    (former, current): (NhsNumber, NhsNumber),
    seq: u64,
) -> Result<(), OutboxError> {
    let body = Statement::NumberMoved { former, current }.encode();
    put(conn, (MOVED, current, former.as_u64()), record, body, seq).await
}

async fn put(
    conn: &mut SqliteConnection,
    (kind, number, former): (i64, NhsNumber, u64),
    record: &RecordId,
    body: Vec<u8>,
    seq: u64,
) -> Result<(), OutboxError> {
    sqlx::query(
        "INSERT INTO statement (kind, number, former, record, body, seq, state) VALUES (?, ?, ?, ?, ?, ?, 0)
         ON CONFLICT (kind, number, former) DO UPDATE SET record = excluded.record, body = excluded.body,
             seq = excluded.seq, state = 0",
    )
    .bind(kind)
    .bind(stored(number.as_u64()))
    .bind(stored(former))
    .bind(record.as_str().to_owned())
    .bind(body)
    .bind(stored(seq))
    .execute(conn)
    .await?;
    Ok(())
}

/// It was said again.
pub(super) async fn said_again(conn: &mut SqliteConnection, id: i64, seq: u64) -> Result<(), OutboxError> {
    sqlx::query("UPDATE statement SET seq = ?, state = 0 WHERE id = ?")
        .bind(stored(seq))
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The next statements after one, in the order of their ids.
pub(super) async fn after(
    conn: &mut SqliteConnection,
    id: i64,
    limit: u32,
) -> Result<Vec<Again>, OutboxError> {
    let rows = sqlx::query("SELECT id, number, record, body FROM statement WHERE id > ? ORDER BY id LIMIT ?")
        .bind(id)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let (record, statement) = read(row)?;
            Ok(Again {
                id: row.try_get("id")?,
                record,
                number: nhs_number(row.try_get("number")?)?,
                statement,
            })
        })
        .collect()
}

/// The daemon says that a statement is in force, or that this is pending. Of one that was said anew since,
/// this says nothing.
pub(super) async fn confirm(conn: &mut SqliteConnection, seq: u64, pending: bool) -> Result<(), OutboxError> {
    sqlx::query("UPDATE statement SET state = ?1 WHERE seq = ?2 AND state <> ?3")
        .bind(if pending { PENDING } else { IN_FORCE })
        .bind(stored(seq))
        .bind(IN_FORCE)
        .execute(conn)
        .await?;
    Ok(())
}

/// The daemon says that every statement up to a seq is in force.
pub(super) async fn confirm_through(conn: &mut SqliteConnection, seq: u64) -> Result<(), OutboxError> {
    if seq == 0 {
        return Ok(());
    }
    sqlx::query("UPDATE statement SET state = ?1 WHERE seq BETWEEN 1 AND ?2 AND state <> ?1")
        .bind(IN_FORCE)
        .bind(stored(seq))
        .execute(conn)
        .await?;
    Ok(())
}

/// How the newest statements stand; those up to `acked` are the daemon's.
pub(super) async fn counts(conn: &mut SqliteConnection, acked: u64) -> Result<StatementCounts, OutboxError> {
    let row = sqlx::query(
        "SELECT ifnull(sum(state = 0 AND seq > ?1), 0) AS queued,
             ifnull(sum(state = 0 AND seq <= ?1), 0) AS acknowledged, ifnull(sum(state = 2), 0) AS pending,
             ifnull(sum(state = 1), 0) AS in_force FROM statement",
    )
    .bind(stored(acked))
    .fetch_one(conn)
    .await?;
    Ok(StatementCounts {
        queued: count(&row, "queued")?,
        acknowledged: count(&row, "acknowledged")?,
        pending: count(&row, "pending")?,
        in_force: count(&row, "in_force")?,
    })
}

// === A rebase gives statements other seqs ===

/// Sets the seqs of what is numbered anew apart, so that no new one is taken for an old one.
pub(super) async fn begin_renumbering(conn: &mut SqliteConnection, known: u64) -> Result<(), OutboxError> {
    sqlx::query("UPDATE statement SET seq = -seq WHERE seq > ?")
        .bind(stored(known))
        .execute(conn)
        .await?;
    Ok(())
}

/// A statement has another seq.
pub(super) async fn renumber(conn: &mut SqliteConnection, from: u64, to: u64) -> Result<(), OutboxError> {
    sqlx::query("UPDATE statement SET seq = ?, state = 0 WHERE seq = -?")
        .bind(stored(to))
        .bind(stored(from))
        .execute(conn)
        .await?;
    Ok(())
}

/// What was not numbered anew is not on its way any more.
pub(super) async fn end_renumbering(conn: &mut SqliteConnection) -> Result<(), OutboxError> {
    sqlx::query("UPDATE statement SET seq = 0 WHERE seq < 0")
        .execute(conn)
        .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<(RecordId, Statement), OutboxError> {
    let record: String = row.try_get("record")?;
    let body: Vec<u8> = row.try_get("body")?;
    let record = record.parse().map_err(|_| damaged())?;
    Ok((record, Statement::decode(&body).map_err(|_| damaged())?))
}

fn damaged() -> OutboxError {
    OutboxError::Damaged("a statement is invalid".to_owned())
}
