//! Sums over the rows that audit entries are found by: those that are there, and those that should be.

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;

use super::{
    audit_index::{self, block_rows, unit_rows},
    database::Database,
    fault::fault,
    values::Columns,
};
use crate::store::{EntryKeys, IndexSums, StoreError};

/// The two tables, each row as one text beside its entry.
const TABLES: [&str; 2] = [
    "SELECT idx, 'unit ' || unit || ' ' || idx || ' ' || kind || ' ' || at AS line FROM audit_unit",
    "SELECT idx, 'block ' || source || ' ' || block || ' ' || recipient || ' ' || idx AS line FROM audit_block",
];

/// Those that entries with these keys should have.
pub(super) fn of_keys(keys: &[EntryKeys]) -> Result<IndexSums, StoreError> {
    let mut sums = IndexSums::default();
    let mut add = |index: i64, line: &str| sums.row(index.unsigned_abs(), line);
    for row in unit_rows(keys)? {
        let line = format!("unit {} {} {} {}", row.unit, row.index, row.kind, row.at);
        add(row.index, &line);
    }
    for (source, block, recipient, index) in block_rows(keys)? {
        add(index, &format!("block {source} {block} {recipient} {index}"));
    }
    Ok(sums)
}

/// Those that entries below `through` have. Rows are read as they stand: one that no entry can have is beyond.
pub(super) async fn kept(records: &Database, through: u64) -> Result<IndexSums, StoreError> {
    let mut sums = IndexSums::default();
    let mut highest: Option<u64> = None;
    for table in TABLES {
        let mut rows = sqlx::query(table).fetch(records.readers());
        while let Some(row) = rows.try_next().await.map_err(fault)? {
            let index = index_of(&row);
            if index < through {
                sums.row(index, row.column("line")?);
            } else {
                highest = highest.max(Some(index));
            }
        }
    }
    // Read after the rows: what was made findable meanwhile is not wrong.
    let through = audit_index::through(records).await?;
    sums.beyond = highest
        .filter(|index| *index >= through)
        .map(|index| index / crate::store::SUMMED_ENTRIES);
    Ok(sums)
}

/// An index below 0 is no entry's.
fn index_of(row: &SqliteRow) -> u64 {
    let index: i64 = row.column("idx").unwrap_or(-1);
    u64::try_from(index).unwrap_or(u64::MAX)
}
