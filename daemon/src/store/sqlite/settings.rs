//! How each of the two files is opened, and the proof that SQLite took it.
//!
//! SQLite passes over a PRAGMA that it does not know or cannot follow, and sqlx sets neither the journal
//! mode nor `synchronous`. So everything the promises rest on is set here and read back on every connection
//! that writes.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::fault::fault;
use crate::store::StoreError;

/// How long a statement waits where another program (a backup) holds the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a writer keeps prepared: the texts of its largest families are all among them.
const WRITER_STATEMENTS: usize = 256;

/// One file's settings.
#[derive(Debug)]
pub(super) struct Settings {
    /// Its name in the state directory.
    pub(super) file: &'static str,
    synchronous: SqliteSynchronous,
    page_bytes: u32,
    /// Pages in the write-ahead log at which a commit takes them into the file.
    checkpoint_pages: u32,
    /// What is kept of a write-ahead log that has grown further.
    wal_limit_bytes: u32,
    /// Memory for pages, each connection that writes, KiB.
    cache_kib: u32,
    /// Connections that only read.
    pub(super) readers: u32,
    /// Rows that a reader runs ahead of whom it reads for.
    reader_rows_ahead: usize,
}

/// Everything that must be durable. Pages of 16 KiB because most of it is blobs of about 64 KiB; a
/// checkpoint each 32 MiB; few rows ahead, because each may be a batch of 16 MiB.
pub(super) const MAIN: Settings = Settings {
    file: "handfast.db",
    synchronous: SqliteSynchronous::Full,
    page_bytes: 16 * 1024,
    checkpoint_pages: 2048,
    wal_limit_bytes: 64 * 1024 * 1024,
    cache_kib: 32 * 1024,
    readers: 4,
    reader_rows_ahead: 2,
};

/// The projection. Derived, so a power cut may take its newest transactions. Small pages, because an
/// amendment touches one page of the table wherever its record's id falls.
pub(super) const RECORDS: Settings = Settings {
    file: "records.db",
    synchronous: SqliteSynchronous::Normal,
    page_bytes: 4 * 1024,
    checkpoint_pages: 8000,
    wal_limit_bytes: 64 * 1024 * 1024,
    cache_kib: 64 * 1024,
    readers: 2,
    reader_rows_ahead: 64,
};

impl Settings {
    /// Opens a connection that writes, and checks what it was set to.
    pub(super) async fn connect(&self, state_dir: &Path) -> Result<SqliteConnection, StoreError> {
        let mut conn = self.writer_options(state_dir).connect().await.map_err(fault)?;
        self.check(&mut conn).await?;
        Ok(conn)
    }

    /// For connections that only read.
    pub(super) fn reader_options(&self, state_dir: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(state_dir.join(self.file))
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(self.reader_rows_ahead)
            .disable_statement_logging()
    }

    fn writer_options(&self, state_dir: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(state_dir.join(self.file))
            .create_if_missing(false)
            .busy_timeout(BUSY_TIMEOUT)
            .page_size(self.page_bytes)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .foreign_keys(true)
            .statement_cache_capacity(WRITER_STATEMENTS)
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", self.checkpoint_pages.to_string())
            .pragma("journal_size_limit", self.wal_limit_bytes.to_string())
            .pragma("cache_size", format!("-{}", self.cache_kib))
            .disable_statement_logging()
    }

    async fn check(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut *conn)
            .await
            .map_err(fault)?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(self.refused("journal_mode", &mode));
        }
        let synchronous = if matches!(self.synchronous, SqliteSynchronous::Full) {
            2
        } else {
            1
        };
        let wanted = [
            ("PRAGMA synchronous", synchronous),
            ("PRAGMA page_size", i64::from(self.page_bytes)),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA secure_delete", 1),
            ("PRAGMA wal_autocheckpoint", i64::from(self.checkpoint_pages)),
            ("PRAGMA journal_size_limit", i64::from(self.wal_limit_bytes)),
        ];
        for (question, want) in wanted {
            let row = sqlx::query(question).fetch_one(&mut *conn).await.map_err(fault)?;
            let have: i64 = row.try_get(0).map_err(fault)?;
            if have != want {
                return Err(self.refused(question, &have.to_string()));
            }
        }
        Ok(())
    }

    fn refused(&self, what: &str, have: &str) -> StoreError {
        StoreError::Failed(format!(
            "{}: SQLite did not take a setting that the store rests on: {what} is {have}. \
             Is the state directory on a local disk?",
            self.file
        ))
    }
}
