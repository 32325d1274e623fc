//! What the audit log's entries are found by, in the projection's file: derived from the entries, in bulk and
//! behind the commits.

use std::sync::LazyLock;

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    database::Database,
    fault::fault,
    shapes::Shapes,
    values::{Columns, int},
};
use crate::store::{EntryKeys, EntryQuery, StoreError};

/// Seqs in one block.
pub(super) const BLOCK_SEQS: u64 = 64;

/// Rows in one insert.
const INSERT_ROWS: [usize; 3] = [256, 64, 8];

/// In place of a unit: every entry but those about what was handed over and withheld.
const EVERY_UNIT: &str = "";

/// In place of a recipient: what was withheld is not for them to find.
const NOBODY: &str = "";

static INSERT_UNITS: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT OR REPLACE INTO audit_unit (unit, idx, kind, at) VALUES";
    Shapes::new(head, "(?, ?, ?, ?)", "", &INSERT_ROWS)
});

static INSERT_BLOCKS: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT OR REPLACE INTO audit_block (source, block, recipient, idx) VALUES";
    Shapes::new(head, "(?, ?, ?, ?)", "", &INSERT_ROWS)
});

/// Up to which index entries are found.
pub(super) async fn through(records: &Database) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT through FROM audit_indexed")
        .fetch_one(records.readers())
        .await
        .map_err(fault)?;
    row.count("through")
}

/// Makes entries findable, and moves `through`.
pub(super) async fn index(records: &Database, keys: &[EntryKeys], through: u64) -> Result<(), StoreError> {
    let mut write = records.write().await?;
    let result = index_in(write.conn(), keys, through).await;
    write.finish(result).await
}

async fn index_in(conn: &mut SqliteConnection, keys: &[EntryKeys], through: u64) -> Result<(), StoreError> {
    insert_units(conn, &unit_rows(keys)?).await?;
    insert_blocks(conn, &block_rows(keys)?).await?;
    sqlx::query("UPDATE audit_indexed SET through = ?1 WHERE through < ?1")
        .bind(int(through)?)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Everything is indexed again: the log beside it is shorter than what was indexed.
pub(super) async fn forget(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM audit_unit",
        "DELETE FROM audit_block",
        "UPDATE audit_indexed SET through = 0",
    ] {
        sqlx::query(sql).execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

pub(super) struct UnitRow {
    pub(super) unit: String,
    pub(super) index: i64,
    pub(super) kind: i32,
    pub(super) at: i64,
}

pub(super) fn unit_rows(keys: &[EntryKeys]) -> Result<Vec<UnitRow>, StoreError> {
    let mut rows = Vec::with_capacity(keys.len() * 2);
    for key in keys {
        let index = int(key.index)?;
        let every = key.handed.is_none().then(|| EVERY_UNIT.to_owned());
        let units = key.units.iter().map(ToString::to_string);
        rows.extend(every.into_iter().chain(units).map(|unit| UnitRow {
            unit,
            index,
            kind: key.kind as i32,
            at: key.at,
        }));
    }
    Ok(rows)
}

async fn insert_units(conn: &mut SqliteConnection, rows: &[UnitRow]) -> Result<(), StoreError> {
    let mut waiting = rows;
    while !waiting.is_empty() {
        let (count, sql) = INSERT_UNITS.pick(waiting.len());
        let (now, later) = waiting.split_at(count.min(waiting.len()));
        let insert = now.iter().fold(sqlx::query(sql), |insert, row| {
            insert
                .bind(row.unit.as_str())
                .bind(row.index)
                .bind(row.kind)
                .bind(row.at)
        });
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

pub(super) type BlockRow<'k> = (&'k OdsCode, i64, &'k str, i64);

pub(super) fn block_rows(keys: &[EntryKeys]) -> Result<Vec<BlockRow<'_>>, StoreError> {
    let mut rows = Vec::new();
    for key in keys {
        let Some((pair, runs)) = &key.handed else {
            continue;
        };
        let index = int(key.index)?;
        let recipient = if key.withheld {
            NOBODY
        } else {
            pair.recipient.as_str()
        };
        let mut next = 0;
        for (first, last) in runs.iter() {
            // Runs rise: two of them may lie in one block.
            for block in (first / BLOCK_SEQS).max(next)..=last / BLOCK_SEQS {
                rows.push((&pair.source, int(block)?, recipient, index));
                next = block + 1;
            }
        }
    }
    Ok(rows)
}

async fn insert_blocks(conn: &mut SqliteConnection, rows: &[BlockRow<'_>]) -> Result<(), StoreError> {
    let mut waiting = rows;
    while !waiting.is_empty() {
        let (count, sql) = INSERT_BLOCKS.pick(waiting.len());
        let (now, later) = waiting.split_at(count.min(waiting.len()));
        let insert = now
            .iter()
            .fold(sqlx::query(sql), |insert, (source, block, recipient, index)| {
                insert
                    .bind(source.as_str())
                    .bind(*block)
                    .bind(*recipient)
                    .bind(*index)
            });
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// The indexes of entries, the newest first.
pub(super) async fn find(records: &Database, query: &EntryQuery) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT idx FROM audit_unit
               WHERE unit = ?1 AND idx < ?2 AND at >= ?3 AND at < ?4
                 AND (?7 IS NULL OR EXISTS (
                     SELECT 1 FROM audit_unit AS other WHERE other.unit = ?7 AND other.idx = audit_unit.idx))
                 AND (?5 = '[]' OR kind IN (SELECT value FROM json_each(?5)))
               ORDER BY idx DESC LIMIT ?6";
    let kinds: Vec<String> = query
        .kinds
        .iter()
        .map(|kind| (*kind as i32).to_string())
        .collect();
    let unit = query
        .unit
        .map_or_else(|| EVERY_UNIT.to_owned(), |unit| unit.to_string());
    let rows = sqlx::query(sql)
        .bind(unit)
        .bind(i64::try_from(query.before).unwrap_or(i64::MAX))
        .bind(query.from)
        .bind(query.to)
        .bind(format!("[{}]", kinds.join(",")))
        .bind(query.limit)
        .bind(query.other.map(|unit| unit.to_string()))
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.count("idx")).collect()
}

/// The indexes of entries about what was handed over or withheld of some seqs, rising.
pub(super) async fn of_seqs(
    records: &Database,
    source: OdsCode,
    recipient: Option<OdsCode>,
    (first, last): (u64, u64),
    limit: u32,
) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT DISTINCT idx FROM audit_block
               WHERE source = ?1 AND block BETWEEN ?2 AND ?3 AND (?4 IS NULL OR recipient = ?4)
               ORDER BY idx LIMIT ?5";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(first / BLOCK_SEQS)?)
        .bind(int(last / BLOCK_SEQS)?)
        .bind(recipient.map(|ods| ods.to_string()))
        .bind(limit)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.count("idx")).collect()
}
