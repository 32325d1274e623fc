//! Dead letters: what an output could not carry out, with its reason. A record has at most one open
//! letter at an output. The command line changes letters from its own process, so none is kept in memory.

use handfast_proto::ids::{OdsCode, RecordId};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    feed::{Progress, record},
    open::Inbox,
    source::ods,
    target::names,
};

/// Closed letters are kept this long, to be reported and looked at: 7 days in milliseconds.
const CLOSED_FOR_MS: i64 = 7 * 24 * 3600 * 1000;

/// What stands in the place of a record's name that is not to be kept. It is reported as well: whoever was told
/// of the letter knows it by its source and seq.
pub(super) const NO_NAME: &str = "Record/withdrawn";

/// Letters in one list.
const MAX_LIST: i64 = 10_000;

/// What the output was about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterOp {
    /// Write the version held.
    Write,
    /// Delete the record.
    Delete,
}

/// How a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Tried again by itself.
    Waiting,
    /// Refused for good: a person should look.
    Refused,
    /// Carried out since, or superseded.
    Resolved,
    /// Set aside by a person.
    Discarded,
}

/// A letter to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// The record's source.
    pub source: OdsCode,
    /// The record.
    pub record: RecordId,
    /// The seq of the version, or of the removal.
    pub seq: u64,
    /// The withdrawal (or job) to be confirmed that asks for it; 0 = none.
    pub job: u64,
    /// What was to be done.
    pub op: LetterOp,
    /// `Waiting` or `Refused`.
    pub state: LetterState,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// Short, and names no content.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again, milliseconds since 1970-01-01T00:00:00Z.
    pub next_at: i64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Names it on the command line.
    pub id: i64,
    /// The output.
    pub output: String,
    /// The record's source.
    pub source: String,
    /// The record.
    pub record: String,
    /// The seq of the version, or of the removal.
    pub seq: u64,
    /// The withdrawal (or job) to be confirmed that asks for it; 0 = none.
    pub job: u64,
    /// What was to be done.
    pub op: LetterOp,
    /// How it stands.
    pub state: LetterState,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// Short, and names no content.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was last tried, milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// Somebody asked for another try.
    pub retry_requested: bool,
    /// When it was resolved or discarded.
    pub closed_at: Option<i64>,
}

const SELECT: &str = "SELECT d.id, d.output, s.ods AS ods, d.record, d.seq, d.job, d.op, d.state, d.status, d.reason, \
     d.attempts, d.at, d.retry_requested, d.closed_at FROM dead_letter AS d JOIN source AS s ON s.id = d.source_id ";

impl Inbox {
    /// The letters of an output that are due: waiting and their time has come, or asked for. At most
    /// `limit`, oldest first.
    pub async fn due_letters(&self, output: &str, limit: u32) -> Result<Vec<Letter>, InboxError> {
        let sql = select_where(
            "WHERE d.output = ?1 AND (d.state = 'waiting' AND d.next_at <= ?2 \
             OR d.state IN ('waiting', 'refused') AND d.retry_requested = 1) ORDER BY d.id LIMIT ?3",
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(output.to_owned())
            .bind(self.now())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(letter).collect()
    }

    /// How many letters of an output wait to be tried again by themselves.
    pub async fn waiting_letters(&self, output: &str) -> Result<u64, InboxError> {
        let row =
            sqlx::query("SELECT count(*) AS n FROM dead_letter WHERE output = ?1 AND state = 'waiting'")
                .bind(output.to_owned())
                .fetch_one(self.readers())
                .await?;
        unsigned(&row, "n")
    }

    /// Open letters, oldest first, and with `closed` also those closed in the last days.
    pub async fn letters(&self, closed: bool) -> Result<Vec<Letter>, InboxError> {
        let sql = select_where("WHERE ?1 OR d.state IN ('waiting', 'refused') ORDER BY d.id LIMIT ?2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(closed)
            .bind(MAX_LIST)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(letter).collect()
    }

    /// One letter.
    pub async fn letter(&self, id: i64) -> Result<Option<Letter>, InboxError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(select_where("WHERE d.id = ?1")))
            .bind(id)
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(letter).transpose()
    }

    /// Asks the running agent to try a letter again. False where it is not open.
    pub async fn request_retry(&self, id: i64) -> Result<bool, InboxError> {
        let mut writer = self.writer().await?;
        let done = sqlx::query(
            "UPDATE dead_letter SET retry_requested = 1 WHERE id = ?1 AND state IN ('waiting', 'refused')",
        )
        .bind(id)
        .execute(&mut writer.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets a letter aside for good, with a person's reason. What could not be deleted leaves the map: it
    /// is the person's from now on. False where it is not open.
    pub async fn discard_letter(&self, id: i64, reason: &str) -> Result<bool, InboxError> {
        let now = self.now();
        let mut writer = self.writer().await?;
        let done = sqlx::query(
            "UPDATE dead_letter SET state = 'discarded', reason = reason || '; discarded: ' || ?2, closed_at = ?3 \
             WHERE id = ?1 AND state IN ('waiting', 'refused')",
        )
        .bind(id)
        .bind(reason.to_owned())
        .bind(now)
        .execute(&mut writer.conn)
        .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(
            "DELETE FROM output_map WHERE EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.id = ?1 \
             AND d.op = 'delete' AND d.output = output_map.output AND d.source_id = output_map.source_id \
             AND d.record = output_map.record)",
        )
        .bind(id)
        .execute(&mut writer.conn)
        .await?;
        Ok(true)
    }

    /// Forgets letters that were closed long ago.
    pub async fn forget_old_letters(&self) -> Result<(), InboxError> {
        let before = self.now() - CLOSED_FOR_MS;
        let mut writer = self.writer().await?;
        sqlx::query("DELETE FROM dead_letter WHERE closed_at < ?1")
            .bind(before)
            .execute(&mut writer.conn)
            .await?;
        Ok(())
    }
}

/// Writes a letter, over the open one of the same record.
pub(super) async fn put(
    conn: &mut SqliteConnection,
    output: &str,
    letter: &NewLetter,
    now: i64,
) -> Result<(), InboxError> {
    sqlx::query(
        "INSERT INTO dead_letter (output, source_id, record, seq, op, state, status, reason, attempts, at, \
         next_at, retry_requested, job) SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12 FROM source \
         WHERE ods = ?2 \
         ON CONFLICT (output, source_id, record) WHERE state IN ('waiting', 'refused') DO UPDATE SET \
         seq = excluded.seq, op = excluded.op, state = excluded.state, status = excluded.status, \
         reason = excluded.reason, attempts = excluded.attempts, at = excluded.at, next_at = excluded.next_at, \
         retry_requested = 0, job = CASE excluded.job WHEN 0 THEN dead_letter.job ELSE excluded.job END",
    )
    .bind(output.to_owned())
    .bind(letter.source.as_str().to_owned())
    .bind(letter.record.as_str().to_owned())
    .bind(count(letter.seq))
    .bind(op_name(letter.op))
    .bind(state_name(letter.state))
    .bind(letter.status)
    .bind(letter.reason.clone())
    .bind(i64::from(letter.attempts))
    .bind(now)
    .bind(letter.next_at)
    .bind(count(letter.job))
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes the open letters of what was carried out after all.
pub(super) async fn close(
    conn: &mut SqliteConnection,
    output: &str,
    progress: &Progress,
    now: i64,
) -> Result<(), InboxError> {
    if progress.written.is_empty() && progress.deleted.is_empty() {
        return Ok(());
    }
    let written = progress.written.iter().map(|(s, r, _)| (s, r));
    let deleted = progress.deleted.iter().map(|(s, r)| (s, r));
    sqlx::query(
        "UPDATE dead_letter SET state = 'resolved', closed_at = ?3, retry_requested = 0 \
         FROM json_each(?2) AS k CROSS JOIN source AS s ON s.ods = k.value ->> 0 \
         WHERE dead_letter.output = ?1 AND dead_letter.source_id = s.id \
         AND dead_letter.record = k.value ->> 1 AND dead_letter.state IN ('waiting', 'refused')",
    )
    .bind(output.to_owned())
    .bind(names(written.chain(deleted)))
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether closed letters name records that are not held any more.
pub(super) async fn have_names_left(inbox: &Inbox) -> Result<bool, InboxError> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM dead_letter AS d WHERE {NAMES_LEFT})");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(NO_NAME)
        .fetch_one(inbox.readers())
        .await?;
    Ok(row.try_get(0)?)
}

/// Takes those names out.
pub(super) async fn forget_names(conn: &mut SqliteConnection) -> Result<(), InboxError> {
    let sql = format!("UPDATE dead_letter AS d SET record = ?1 WHERE {NAMES_LEFT}");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(NO_NAME)
        .execute(conn)
        .await?;
    Ok(())
}

const NAMES_LEFT: &str = "d.state IN ('resolved', 'discarded') AND d.record <> ?1 AND NOT EXISTS \
     (SELECT 1 FROM record AS r WHERE r.source_id = d.source_id AND r.record = d.record AND r.removed = 0)";

fn select_where(condition: &str) -> String {
    format!("{SELECT}{condition}")
}

fn letter(row: &SqliteRow) -> Result<Letter, InboxError> {
    let (op, state): (String, String) = (row.try_get("op")?, row.try_get("state")?);
    let attempts: i64 = row.try_get("attempts")?;
    Ok(Letter {
        id: row.try_get("id")?,
        output: row.try_get("output")?,
        source: ods(row)?.to_string(),
        record: record(row)?.to_string(),
        seq: unsigned(row, "seq")?,
        job: unsigned(row, "job")?,
        op: if op == "delete" {
            LetterOp::Delete
        } else {
            LetterOp::Write
        },
        state: match state.as_str() {
            "waiting" => LetterState::Waiting,
            "refused" => LetterState::Refused,
            "resolved" => LetterState::Resolved,
            _ => LetterState::Discarded,
        },
        status: row.try_get("status")?,
        reason: row.try_get("reason")?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        at: row.try_get("at")?,
        retry_requested: row.try_get("retry_requested")?,
        closed_at: row.try_get("closed_at")?,
    })
}

fn op_name(op: LetterOp) -> &'static str {
    match op {
        LetterOp::Write => "write",
        LetterOp::Delete => "delete",
    }
}

fn state_name(state: LetterState) -> &'static str {
    match state {
        LetterState::Waiting => "waiting",
        LetterState::Refused => "refused",
        LetterState::Resolved => "resolved",
        LetterState::Discarded => "discarded",
    }
}
