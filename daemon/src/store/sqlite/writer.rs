//! The one connection of a file that writes, and its transactions.
//!
//! Invariant: whoever holds the lock finds the connection outside of any transaction, whatever became of
//! the one before. A transaction marks the connection as open before it begins and as clean once it is
//! over; one found open (its future was dropped) is rolled back first, one that is lost is opened anew.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments,
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    beside,
    fault::{fault, full_or, is_already_rolled_back},
    settings::{BUSY_TIMEOUT, Settings},
};
use crate::store::{Did, StoreError, With};

/// How long a checkpoint waits for those who read older states; writers wait behind it.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

/// The writer of one file.
#[derive(Debug)]
pub(super) struct Writer {
    settings: &'static Settings,
    state_dir: PathBuf,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    conn: SqliteConnection,
    condition: Condition,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    /// No transaction is open.
    Clean,
    /// A transaction may be open.
    Open,
    /// The connection is not to be used any more.
    Lost,
}

/// How far a checkpoint goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Checkpoint {
    /// What was committed is synced, and taken into the file as far as nobody reads older states.
    Sync,
    /// All of the write-ahead log is taken into the file, and the log is cut to nothing.
    Cut,
}

/// A transaction that writes. Dropped without [`Write::finish`] it is rolled back before the next begins.
pub(super) struct Write<'w> {
    writer: &'w Writer,
    slot: MutexGuard<'w, Slot>,
}

impl Writer {
    /// Takes over a connection that has passed its checks.
    pub(super) fn new(settings: &'static Settings, state_dir: PathBuf, conn: SqliteConnection) -> Self {
        Self {
            settings,
            state_dir,
            slot: Mutex::new(Slot {
                conn,
                condition: Condition::Clean,
            }),
        }
    }

    /// Begins a transaction, after those that wait already. It has the file's write lock from the start.
    pub(super) async fn begin(&self) -> Result<Write<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        match self.start(&mut slot).await {
            Ok(()) => Ok(Write { writer: self, slot }),
            Err(error) => Err(full_or(error, &self.state_dir)),
        }
    }

    /// Runs a text of statements from `BEGIN IMMEDIATE` to `COMMIT`, in one round trip to the connection's thread.
    /// `means`: what a statement's failure says. `Ok` means durable. Not cancellation-safe: dropped, it may or may not
    /// have committed.
    pub(super) async fn transaction(
        &self,
        whole: Query<'_, Sqlite, SqliteArguments>,
        means: impl FnOnce(&sqlx::Error) -> Option<StoreError>,
    ) -> Result<(), StoreError> {
        let mut slot = self.slot.lock().await;
        if let Err(error) = self.make_clean(&mut slot).await {
            return Err(full_or(error, &self.state_dir));
        }
        slot.condition = Condition::Open;
        let Err(failed) = whole.execute(&mut slot.conn).await else {
            slot.condition = Condition::Clean;
            return Ok(());
        };
        let error = means(&failed).unwrap_or_else(|| fault(failed));
        // Where it was open still, nothing was kept; otherwise it may have been the commit that failed.
        if slot.undo(&error).await {
            return Err(full_or(error, &self.state_dir));
        }
        Err(error)
    }

    /// Closes the connection in order. Dropping it does so too, but nobody waits for it.
    pub(super) async fn close(self) {
        let slot = self.slot.into_inner();
        if let Err(error) = slot.conn.close().await {
            let file = self.settings.file;
            tracing::warn!(file, %error, "the file was not closed in order; nothing is lost");
        }
    }

    /// Takes the write-ahead log into the file; whether all of it was, and (with [`Checkpoint::Cut`]) it was cut
    /// to nothing. What was committed is durable then, however the file is set.
    pub(super) async fn checkpoint(&self, how: Checkpoint) -> Result<bool, StoreError> {
        let mut slot = self.slot.lock().await;
        self.make_clean(&mut slot).await?;
        // Dropped half-way, or failed, the connection is not as it was set.
        slot.condition = Condition::Lost;
        let done = checkpoint(&mut slot.conn, how).await.map_err(fault)?;
        slot.condition = Condition::Clean;
        Ok(done)
    }

    async fn make_clean(&self, slot: &mut Slot) -> Result<(), StoreError> {
        if slot.condition == Condition::Open {
            slot.roll_back().await;
        }
        if slot.condition == Condition::Lost {
            slot.conn = self.settings.connect(&self.state_dir).await?;
            slot.condition = Condition::Clean;
        }
        Ok(())
    }

    async fn start(&self, slot: &mut Slot) -> Result<(), StoreError> {
        self.make_clean(slot).await?;
        slot.condition = Condition::Open;
        let begun = sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut slot.conn)
            .await
            .map_err(fault);
        if let Err(error) = begun {
            slot.undo(&error).await;
            return Err(error);
        }
        Ok(())
    }
}

async fn checkpoint(conn: &mut SqliteConnection, how: Checkpoint) -> Result<bool, sqlx::Error> {
    let sql = match how {
        Checkpoint::Sync => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Cut => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let wait = |wait: Duration| AssertSqlSafe(format!("PRAGMA busy_timeout = {}", wait.as_millis()));
    sqlx::query(wait(CHECKPOINT_WAIT)).execute(&mut *conn).await?;
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    sqlx::query(wait(BUSY_TIMEOUT)).execute(&mut *conn).await?;
    Ok(row.try_get::<i64, _>(0)? == 0)
}

impl Slot {
    /// Whether there was a transaction to roll back.
    async fn roll_back(&mut self) -> bool {
        let rolled_back = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
        let was_open = rolled_back.is_ok();
        self.condition = match rolled_back {
            Err(error) if !is_already_rolled_back(&error) => Condition::Lost,
            _ => Condition::Clean,
        };
        was_open
    }

    /// The same after a failure.
    async fn undo(&mut self, error: &StoreError) -> bool {
        let was_open = self.roll_back().await;
        // What SQLite holds in memory is not to be trusted after an I/O error or a damaged page.
        if matches!(error, StoreError::Failed(_) | StoreError::Corrupt(_)) {
            self.condition = Condition::Lost;
        }
        was_open
    }
}

impl Write<'_> {
    /// The connection, inside the transaction.
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.slot.conn
    }

    /// Commits what went well, rolls back what did not. `Ok` means durable.
    pub(super) async fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match result {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(error) => {
                self.slot.undo(&error).await;
                Err(full_or(error, &self.writer.state_dir))
            }
        }
    }

    /// The same, with what goes in beside a change that went well. `at` is the change's time.
    pub(super) async fn finish_with<T>(
        mut self,
        result: Result<T, StoreError>,
        with: &With,
        at: i64,
    ) -> Result<T, StoreError> {
        let result = match result {
            Ok(value) => beside::enter(self.conn(), with, at).await.map(|()| value),
            Err(error) => Err(error),
        };
        self.finish(result).await
    }

    /// The same for a change to grants or words, of which the result says what it did.
    pub(super) async fn finish_with_what_it_did<T>(
        mut self,
        result: Result<T, StoreError>,
        with: &With,
        at: i64,
    ) -> Result<T, StoreError>
    where
        for<'t> &'t T: Into<Did<'t>>,
    {
        let result = match result {
            Ok(value) => {
                let entered = beside::enter_what_it_did(self.conn(), with, (&value).into(), at).await;
                entered.map(|()| value)
            }
            Err(error) => Err(error),
        };
        self.finish(result).await
    }

    /// A failure here stays one even where the disk is full: whether it was kept is not known.
    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = sqlx::query("COMMIT").execute(self.conn()).await.map_err(fault);
        if let Err(error) = committed {
            self.slot.undo(&error).await;
            return Err(error);
        }
        self.slot.condition = Condition::Clean;
        Ok(())
    }
}
