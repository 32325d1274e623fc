//! One SQLite file: its writer, its readers, and how it is opened.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    query::Query,
    sqlite::{SqliteArguments, SqlitePoolOptions},
};

use super::{
    checkpointer::Checkpointer,
    fault::{fault, full_or},
    settings::Settings,
    writer::{Checkpoint, Write, Writer},
};
use crate::store::StoreError;

/// How long a read waits for a free reader.
const READER_WAIT: Duration = Duration::from_secs(10);

/// Attempts to cut a write-ahead log, and how long it rests between two.
const CUT_ATTEMPTS: u32 = 5;
const CUT_REST: Duration = Duration::from_millis(100);

/// Attempts to sync beside other checkpoints, and how long it rests between two.
const SYNC_ATTEMPTS: u32 = 200;
const SYNC_REST: Duration = Duration::from_millis(10);

/// A file that is open.
#[derive(Debug)]
pub(super) struct Database {
    writer: Writer,
    readers: SqlitePool,
    checkpointer: Checkpointer,
    path: PathBuf,
    /// What was overwritten may stand in the write-ahead log still.
    owes_cut: AtomicBool,
}

impl Database {
    /// Makes an empty file that only this user may read, where there is none. SQLite gives its log and
    /// shared memory the same mode.
    pub(super) fn make(settings: &Settings, state_dir: &Path) -> Result<(), StoreError> {
        let path = state_dir.join(settings.file);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(StoreError::Full),
            Err(error) => Err(StoreError::Failed(format!(
                "{} cannot be made: {error}",
                path.display()
            ))),
        }
    }

    /// Opens a file that is there and brings its tables up to date.
    pub(super) async fn open(
        settings: &'static Settings,
        state_dir: &Path,
        migrations: &Migrator,
    ) -> Result<Self, StoreError> {
        let opened = connect_migrated(settings, state_dir, migrations).await;
        let conn = opened.map_err(|error| full_or(error, state_dir))?;
        // All at once, and for good: where the daemon runs out of file descriptors later, those who are
        // connected are still served.
        let readers = SqlitePoolOptions::new()
            .min_connections(settings.readers)
            .max_connections(settings.readers)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(READER_WAIT)
            .test_before_acquire(false)
            .connect_with(settings.reader_options(state_dir))
            .await
            .map_err(|error| full_or(fault(error), state_dir))?;
        let checkpointer = Checkpointer::start(settings, state_dir).await?;
        Ok(Self {
            writer: Writer::new(settings, state_dir.to_owned(), conn),
            readers,
            checkpointer,
            path: state_dir.join(settings.file),
            owes_cut: AtomicBool::new(false),
        })
    }

    /// Begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        self.checkpointer.begins();
        self.writer.begin().await
    }

    /// See [`Writer::transaction`].
    pub(super) async fn transaction(
        &self,
        whole: Query<'_, Sqlite, SqliteArguments>,
        means: impl FnOnce(&sqlx::Error) -> Option<StoreError>,
    ) -> Result<(), StoreError> {
        self.checkpointer.begins();
        self.writer.transaction(whole, means).await
    }

    /// Makes durable what was committed, however the file is set.
    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        for attempt in 0..SYNC_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(SYNC_REST).await;
            }
            // While another checkpoint is under way this one does nothing, and that one may have begun too early.
            if self.writer.checkpoint(Checkpoint::Sync).await? {
                return Ok(());
            }
        }
        let file = self.path.display();
        Err(StoreError::Failed(format!(
            "{file} cannot be synced: another checkpoint of it does not end"
        )))
    }

    /// Cuts the write-ahead log to nothing, so that nothing is left in it of what was overwritten. Where
    /// somebody reads an older state for too long, it is owed.
    pub(super) async fn cut_write_ahead_log(&self) -> Result<(), StoreError> {
        self.owes_cut.store(true, Ordering::Relaxed);
        for attempt in 0..CUT_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(CUT_REST).await;
            }
            if self.writer.checkpoint(Checkpoint::Cut).await? {
                self.owes_cut.store(false, Ordering::Relaxed);
                return Ok(());
            }
        }
        let file = self.path.display();
        tracing::warn!(%file, "what was erased is in the write-ahead log still: something reads the file for long");
        Ok(())
    }

    /// Tries again where it is owed.
    pub(super) async fn cut_if_owed(&self) -> Result<(), StoreError> {
        if self.owes_cut.load(Ordering::Relaxed) && self.writer.checkpoint(Checkpoint::Cut).await? {
            self.owes_cut.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// For a single statement that reads.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// For several statements that read one state.
    pub(super) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(fault)
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes every connection.
    pub(super) async fn close(self) {
        self.checkpointer.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn connect_migrated(
    settings: &Settings,
    state_dir: &Path,
    migrations: &Migrator,
) -> Result<SqliteConnection, StoreError> {
    let mut conn = settings.connect(state_dir).await?;
    let migrated = migrations.run_direct(None, &mut conn, false).await;
    migrated.map_err(|error| migration_fault(error, settings.file))?;
    Ok(conn)
}

fn migration_fault(error: sqlx::migrate::MigrateError, file: &str) -> StoreError {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(error),
        MigrateError::VersionMissing(version) => StoreError::Failed(format!(
            "{file} was last used by a newer handfastd (its tables are of version {version}): install that one again"
        )),
        other => StoreError::Corrupt(format!(
            "{file}: its tables are not those of this program: {other}"
        )),
    }
}
