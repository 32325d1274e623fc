//! The log's commit: everything that arrived while the last one was running, in one transaction.
//!
//! This is the hot path. Heads, cursors, catch-ups and receipts are a handful of rows, so each kind moves
//! in one statement over a JSON array; batches are blobs and go in as few multi-row inserts as fit. Every
//! move is guarded in SQL too, so that nothing goes back whatever a caller asks.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use handfast_proto::{
    chain::Chain,
    ids::{OdsCode, StoreId},
};
use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{caseload, database::Database, fault::fault, shapes::Shapes, values::int, words};
use crate::store::{AppendGroup, LogBatch, Stated, StoreError, WordOutcome};

/// Batches in the largest insert, and in the next.
const INSERT_ROWS: [usize; 2] = [32, 8];

/// Bytes of batches that one insert may bind: they are in memory twice while it runs.
const MAX_INSERT_BYTES: usize = 4 * 1024 * 1024;

mod whole;

const NOT_NEXT: StoreError = StoreError::Conflict("a batch does not follow its source's head");

static INSERT_LOG: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT INTO log (source, first_seq, last_seq, at, header_len, data) VALUES";
    Shapes::new(head, "(?, ?, ?, ?, ?, ?)", "", &INSERT_ROWS)
});

const MOVE_HEADS: &str = "
    UPDATE stream SET head_seq = m.last, chain = m.chain, store = m.store
    FROM (
        SELECT value ->> 0 AS source, value ->> 1 AS before, unhex(value ->> 2) AS chain_before,
               value ->> 3 AS last, unhex(value ->> 4) AS chain, unhex(value ->> 5) AS store
        FROM json_each(?1)
    ) AS m
    WHERE stream.source = m.source AND stream.head_seq = m.before
      AND (stream.head_seq = 0 OR stream.chain = m.chain_before)";

const MOVE_CURSORS: &str = "
    UPDATE sharing_grant SET cursor = m.seq
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS source, value ->> 2 AS recipient, value ->> 3 AS seq
        FROM json_each(?1)
    ) AS m
    WHERE sharing_grant.id = m.id AND sharing_grant.source = m.source
      AND sharing_grant.recipient = m.recipient
      AND sharing_grant.ended_at IS NULL AND sharing_grant.cursor < m.seq";

const MOVE_CATCH_UPS: &str = "
    UPDATE job SET through = m.through
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS through FROM json_each(?1)) AS m
    WHERE job.id = m.id AND job.kind <> 'withdraw' AND job.state = 'due' AND job.through < m.through";

/// Runs behind [`MOVE_CATCH_UPS`]: one that would go back finds a greater `through`.
const END_CATCH_UPS: &str = "
    DELETE FROM job WHERE id IN (
        SELECT over.id
        FROM json_each(?1) AS m CROSS JOIN job AS over ON over.id = m.value ->> 0
        WHERE m.value ->> 2 = 1 AND over.kind = 'catch-up' AND over.through <= m.value ->> 1
    )";

/// The recipient is yet to confirm what it removed in these. As [`END_CATCH_UPS`], behind the moves.
const RECEIVE_RECONCILES: &str = "
    UPDATE job SET state = 'received'
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS through FROM json_each(?1) WHERE value ->> 2 = 1
    ) AS m
    WHERE job.id = m.id AND job.kind IN ('patient', 'changes') AND job.state = 'due'
      AND job.through <= m.through";

const MOVE_REACHES: &str = "
    UPDATE sharing_grant SET reach = m.upto
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS upto FROM json_each(?1)) AS m
    WHERE sharing_grant.id = m.id AND sharing_grant.reach < m.upto";

const MOVE_REACHES_OF_JOBS: &str = "
    UPDATE job SET reach_from = m.begin, reach = max(job.reach, m.upto)
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS upto, value ->> 2 AS begin FROM json_each(?1)) AS m
    WHERE job.id = m.id";

const MOVE_RECEIPTS: &str = "
    UPDATE inbox SET receipted_session = m.session, receipted = m.durable
    FROM (
        SELECT value ->> 0 AS recipient, value ->> 1 AS session, value ->> 2 AS durable FROM json_each(?1)
    ) AS m
    WHERE inbox.recipient = m.recipient AND m.session BETWEEN inbox.since_session AND inbox.session
      AND (m.session, m.durable) > (inbox.receipted_session, inbox.receipted)";

/// Only what the recipient's own inbox holds is received: a new one is sent it again, as what its predecessor
/// wrote is still in the clinical system.
const RECEIVE_WITHDRAWALS: &str = "
    UPDATE job SET state = 'received'
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS recipient, value ->> 2 AS session FROM json_each(?1)
    ) AS m
    CROSS JOIN inbox ON inbox.recipient = m.recipient
    WHERE job.id = m.id AND job.recipient = m.recipient AND job.kind = 'withdraw' AND job.state = 'due'
      AND m.session BETWEEN inbox.since_session AND inbox.session";

/// All of them, in the order in which they run.
pub(super) const MOVES: [&str; 9] = [
    MOVE_HEADS,
    MOVE_CURSORS,
    MOVE_CATCH_UPS,
    END_CATCH_UPS,
    RECEIVE_RECONCILES,
    MOVE_REACHES,
    MOVE_REACHES_OF_JOBS,
    MOVE_RECEIPTS,
    RECEIVE_WITHDRAWALS,
];

/// Commits a group. Not cancellation-safe: dropped half-way, it may or may not have committed.
pub(super) async fn append(main: &Database, group: &AppendGroup) -> Result<Vec<WordOutcome>, StoreError> {
    let moves = Moves::of(group)?;
    if moves.is_empty() && group.stated.is_empty() && group.with.is_nothing() {
        return Ok(Vec::new());
    }
    if whole::fits(group) {
        return whole::append(main, group, &moves).await.map(|()| Vec::new());
    }
    let mut write = main.write().await?;
    let result = keep(write.conn(), group, moves).await;
    write.finish_with_what_it_did(result, &group.with, group.at).await
}

type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Binds a batch's own columns.
fn with_batch<'q>(insert: Insert<'q>, entry: &LogBatch, at: i64) -> Result<Insert<'q>, StoreError> {
    let (header, body) = (entry.batch.header(), entry.batch.body());
    let mut data = Vec::with_capacity(header.len() + body.len());
    data.extend_from_slice(header);
    data.extend_from_slice(body);
    Ok(insert
        .bind(int(entry.batch.first_seq())?)
        .bind(int(entry.batch.last_seq())?)
        .bind(at)
        .bind(int(header.len() as u64)?)
        .bind(data))
}

async fn keep(
    conn: &mut SqliteConnection,
    group: &AppendGroup,
    moves: Moves,
) -> Result<Vec<WordOutcome>, StoreError> {
    if let Some(heads) = &moves.heads.text {
        // First, so that a conflict costs no writing.
        let moved = sqlx::query(MOVE_HEADS)
            .bind(heads.clone())
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
        if moved.rows_affected() != moves.heads.rows {
            return Err(NOT_NEXT);
        }
        insert_batches(conn, &group.batches, group.at).await?;
    }
    let mut outcomes = Vec::new();
    for stated in &group.stated {
        match stated {
            Stated::Words(changes) => outcomes.extend(words::apply(conn, changes).await?),
            Stated::Joined(joined) => caseload::join(conn, joined, group.at).await?,
        }
    }
    for (sql, rows) in moves.beside() {
        if let Some(rows) = rows {
            sqlx::query(sql)
                .bind(rows.to_owned())
                .execute(&mut *conn)
                .await
                .map_err(fault)?;
        }
    }
    Ok(outcomes)
}

async fn insert_batches(
    conn: &mut SqliteConnection,
    batches: &[Arc<LogBatch>],
    at: i64,
) -> Result<(), StoreError> {
    let mut waiting = batches;
    while !waiting.is_empty() {
        let (rows, sql) = INSERT_LOG.pick(within_bytes(waiting));
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut insert = sqlx::query(sql);
        for entry in now {
            insert = with_batch(insert.bind(entry.source.as_str()), entry, at)?;
        }
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// How many of the next batches one insert may bind.
fn within_bytes(waiting: &[Arc<LogBatch>]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Arc<LogBatch>| {
        bytes += entry.batch.weight();
        bytes <= MAX_INSERT_BYTES
    };
    waiting
        .iter()
        .take(INSERT_ROWS[0])
        .take_while(fits)
        .count()
        .max(1)
}

// === What moves, as JSON arrays ===

/// Rows of a JSON array of arrays.
#[derive(Default)]
struct Rows {
    /// `None` while there is no row.
    text: Option<String>,
    rows: u64,
}

impl Rows {
    /// Begins a row; the caller writes it whole.
    fn next(&mut self) -> &mut String {
        let text = self.text.get_or_insert_default();
        text.push(if self.rows == 0 { '[' } else { ',' });
        self.rows += 1;
        text
    }

    fn finish(mut self) -> Self {
        if let Some(text) = &mut self.text {
            text.push(']');
        }
        self
    }
}

struct Moves {
    heads: Rows,
    cursors: Rows,
    catch_ups: Rows,
    ends_catch_up: bool,
    reaches: Rows,
    job_reaches: Rows,
    receipts: Rows,
    received: Rows,
}

impl Moves {
    fn of(group: &AppendGroup) -> Result<Self, StoreError> {
        let (mut cursors, mut catch_ups) = (Rows::default(), Rows::default());
        let (mut receipts, mut received) = (Rows::default(), Rows::default());
        let (mut reaches, mut job_reaches) = (Rows::default(), Rows::default());
        // Codes, hexadecimal digits and numbers need no quoting. Writing to a String cannot fail.
        for m in &group.cursors {
            let (grant, seq, pair) = (int(m.grant.0)?, int(m.seq)?, m.pair);
            let _ = write!(
                cursors.next(),
                r#"[{grant},"{}","{}",{seq}]"#,
                pair.source,
                pair.recipient
            );
        }
        for m in &group.catch_ups {
            let (job, through, complete) = (int(m.job.0)?, int(m.through)?, u8::from(m.complete));
            let _ = write!(catch_ups.next(), "[{job},{through},{complete}]");
        }
        for m in &group.reaches {
            let (rows, id) = match m.job {
                Some(job) => (&mut job_reaches, int(job.0)?),
                None => (&mut reaches, int(m.grant.0)?),
            };
            let _ = write!(rows.next(), "[{id},{},{}]", int(m.upto)?, int(m.from)?);
        }
        for m in &group.receipts {
            let (session, durable) = (int(m.session)?, int(m.durable)?);
            let _ = write!(receipts.next(), r#"["{}",{session},{durable}]"#, m.recipient);
        }
        for m in &group.withdrawals_received {
            let (job, session) = (int(m.job.0)?, int(m.session)?);
            let _ = write!(received.next(), r#"[{job},"{}",{session}]"#, m.recipient);
        }
        Ok(Self {
            heads: heads(&group.batches)?.finish(),
            cursors: cursors.finish(),
            catch_ups: catch_ups.finish(),
            ends_catch_up: group.catch_ups.iter().any(|m| m.complete),
            reaches: reaches.finish(),
            job_reaches: job_reaches.finish(),
            receipts: receipts.finish(),
            received: received.finish(),
        })
    }

    /// What moves beside the heads, in order; `None` where nothing of it does.
    fn beside(&self) -> [(&'static str, Option<&str>); 8] {
        [
            (MOVE_CURSORS, self.cursors.text.as_deref()),
            (MOVE_CATCH_UPS, self.catch_ups.text.as_deref()),
            (END_CATCH_UPS, self.ending()),
            (RECEIVE_RECONCILES, self.ending()),
            (MOVE_REACHES, self.reaches.text.as_deref()),
            (MOVE_REACHES_OF_JOBS, self.job_reaches.text.as_deref()),
            (MOVE_RECEIPTS, self.receipts.text.as_deref()),
            (RECEIVE_WITHDRAWALS, self.received.text.as_deref()),
        ]
    }

    /// The catch-ups and reconciles, where one of them ends.
    fn ending(&self) -> Option<&str> {
        self.catch_ups.text.as_deref().filter(|_| self.ends_catch_up)
    }

    fn is_empty(&self) -> bool {
        self.heads.text.is_none() && self.beside().iter().all(|(_, rows)| rows.is_none())
    }
}

/// How one source's stream moves.
struct HeadMove {
    before: u64,
    chain_before: Option<Chain>,
    last: u64,
    chain: Chain,
    store: StoreId,
}

/// The move of each source's head, where the batches of each follow one another.
fn heads(batches: &[Arc<LogBatch>]) -> Result<Rows, StoreError> {
    let mut moves: HashMap<OdsCode, HeadMove> = HashMap::new();
    for entry in batches {
        let (first, last) = (entry.batch.first_seq(), entry.batch.last_seq());
        let head = moves.entry(entry.source).or_insert(HeadMove {
            before: first.saturating_sub(1),
            chain_before: entry.chain_before,
            last: first.saturating_sub(1),
            chain: entry.chain_before.unwrap_or(entry.chain_after),
            store: entry.store,
        });
        let begins = head.last == head.before;
        if first != head.last + 1 || (!begins && entry.chain_before != Some(head.chain)) {
            return Err(NOT_NEXT);
        }
        head.last = last;
        head.chain = entry.chain_after;
        head.store = entry.store;
    }
    let mut rows = Rows::default();
    for (source, head) in moves {
        let (before, last) = (int(head.before)?, int(head.last)?);
        let text = rows.next();
        let _ = write!(text, r#"["{source}",{before},"#);
        match head.chain_before {
            Some(chain) => hex(text, chain.as_bytes()),
            None => text.push_str("null"),
        }
        let _ = write!(text, ",{last},");
        hex(text, head.chain.as_bytes());
        text.push(',');
        hex(text, head.store.as_bytes());
        text.push(']');
    }
    Ok(rows)
}

fn hex(text: &mut String, bytes: &[u8]) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    text.push('"');
    text.extend(
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]),
    );
    text.push('"');
}
