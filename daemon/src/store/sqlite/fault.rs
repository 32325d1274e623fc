//! What SQLite says went wrong, as callers of the store act on it.
//!
//! No message carries a bound value: SQLite names tables and columns only.

use std::path::Path;

use crate::store::StoreError;

/// Primary result codes (sqlite.org/rescode.html); the extended code's low byte is the primary one.
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;

/// A disk with less room than this is full: what SQLite asks for at once (a piece of its shared memory
/// file, a page of its log) did not fit.
const NO_ROOM_BYTES: u64 = 128 * 1024;

/// Turns a failure of sqlx or SQLite into the store's.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(said) => {
            let extended = said.code().and_then(|code| code.parse::<u32>().ok());
            match extended.map(|code| code & 0xff) {
                Some(SQLITE_FULL) => StoreError::Full,
                Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::Corrupt(said.to_string()),
                _ => StoreError::Failed(said.to_string()),
            }
        }
        sqlx::Error::ColumnDecode { index, .. } => {
            StoreError::Corrupt(format!("column {index} is not of the type it should be"))
        }
        sqlx::Error::RowNotFound => StoreError::Corrupt("a row that must be there is missing".to_owned()),
        sqlx::Error::PoolTimedOut => {
            StoreError::Failed("every reader is busy; the machine or its disk is overloaded".to_owned())
        }
        _ => StoreError::Failed(error.to_string()),
    }
}

/// Whether a statement failed because its key is there already.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Whether a statement failed because what a row names is not there.
pub(super) fn is_missing_reference(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}

/// Whether `ROLLBACK` was refused because SQLite had rolled back by itself, as it does on some errors.
pub(super) fn is_already_rolled_back(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|said| said.message().contains("no transaction is active"))
}

/// SQLite reports some full disks as I/O errors (its shared memory file, for one). Ask the disk. Only for
/// what was rolled back: after a failed commit the outcome is unknown, and a failure stays one.
pub(super) fn full_or(error: StoreError, state_dir: &Path) -> StoreError {
    match error {
        StoreError::Failed(_) if has_no_room(state_dir) => StoreError::Full,
        other => other,
    }
}

fn has_no_room(state_dir: &Path) -> bool {
    rustix::fs::statvfs(state_dir)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < NO_ROOM_BYTES)
}
