//! A commit as one text of statements, from `BEGIN` to `COMMIT`: one round trip to the connection's thread. While
//! sources wait for their acknowledgements commits are small, and each round trip costs more than its statement.
//!
//! Invariant: it does what [`super::keep`] does, in the same order, and keeps nothing where a head did not move.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use handfast_proto::ids::OdsCode;
use sqlx::{AssertSqlSafe, error::ErrorKind};

use super::{MAX_INSERT_BYTES, MOVE_HEADS, MOVES, Moves, NOT_NEXT, Rows, hex, with_batch};
use crate::store::{
    AppendGroup, LogBatch, NewEntry, StoreError,
    sqlite::{database::Database, values::int},
};

/// Batches of a commit that goes as one text, at most: each number of them is a text of its own.
const MAX_BATCHES: usize = 32;

/// Entries of the audit log in one, at most: they go as JSON, which is slower where they are many.
const MAX_ENTRIES: usize = 32;

/// One batch. Its source has a value only where the stream's head has moved to the last batch of the group, so that a
/// head which did not move fails the commit.
const BATCH: &str =
    "((SELECT source FROM stream WHERE source = ? AND head_seq = ? AND chain = ?), ?, ?, ?, ?, ?)";

const ENTER: &str = "
    INSERT INTO audit_entry (kind, at, hash, leaf, personal, patient)
    SELECT value ->> 0, value ->> 1, unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), value ->> 5
    FROM json_each(?) ORDER BY key";

/// No rows.
const NOTHING: &str = "[]";

/// The texts, by the number of batches.
struct Texts {
    /// With nothing but batches; of none there is no text.
    plain: Vec<Arc<str>>,
    /// With what moves beside them.
    with_moves: Vec<Arc<str>>,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    // In a text of several statements, parameters without a number follow one another.
    let heads = MOVE_HEADS.replace("?1", "?");
    let appending = |batches: usize| {
        let rows = vec![BATCH; batches].join(", ");
        let insert =
            format!("INSERT INTO log (source, first_seq, last_seq, at, header_len, data) VALUES {rows};");
        let insert = if batches == 0 { "" } else { insert.as_str() };
        format!("BEGIN IMMEDIATE; {heads}; {insert}")
    };
    let moves = MOVES.iter().skip(1).map(|sql| sql.replace("?1", "?"));
    let moves = moves.collect::<Vec<_>>().join(";");
    Texts {
        plain: (0..=MAX_BATCHES)
            .map(|n| format!("{} COMMIT", appending(n)).into())
            .collect(),
        with_moves: (0..=MAX_BATCHES)
            .map(|n| format!("{} {moves}; {ENTER}; COMMIT", appending(n)).into())
            .collect(),
    }
});

/// Whether a group goes as one text: it is small, and nothing in it depends on what it turns out to do.
pub(super) fn fits(group: &AppendGroup) -> bool {
    let with = &group.with;
    let bytes: usize = group.batches.iter().map(|entry| entry.batch.weight()).sum();
    group.stated.is_empty()
        && with.jobs.is_empty()
        && with.enters.is_none()
        && with.audit.len() <= MAX_ENTRIES
        && group.batches.len() <= MAX_BATCHES
        && bytes <= MAX_INSERT_BYTES
}

/// Commits a group that fits. Not cancellation-safe, as [`super::append`].
pub(super) async fn append(main: &Database, group: &AppendGroup, moves: &Moves) -> Result<(), StoreError> {
    let beside = moves.beside();
    let plain = group.with.audit.is_empty() && beside.iter().all(|(_, rows)| rows.is_none());
    let texts = if plain { &TEXTS.plain } else { &TEXTS.with_moves };
    let Some(text) = texts.get(group.batches.len()) else {
        return Err(StoreError::Failed(
            "a commit has too many batches for one text".to_owned(),
        ));
    };
    // Safe to assert: the text is made of constants alone.
    let text = AssertSqlSafe(Arc::clone(text));
    let mut all = sqlx::query(text).bind(moves.heads.text.as_deref().unwrap_or(NOTHING).to_owned());
    let ends: HashMap<OdsCode, &LogBatch> = group.batches.iter().map(|e| (e.source, e.as_ref())).collect();
    for entry in &group.batches {
        let end = ends.get(&entry.source).map_or(entry.as_ref(), |end| end);
        all = all
            .bind(entry.source.as_str())
            .bind(int(end.batch.last_seq())?)
            .bind(end.chain_after.as_bytes().to_vec());
        all = with_batch(all, entry, group.at)?;
    }
    if !plain {
        for (_, rows) in beside {
            all = all.bind(rows.unwrap_or(NOTHING).to_owned());
        }
        let entries = entries(&group.with.audit)?;
        all = all.bind(entries.text.unwrap_or_else(|| NOTHING.to_owned()));
    }
    main.transaction(all, |error| is_of_log(error).then_some(NOT_NEXT))
        .await
}

fn entries(of: &[NewEntry]) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    for entry in of {
        let text = rows.next();
        let _ = write!(text, "[{},{},", entry.kind as i32, entry.at);
        for bytes in [&entry.hash.as_bytes()[..], &entry.leaf, &entry.personal] {
            hex(text, bytes);
            text.push(',');
        }
        match entry.patient {
            Some(patient) => _ = write!(text, "{}]", int(patient.as_u64())?),
            None => text.push_str("null]"),
        }
    }
    Ok(rows.finish())
}

/// Whether a batch could not be kept: its stream's head did not move, or it is there already.
fn is_of_log(error: &sqlx::Error) -> bool {
    let Some(said) = error.as_database_error() else {
        return false;
    };
    let is_meant = matches!(
        said.kind(),
        ErrorKind::NotNullViolation | ErrorKind::UniqueViolation
    );
    is_meant && said.message().contains("failed: log.")
}
