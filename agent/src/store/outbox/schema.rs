//! Opens the outbox's file: settings, migrations, and the row that says how it stands.
//!
//! SQLite in WAL mode with synchronous=FULL: a commit that returned survives a power cut (SQLite, "PRAGMA
//! synchronous"). The settings are asserted, because neither sqlx nor SQLite says so where one is not taken.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use handfast_proto::{chain::Chain, ids::StoreId};
use sqlx::{
    Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{OutboxError, shared::Standing};

/// How long another process (a backup) may hold the file before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a page: payloads and batches span several of SQLite's usual 4 KiB.
const PAGE_BYTES: u32 = 16 * 1024;

/// Pages in the write-ahead log before it is taken into the file: 32 MiB.
const CHECKPOINT_PAGES: &str = "2000";

/// Bytes that the write-ahead log keeps on disk once it is empty again.
const JOURNAL_SIZE_LIMIT: &str = "67108864";

/// Rows that SQLite's thread reads ahead; a row may be as large as a payload.
const ROWS_AHEAD: usize = 2;

/// Connections that only read: the link, and one each for status and for reads over HTTP.
const READERS: u32 = 3;

/// Only its owner reads the file.
const MODE: u32 = 0o600;

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT)
        .pragma("temp_store", "MEMORY")
}

/// Makes the file if there is none, with its tables and a first store id.
pub(super) async fn create(path: &Path) -> Result<SqliteConnection, OutboxError> {
    let fault = |why: String| OutboxError::Open {
        path: path.display().to_string(),
        why,
    };
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(MODE)
        .open(path)
        .map_err(|e| fault(e.to_string()))?;
    let mut conn = connect(path).await?;
    sqlx::migrate!("migrations/outbox")
        .run_direct(None, &mut conn, false)
        .await
        .map_err(|e| fault(e.to_string()))?;
    let store = random_store()?;
    let chain = Chain::start(store);
    sqlx::query(
        "INSERT OR IGNORE INTO outbox (one, store_id, acked_seq, acked_chain, last_seq, last_chain)
         VALUES (1, ?1, 0, ?2, 0, ?2)",
    )
    .bind(store.as_bytes().to_vec())
    .bind(chain.as_bytes().to_vec())
    .execute(&mut conn)
    .await?;
    Ok(conn)
}

/// A connection that writes, with its settings asserted.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, OutboxError> {
    let options = options(path).create_if_missing(false);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut conn)
        .await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut conn)
        .await?;
    let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
        .fetch_one(&mut conn)
        .await?;
    if journal != "wal" || synchronous != 2 || foreign_keys != 1 {
        return Err(OutboxError::Open {
            path: path.display().to_string(),
            why: format!(
                "SQLite did not take its settings (journal_mode {journal}, synchronous {synchronous}, \
                 foreign_keys {foreign_keys}); is the state directory on a local disk?"
            ),
        });
    }
    Ok(conn)
}

/// Connections that only read.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_lazy_with(options(path).read_only(true).create_if_missing(false))
}

/// 16 random bytes.
pub(super) fn random_store() -> Result<StoreId, OutboxError> {
    let mut raw = [0; 16];
    getrandom::fill(&mut raw).map_err(|e| OutboxError::Io(format!("no random numbers: {e}")))?;
    Ok(StoreId::from_random(raw))
}

/// Reads how the outbox stands.
pub(super) async fn standing(conn: &mut SqliteConnection) -> Result<Standing, OutboxError> {
    let row = sqlx::query("SELECT * FROM outbox WHERE one = 1")
        .fetch_one(conn)
        .await?;
    let store: Vec<u8> = row.try_get("store_id")?;
    Ok(Standing {
        store: StoreId::from_slice(&store).map_err(|e| OutboxError::Damaged(e.to_string()))?,
        acked_seq: count(&row, "acked_seq")?,
        acked_chain: chain(&row, "acked_chain")?,
        last_seq: count(&row, "last_seq")?,
        last_chain: chain(&row, "last_chain")?,
        resend_after: row.try_get("resend_after")?,
        rejected: count(&row, "rejected")?,
        older: count(&row, "older")?,
        rebased: count(&row, "rebased")?,
        restate_after: row.try_get("restate_after")?,
        echoes: count(&row, "echoes")?,
    })
}

/// Writes how the outbox stands, in the caller's transaction.
pub(super) async fn write_standing(conn: &mut SqliteConnection, s: &Standing) -> Result<(), OutboxError> {
    let done = sqlx::query(
        "UPDATE outbox SET store_id = ?, acked_seq = ?, acked_chain = ?, last_seq = ?, last_chain = ?,
         resend_after = ?, rejected = ?, older = ?, rebased = ?, restate_after = ?, echoes = ? WHERE one = 1",
    )
    .bind(s.store.as_bytes().to_vec())
    .bind(stored(s.acked_seq))
    .bind(s.acked_chain.as_bytes().to_vec())
    .bind(stored(s.last_seq))
    .bind(s.last_chain.as_bytes().to_vec())
    .bind(s.resend_after)
    .bind(stored(s.rejected))
    .bind(stored(s.older))
    .bind(stored(s.rebased))
    .bind(s.restate_after)
    .bind(stored(s.echoes))
    .execute(conn)
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(OutboxError::Damaged("its one row is gone".to_owned()))
    }
}

/// A count or seq as SQLite keeps it.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or seq out of a column.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, OutboxError> {
    let raw: i64 = row.try_get(column)?;
    u64::try_from(raw).map_err(|_| OutboxError::Damaged(format!("{column} is negative")))
}

/// A chain out of a column.
pub(super) fn chain(row: &SqliteRow, column: &str) -> Result<Chain, OutboxError> {
    let raw: Vec<u8> = row.try_get(column)?;
    Chain::from_slice(&raw).ok_or_else(|| OutboxError::Damaged(format!("{column} is not 16 bytes")))
}
