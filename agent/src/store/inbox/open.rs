//! Opens the inbox's file and keeps its one writer and its readers.
//!
//! Invariant of [`Writer`]: `state` is what stands in the file whenever `clean` is true. Whoever begins a
//! transaction sets it to false and, after the commit, to true again; a writer found unclean (an error, a
//! future dropped half-way) is opened anew, so no caller has to clean up.
//!
//! On a small disk it may be the inbox's own write-ahead log that fills it: a writer that is opened anew
//! takes the log into the file and gives its room back.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{error::InboxError, model::InboxLimits, pages::MAX_PAGES, purge::Pace, removed, state::State};
use crate::{clock::Clock, store::room};

/// How long another process (the command line) may hold the file before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that only read.
const READERS: u32 = 2;

/// Bytes a page: most payloads are about 1 KiB and are overwritten in place, each at the cost of its page.
const PAGE_BYTES: u32 = 8 * 1024;

/// Pages in the write-ahead log before it is taken into the file by itself.
const CHECKPOINT_PAGES: &str = "8000";

/// What the inbox rests on beside the write-ahead log: each setting and its value.
const REQUIRED: [(&str, &str, i64); 4] = [
    ("synchronous", "PRAGMA synchronous", 2),
    ("foreign_keys", "PRAGMA foreign_keys", 1),
    ("secure_delete", "PRAGMA secure_delete", 1),
    ("max_page_count", "PRAGMA max_page_count", MAX_PAGES.cast_signed()),
];

/// What the agent's SQLite must have been built with (LIBSQLITE3_FLAGS in .cargo/config.toml).
const REQUIRED_OPTION: &str = "ENABLE_DBPAGE_VTAB";

/// The inbox. Clones share it.
#[derive(Clone)]
pub struct Inbox(pub(super) Arc<Inner>);

pub(super) struct Inner {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: SqlitePool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: InboxLimits,
    /// The number of the last change; outputs wait on it.
    pub(super) news: watch::Sender<u64>,
    /// Raised whenever an output got on or a letter changed; the link waits on it.
    pub(super) progress: watch::Sender<u64>,
    /// Raised whenever what is to be told of a source changed, but for how old it is.
    pub(super) standing: watch::Sender<u64>,
    /// Whether the daemon has welcomed this inbox since it was opened.
    pub(super) welcomed: AtomicBool,
    pub(super) pace: Mutex<Pace>,
}

pub(super) struct Writer {
    pub(super) conn: SqliteConnection,
    pub(super) state: State,
    pub(super) clean: bool,
    /// The log's room was given back since something was last committed. Once is enough: it is a copy of
    /// the whole log, and what does not fit then fits once there is room again.
    gave_room: bool,
}

impl Inbox {
    /// Opens the inbox at `path`, makes it if there is none, and brings its tables up to date.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>, limits: InboxLimits) -> Result<Self, InboxError> {
        let fault = |why: String| InboxError::Open {
            path: path.to_owned(),
            why,
        };
        let mut conn = connect(path).await.map_err(|e| fault(e.to_string()))?;
        assert_pragmas(&mut conn, path).await?;
        sqlx::migrate!("migrations/inbox")
            .run_direct(None, &mut conn, false)
            .await
            .map_err(|e| fault(e.to_string()))?;
        let state = State::load(&mut conn).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(options(path).read_only(true).create_if_missing(false));
        let news = watch::Sender::new(state.last_change);
        let writer = Writer {
            conn,
            state,
            clean: true,
            gave_room: false,
        };
        let inbox = Self(Arc::new(Inner {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers,
            clock,
            limits,
            news,
            progress: watch::Sender::new(0),
            standing: watch::Sender::new(0),
            welcomed: AtomicBool::new(false),
            pace: Mutex::new(Pace::default()),
        }));
        inbox.adopt_named_tombstones().await?;
        let now = inbox.now();
        removed::forget_old(&mut inbox.writer().await?.conn, now).await?;
        Ok(inbox)
    }

    /// The one writer, in step with the file.
    pub(super) async fn writer(&self) -> Result<MutexGuard<'_, Writer>, InboxError> {
        let mut writer = self.0.writer.lock().await;
        if writer.clean {
            writer.gave_room = false;
            return Ok(writer);
        }
        let mut conn = connect(&self.0.path).await?;
        assert_pragmas(&mut conn, &self.0.path).await?;
        let heard = writer.state.heard;
        writer.state = State::load(&mut conn).await?;
        writer.state.heard = heard;
        writer.conn = conn;
        if !writer.gave_room {
            writer.gave_room = true;
            // Where even that has no room, the next commit says so.
            if let Err(error) = Self::truncate_log(&mut writer).await {
                tracing::debug!(%error, "the write-ahead log could not be taken into the inbox's file");
            }
        }
        writer.clean = true;
        Ok(writer)
    }

    pub(super) fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    pub(super) fn now(&self) -> i64 {
        self.0.clock.now_ms()
    }

    /// The time by the inbox's clock, milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        self.now()
    }

    /// Whether the daemon has welcomed this inbox since it was opened.
    pub(super) fn is_welcomed(&self) -> bool {
        self.0.welcomed.load(Ordering::Acquire)
    }

    /// Tells of the number of the newest change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Tells whenever an output got on, or a dead letter changed.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.0.progress.subscribe()
    }

    /// Takes the write-ahead log into the file and empties it, so that nothing removed is left in it.
    /// False where a reader is in the way; to be tried again.
    pub(super) async fn truncate_log(writer: &mut Writer) -> Result<bool, InboxError> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut writer.conn)
            .await?;
        Ok(row.try_get::<i64, _>(0)? == 0)
    }

    /// Tells whenever what is to be told of a source changed, but for how old it is.
    pub fn standing(&self) -> watch::Receiver<u64> {
        self.0.standing.subscribe()
    }

    /// What is to be told of a source changed.
    pub(super) fn standing_changed(&self) {
        self.0.standing.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Before the log fills a small disk. To be called after a commit.
    pub(super) async fn keep_room(&self, writer: &mut Writer) {
        if room::is_short(&self.0.path)
            && let Err(error) = Self::truncate_log(writer).await
        {
            tracing::debug!(%error, "the write-ahead log could not be taken into the inbox's file");
        }
    }

    /// Lets the readers go. The writer's connection closes when the last clone is dropped.
    pub async fn close(&self) {
        self.0.readers.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", "67108864")
        .pragma("secure_delete", "ON")
        .pragma("max_page_count", MAX_PAGES.to_string())
        .pragma("cache_size", "-16384")
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnection::connect_with(&options(path)).await
}

async fn assert_pragmas(conn: &mut SqliteConnection, path: &Path) -> Result<(), InboxError> {
    let wrong = |pragma, value: String| InboxError::Pragma {
        path: path.to_owned(),
        pragma,
        value,
    };
    let mode: String = sqlx::query("PRAGMA journal_mode")
        .fetch_one(&mut *conn)
        .await?
        .try_get(0)?;
    if mode != "wal" {
        return Err(wrong("journal_mode", mode));
    }
    let has_option: bool = sqlx::query("SELECT sqlite_compileoption_used(?1)")
        .bind(REQUIRED_OPTION)
        .fetch_one(&mut *conn)
        .await?
        .try_get(0)?;
    if !has_option {
        return Err(InboxError::Build(REQUIRED_OPTION));
    }
    for (pragma, sql, wanted) in REQUIRED {
        let value: i64 = sqlx::query(sql).fetch_one(&mut *conn).await?.try_get(0)?;
        if value != wanted {
            return Err(wrong(pragma, value.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::Op::Create;

    use crate::store::inbox::testing::{group, live, open_with_output};

    #[tokio::test]
    async fn what_failed_gives_the_logs_room_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = open_with_output(folder.path(), "directory").await;
        let payload = "x".repeat(64 * 1024);
        let message = |seq| live("Z00101", 1, &[(seq, Create, "Patient/1", &payload)]);
        let log_bytes = || {
            let mut log = inbox.0.path.clone().into_os_string();
            log.push("-wal");
            std::fs::metadata(log).unwrap().len()
        };
        inbox.apply(&group(1, 2, vec![message(1)])).await.unwrap();
        let before = log_bytes();
        inbox.writer().await.unwrap().clean = false;
        drop(inbox.writer().await.unwrap());
        assert_eq!(log_bytes(), 0, "of {before}");
        inbox.apply(&group(1, 3, vec![message(2)])).await.unwrap();
        assert!(log_bytes() > 0);
        let mut writer = inbox.writer().await.unwrap();
        (writer.clean, writer.gave_room) = (false, true);
        drop(writer);
        drop(inbox.writer().await.unwrap());
        assert!(log_bytes() > 0, "nothing was committed since");
        // What was done with it left everything as it was.
        assert_eq!(inbox.last_change(), 2);
    }
}
