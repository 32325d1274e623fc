//! Takes the write-ahead log into its file beside the commits: one that has to do it itself keeps everybody waiting.
//!
//! Invariant: nothing rests on it. Where it fails or falls behind, a commit finds the log as long as it may be, and takes
//! it in as if there were no checkpointer.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::Settings;
use crate::store::StoreError;

/// Commits after which it is worth its own sync.
const MIN_COMMITS: u32 = 16;

/// How long it rests between two checkpoints.
const REST: Duration = Duration::from_millis(20);

/// How long after one that failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// What there is to take in.
#[derive(Debug, Default)]
struct Waiting {
    /// Since the last checkpoint.
    commits: AtomicU32,
    /// There are [`MIN_COMMITS`].
    enough: Notify,
}

/// The checkpoints of one file.
#[derive(Debug)]
pub(super) struct Checkpointer {
    waiting: Arc<Waiting>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Checkpointer {
    /// Begins, with a connection of its own.
    pub(super) async fn start(settings: &'static Settings, state_dir: &Path) -> Result<Self, StoreError> {
        let conn = settings.connect(state_dir).await?;
        let waiting = Arc::new(Waiting::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(conn, Arc::clone(&waiting), stop.clone()));
        Ok(Self { waiting, stop, task })
    }

    /// A transaction that writes begins; it is counted as committed.
    pub(super) fn begins(&self) {
        if self.waiting.commits.fetch_add(1, Ordering::Relaxed) + 1 == MIN_COMMITS {
            self.waiting.enough.notify_one();
        }
    }

    /// Closes its connection, behind a checkpoint that is under way.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        let _ended = (&mut self.task).await;
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(mut conn: SqliteConnection, waiting: Arc<Waiting>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = waiting.enough.notified() => {}
        }
        waiting.commits.store(0, Ordering::Relaxed);
        // Never waits for anybody, and holds nobody up.
        let done = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&mut conn)
            .await;
        let rest = match done {
            Ok(_) => REST,
            Err(error) => {
                tracing::debug!(%error, "the write-ahead log cannot be taken in; commits do it");
                REST_AFTER_FAILURE
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(rest) => {}
        }
    }
    if let Err(error) = conn.close().await {
        tracing::debug!(%error, "a connection was not closed in order");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::{
        conformance::kit::{HILL, Outbox, deployment, publish, register},
        sqlite::{settings::MAIN, store::SqliteStore},
    };

    /// How long the test waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Fails where commits alone take the log in: these few leave it far below the length at which they do.
    #[tokio::test]
    async fn the_file_has_what_was_committed_long_before_a_commit_would_take_it_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(dir.path(), &deployment()).await.unwrap();
        register(&store, HILL).await.unwrap();
        let length = || fs::metadata(dir.path().join(MAIN.file)).unwrap().len();
        let before = length();
        let mut outbox = Outbox::new(HILL);
        for _ in 0..2 * MIN_COMMITS {
            publish(&store, &mut outbox, 60).await;
        }
        let grown = async {
            while length() <= before {
                tokio::time::sleep(REST).await;
            }
        };
        tokio::time::timeout(PATIENCE, grown).await.unwrap();
        store.close().await;
    }
}
