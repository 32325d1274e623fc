//! What hands batches and moves to the task that commits, and what both share.

use std::{fmt, sync::Arc, time::Duration};

use handfast_proto::{amendment::Batch, ids::OdsCode, v1::PerhapsCause};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use super::{
    commit_task::CommitterTask,
    compare::{self, Point},
    heads::Heads,
    moves::Moves,
    session::{MAX_UNCOMMITTED_BYTES, Session},
    statements::{BadStatement, Stating},
    tail::Tails,
    waiting::{MOVES_LINGER, Waiting},
};
use crate::{
    audit::{Disclosures, Scribe, Stream},
    clock::Clock,
    store::{LogBatch, Store, StoreError, is_erased},
};

/// Batches waiting for the committer, of all sessions.
const QUEUE_BATCHES: usize = 512;

/// Runs of seqs to be entered that may wait for a commit before jobs that leave things out wait too.
pub(super) const MAX_WAITING_RUNS: usize = 64 * 1024;

/// How long what was disclosed may take to be entered where that is waited for.
const ENTER_BOUND: Duration = Duration::from_secs(5);

/// A batch on its way, and who sent it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) session: Arc<Session>,
    pub(super) batch: Arc<LogBatch>,
    /// Where it is a statement: what it says, and its place among those that are not known to be in force.
    pub(super) stating: Option<Box<(Stating, OwnedSemaphorePermit)>>,
    pub(super) _budget: OwnedSemaphorePermit,
}

/// Hands batches and moves to the committer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Committer {
    queue: mpsc::Sender<Incoming>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) waiting: Mutex<Waiting>,
    pub(super) moved: Notify,
    pub(super) heads: Heads,
    pub(super) tails: Tails,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("heads", &self.heads)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Resolves where moves have waited long enough to be committed without a batch. Cancellation-safe.
    pub(super) async fn moves_alone(&self) {
        loop {
            let due = self.waiting.lock().due();
            match due {
                Some(due) => return tokio::time::sleep_until(due).await,
                None => self.moved.notified().await,
            }
        }
    }
}

/// The committer was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopped;

/// Why a batch was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOffered {
    /// It is a statement that cannot be taken.
    #[error(transparent)]
    Statement(#[from] BadStatement),
    /// A payload of it stands for one that was erased: it would be confirmed, and go to nobody.
    #[error(
        "the payload of seq {0} is zeroes alone, which stand for one that was erased: send what the record is"
    )]
    Erased(u64),
    /// The committer was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Committer {
    /// Queues a batch of a session; waits while the session has too much on its way already. A statement is
    /// read here: one that is broken is not queued, nor is a payload that looks erased.
    /// Cancellation-safe: dropped before it returns, the batch was not queued.
    pub async fn offer(&self, session: &Arc<Session>, batch: LogBatch) -> Result<(), NotOffered> {
        if let Some(seq) = looks_erased(&batch.batch) {
            return Err(NotOffered::Erased(seq));
        }
        let stating = match Stating::of(batch.source, &batch.batch)? {
            Some(stating) => Some(Box::new((
                stating,
                session.statements().place().await.ok_or(Stopped)?,
            ))),
            None => None,
        };
        let weight = batch.batch.weight().clamp(1, MAX_UNCOMMITTED_BYTES);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let budget = Arc::clone(session.budget())
            .acquire_many_owned(weight)
            .await
            .map_err(|_| Stopped)?;
        let incoming = Incoming {
            session: Arc::clone(session),
            batch: Arc::new(batch),
            stating,
            _budget: budget,
        };
        self.queue.send(incoming).await.map_err(|_| Stopped)?;
        Ok(())
    }

    /// Queues moves; they travel with a commit, together with those that come a little later.
    pub fn offer_moves(&self, moves: Moves) {
        self.shared.waiting.lock().add(moves, Instant::now());
        self.shared.moved.notify_one();
    }

    /// What waits to be entered of some streams, or is being entered, as what has perhaps arrived.
    pub fn unentered(&self, cause: PerhapsCause, is_meant: impl Fn(&Stream) -> bool) -> Disclosures {
        let waiting = self.shared.waiting.lock();
        let mut all = Disclosures::default();
        for disclosures in waiting.disclosures() {
            all.merge(disclosures.as_perhaps(cause, &is_meant));
        }
        all
    }

    /// Waits until nothing of such streams waits to be entered; fails where that takes longer than
    /// [`ENTER_BOUND`]. Cancellation-safe.
    pub async fn entered(&self, is_meant: impl Fn(&Stream) -> bool) -> Result<(), StoreError> {
        let is_entered = || !self.shared.waiting.lock().disclosures().any(|d| d.has(&is_meant));
        let entered = async {
            while !is_entered() {
                tokio::time::sleep(MOVES_LINGER / 4).await;
            }
        };
        tokio::time::timeout(ENTER_BOUND, entered)
            .await
            .map_err(|_| StoreError::Failed("what was handed over before cannot be entered".to_owned()))
    }

    /// Resolves where what waits to be entered is not too much: a job that leaves out a million records goes no
    /// faster than the commits. Cancellation-safe.
    pub async fn has_room(&self) {
        while self.shared.waiting.lock().runs() > MAX_WAITING_RUNS {
            tokio::time::sleep(MOVES_LINGER).await;
        }
    }

    /// Where each source stands.
    pub fn heads(&self) -> &Heads {
        &self.shared.heads
    }

    /// Up to which of its own seqs a store has what the log has; see [`Point`].
    pub async fn agreed(&self, source: OdsCode, from: Point, points: &[Point]) -> Result<u64, StoreError> {
        compare::agreed(&*self.shared.store, source, from, points).await
    }

    /// The newest batches of each source.
    pub fn tails(&self) -> &Tails {
        &self.shared.tails
    }
}

/// Makes a committer; `committed` is told of every commit. Reads the heads from the store.
pub async fn committer(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    scribe: Scribe,
    committed: Arc<Notify>,
) -> Result<(Committer, CommitterTask), StoreError> {
    let (sender, queue) = mpsc::channel(QUEUE_BATCHES);
    let shared = Arc::new(Shared {
        store: Arc::clone(&store),
        waiting: Mutex::default(),
        moved: Notify::new(),
        heads: Heads::default(),
        tails: Tails::default(),
    });
    let heads = store.heads().await?;
    for (source, head) in &heads {
        shared.tails.of(*source).start_at(head.seq);
    }
    shared.heads.reload(heads);
    let committer = Committer {
        queue: sender,
        shared: Arc::clone(&shared),
    };
    Ok((
        committer,
        CommitterTask::new(queue, shared, store, clock, scribe, committed),
    ))
}

/// The first seq of which the payload is what the log has of one that was erased.
fn looks_erased(batch: &Batch) -> Option<u64> {
    let index = (0..batch.len()).find(|index| is_erased(batch.payload_slice(*index)))?;
    Some(batch.seq(index))
}
