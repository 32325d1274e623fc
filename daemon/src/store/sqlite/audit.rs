//! The audit log's entries: the one place where they are inserted, and how they are read.
//!
//! Inserting is in the hot commit: rows go to the end of one table in as few statements as fit, and only an
//! entry about a patient touches an index beside it. What else entries are found by is made behind the commits
//! (see `audit_index`).

use std::sync::LazyLock;

use bytes::Bytes;
use futures::TryStreamExt as _;
use handfast_proto::{ids::NhsNumber, merkle::TreeHash, v1::AuditKind};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    fault::fault,
    shapes::Shapes,
    values::{Columns, corrupt, int},
};
use crate::store::{EntryRow, ErasePersonal, NewEntry, StoreError, With};

/// Entries in the largest insert, and in the next.
const INSERT_ROWS: [usize; 2] = [32, 8];

/// Indexes asked for in one statement.
const MAX_ASKED: usize = 4096;

static INSERT: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT INTO audit_entry (kind, at, hash, leaf, personal, patient) VALUES";
    Shapes::new(head, "(?, ?, ?, ?, ?, ?)", "", &INSERT_ROWS)
});

/// Enters entries at the end of the log, in a transaction of the caller's.
pub(super) async fn insert(conn: &mut SqliteConnection, entries: &[NewEntry]) -> Result<(), StoreError> {
    let mut waiting = entries;
    while !waiting.is_empty() {
        let (rows, sql) = INSERT.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut insert = sqlx::query(sql);
        for entry in now {
            let patient = entry.patient.map(|patient| int(patient.as_u64())).transpose()?;
            insert = insert
                .bind(entry.kind as i32)
                .bind(entry.at)
                .bind(entry.hash.as_bytes().to_vec())
                .bind(entry.leaf.to_vec())
                .bind(entry.personal.to_vec())
                .bind(patient);
        }
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// Enters entries in a transaction of their own.
pub(super) async fn enter(main: &Database, entries: &[NewEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut write = main.write().await?;
    let result = insert(write.conn(), entries).await;
    write.finish(result).await
}

pub(super) async fn size(main: &Database) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT coalesce(max(idx), 0) AS size FROM audit_entry")
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    row.count("size")
}

/// Entries in order from an index on.
pub(super) async fn read(main: &Database, from: u64, max_bytes: usize) -> Result<Vec<EntryRow>, StoreError> {
    let sql = "SELECT idx, kind, at, hash, leaf, personal, patient FROM audit_entry
               WHERE idx > ?1 ORDER BY idx";
    let mut rows = sqlx::query(sql).bind(int(from)?).fetch(main.readers());
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    while bytes < max_bytes || entries.is_empty() {
        let Some(row) = rows.try_next().await.map_err(fault)? else {
            break;
        };
        let entry = entry_row(&row)?;
        bytes = bytes.saturating_add(entry.entry.leaf.len() + entry.entry.personal.len());
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The entries at these indexes.
pub(super) async fn at(main: &Database, indexes: &[u64]) -> Result<Vec<EntryRow>, StoreError> {
    let sql = "SELECT idx, kind, at, hash, leaf, personal, patient
               FROM json_each(?1) AS asked CROSS JOIN audit_entry ON idx = asked.value + 1
               ORDER BY idx";
    let mut entries = Vec::with_capacity(indexes.len());
    for some in indexes.chunks(MAX_ASKED) {
        let rows = sqlx::query(sql)
            .bind(json(some))
            .fetch_all(main.readers())
            .await
            .map_err(fault)?;
        for row in &rows {
            entries.push(entry_row(row)?);
        }
    }
    entries.sort_unstable_by_key(|entry| entry.index);
    entries.dedup_by_key(|entry| entry.index);
    Ok(entries)
}

pub(super) async fn leaf_hashes(main: &Database, from: u64, limit: u32) -> Result<Vec<TreeHash>, StoreError> {
    let rows = sqlx::query("SELECT hash FROM audit_entry WHERE idx > ?1 ORDER BY idx LIMIT ?2")
        .bind(int(from)?)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| hash(row, "hash")).collect()
}

/// Entries about a patient, the newest first.
pub(super) async fn of_patient(
    main: &Database,
    patient: NhsNumber,
    before: u64,
    limit: u32,
) -> Result<Vec<EntryRow>, StoreError> {
    let sql = "SELECT idx, kind, at, hash, leaf, personal, patient FROM audit_entry
               WHERE patient = ?1 AND idx <= ?2 ORDER BY idx DESC LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(int(patient.as_u64())?)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(entry_row).collect()
}

/// The newest entry about the daemon itself.
pub(super) async fn newest_of_daemon(main: &Database) -> Result<Option<EntryRow>, StoreError> {
    // The number stands in the statement so that the index of these entries alone is used.
    let sql = "SELECT idx, kind, at, hash, leaf, personal, patient FROM audit_entry
               WHERE kind = 33 ORDER BY idx DESC LIMIT 1";
    let row = sqlx::query(sql)
        .fetch_optional(main.readers())
        .await
        .map_err(fault)?;
    row.as_ref().map(entry_row).transpose()
}

/// Erases personal values; the leaves and their hashes stay.
pub(super) async fn erase(
    main: &Database,
    erase: &[ErasePersonal],
    at: i64,
    with: &With,
) -> Result<u64, StoreError> {
    let mut write = main.write().await?;
    let result = erase_in(write.conn(), erase).await;
    write.finish_with(result, with, at).await
}

async fn erase_in(conn: &mut SqliteConnection, erase: &[ErasePersonal]) -> Result<u64, StoreError> {
    let sql = "UPDATE audit_entry SET personal = ?2, patient = NULL
               WHERE idx = ?1 + 1 AND length(personal) > length(?2)";
    let mut erased = 0;
    for one in erase {
        let done = sqlx::query(sql).bind(int(one.index)?).bind(one.stays.as_ref());
        let done = done.execute(&mut *conn).await;
        erased += done.map_err(fault)?.rows_affected();
    }
    Ok(erased)
}

/// Numbers as a JSON array.
pub(super) fn json(numbers: &[u64]) -> String {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("[{}]", texts.join(","))
}

pub(super) fn hash(row: &SqliteRow, column: &str) -> Result<TreeHash, StoreError> {
    let raw: &[u8] = row.column(column)?;
    TreeHash::from_slice(raw).ok_or_else(|| corrupt("a hash of the audit log is not 32 bytes"))
}

/// A row as it is; whether it is as it was entered is for the audit to say.
fn entry_row(row: &SqliteRow) -> Result<EntryRow, StoreError> {
    let bytes = |column| row.column::<Vec<u8>>(column).map(Bytes::from);
    let patient: Option<i64> = row.column("patient")?;
    let patient = patient.and_then(|number| NhsNumber::from_u64(number.unsigned_abs()).ok());
    Ok(EntryRow {
        index: row.count("idx")?.saturating_sub(1),
        entry: NewEntry {
            leaf: bytes("leaf")?,
            hash: hash(row, "hash")?,
            personal: bytes("personal")?,
            kind: AuditKind::try_from(row.column::<i32>("kind")?).unwrap_or_default(),
            at: row.column("at")?,
            patient,
        },
    })
}
