//! Group commit: one task commits everything that arrived while the last commit was running: batches of
//! all sources, cursors, receipts. No timer holds a batch back.
//!
//! Invariants: a batch is appended only if it follows its source's head by seq and by chain; a session is
//! acknowledged only what is durable; on a failure every session of the group ends, nothing of it is
//! acknowledged, and the heads are read again from the store, not guessed.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use handfast_proto::{amendment::Batch, ids::OdsCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    compare::{self, Point},
    heads::Heads,
    moves::Moves,
    session::{MAX_UNCOMMITTED_BYTES, Session, SessionEnd},
    tail::Tails,
};
use crate::{
    clock::Clock,
    store::{AppendGroup, Head, LogBatch, Store, StoreError},
};

/// Batches waiting for the committer, of all sessions.
const QUEUE_BATCHES: usize = 512;

/// Batches in one commit.
const MAX_GROUP_BATCHES: usize = 512;

/// Bytes of batches in one commit, past which no further batch is added.
const MAX_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// How long moves wait for a batch to travel with before they are committed alone.
const MOVES_LINGER: Duration = Duration::from_millis(50);

/// How long the committer rests after a failed commit.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// A batch on its way, and who sent it.
#[derive(Debug)]
struct Incoming {
    session: Arc<Session>,
    batch: Arc<LogBatch>,
    _budget: OwnedSemaphorePermit,
}

/// Hands batches and moves to the committer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Committer {
    queue: mpsc::Sender<Incoming>,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    moves: Mutex<Moves>,
    moved: Notify,
    heads: Heads,
    tails: Tails,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("heads", &self.heads)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Resolves where moves have waited long enough to be committed without a batch.
    async fn moves_alone(&self) {
        loop {
            self.moved.notified().await;
            tokio::time::sleep(MOVES_LINGER).await;
            if !self.moves.lock().is_empty() {
                return;
            }
        }
    }
}

/// The committer was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopped;

impl Committer {
    /// Queues a batch of a session; waits while the session has too much on its way already.
    /// Cancellation-safe: dropped before it returns, the batch was not queued.
    pub async fn offer(&self, session: &Arc<Session>, batch: LogBatch) -> Result<(), Stopped> {
        let weight = batch.batch.weight().clamp(1, MAX_UNCOMMITTED_BYTES);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let budget = Arc::clone(session.budget())
            .acquire_many_owned(weight)
            .await
            .map_err(|_| Stopped)?;
        let incoming = Incoming {
            session: Arc::clone(session),
            batch: Arc::new(batch),
            _budget: budget,
        };
        self.queue.send(incoming).await.map_err(|_| Stopped)
    }

    /// Queues moves; they travel with the next commit.
    pub fn offer_moves(&self, moves: Moves) {
        self.shared.moves.lock().merge(moves);
        self.shared.moved.notify_one();
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

/// The task that commits.
pub struct CommitterTask {
    queue: mpsc::Receiver<Incoming>,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    committed: Arc<Notify>,
}

/// Makes a committer; `committed` is told of every commit. Reads the heads from the store.
pub async fn committer(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    committed: Arc<Notify>,
) -> Result<(Committer, CommitterTask), StoreError> {
    let (sender, queue) = mpsc::channel(QUEUE_BATCHES);
    let shared = Arc::new(Shared {
        store: Arc::clone(&store),
        moves: Mutex::default(),
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
        CommitterTask {
            queue,
            shared,
            store,
            clock,
            committed,
        },
    ))
}

impl CommitterTask {
    /// Commits until stopped; what is queued then is committed still.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                first = self.queue.recv() => match first {
                    Some(first) => Some(first),
                    None => break,
                },
                () = self.shared.moves_alone() => None,
            };
            let incoming = self.collect(first);
            self.commit(incoming).await;
        }
        self.queue.close();
        loop {
            let first = self.queue.try_recv().ok();
            let last = first.is_none();
            let incoming = self.collect(first);
            self.commit(incoming).await;
            if last {
                return;
            }
        }
    }

    fn collect(&mut self, first: Option<Incoming>) -> Vec<Incoming> {
        let mut bytes = first.as_ref().map_or(0, |i| i.batch.batch.weight());
        let mut incoming: Vec<Incoming> = first.into_iter().collect();
        while incoming.len() < MAX_GROUP_BATCHES && bytes < MAX_GROUP_BYTES {
            let Ok(next) = self.queue.try_recv() else { break };
            bytes += next.batch.batch.weight();
            incoming.push(next);
        }
        incoming
    }

    async fn commit(&mut self, incoming: Vec<Incoming>) {
        let moves = std::mem::take(&mut *self.shared.moves.lock());
        let (taken, heads) = self.in_step(incoming);
        if taken.is_empty() && moves.is_empty() {
            return;
        }
        let mut group = AppendGroup {
            batches: taken.iter().map(|i| Arc::clone(&i.batch)).collect(),
            at: self.clock.now_ms(),
            ..AppendGroup::default()
        };
        moves.write_into(&mut group);
        match self.store.append(&group).await {
            Ok(_words) => self.committed(&taken, heads),
            Err(error) => self.not_committed(&taken, moves, &error).await,
        }
    }

    /// Those of the batches that follow their heads, and the heads they lead to. A session whose batch
    /// does not follow ends; what is there already is acknowledged again.
    fn in_step(&self, incoming: Vec<Incoming>) -> (Vec<Incoming>, HashMap<OdsCode, Head>) {
        let mut heads: HashMap<OdsCode, Head> = HashMap::new();
        let mut taken = Vec::with_capacity(incoming.len());
        for item in incoming.into_iter().filter(|i| !i.session.ended()) {
            let log = &item.batch;
            let head = heads
                .get(&log.source)
                .copied()
                .unwrap_or_else(|| self.shared.heads.of(log.source));
            if log.batch.last_seq() <= head.seq {
                item.session.ack(self.shared.heads.of(log.source).seq);
                continue;
            }
            let follows = log.batch.first_seq() == head.seq + 1;
            if !follows || (head.seq > 0 && log.chain_before != head.chain) {
                item.session.end(SessionEnd::OutOfStep(head.seq + 1));
                continue;
            }
            let next = Head {
                seq: log.batch.last_seq(),
                chain: Some(log.chain_after),
                store: Some(log.store),
            };
            heads.insert(log.source, next);
            taken.push(item);
        }
        (taken, heads)
    }

    fn committed(&self, taken: &[Incoming], heads: HashMap<OdsCode, Head>) {
        let mut by_source: HashMap<OdsCode, Vec<Arc<Batch>>> = HashMap::with_capacity(heads.len());
        for item in taken {
            by_source
                .entry(item.batch.source)
                .or_default()
                .push(Arc::clone(&item.batch.batch));
        }
        self.shared.heads.advance(heads);
        for (source, batches) in by_source {
            self.shared.tails.of(source).push(batches);
        }
        for item in taken {
            item.session.ack(item.batch.batch.last_seq());
        }
        self.committed.notify_one();
    }

    async fn not_committed(&self, taken: &[Incoming], moves: Moves, error: &StoreError) {
        tracing::error!(%error, batches = taken.len(), "a commit failed; its agents will send again");
        {
            let mut waiting = self.shared.moves.lock();
            let later = std::mem::replace(&mut *waiting, moves);
            waiting.merge(later);
        }
        self.shared.moved.notify_one();
        for item in taken {
            item.session.end(SessionEnd::NotCommitted(error.to_string()));
        }
        tokio::time::sleep(REST_AFTER_FAILURE).await;
        match self.store.heads().await {
            Ok(heads) => self.caught_up(heads),
            Err(error) => tracing::error!(%error, "the heads cannot be read"),
        }
    }

    /// After a failure whose outcome was unknown: what turns out to be durable counts.
    fn caught_up(&self, heads: Vec<(OdsCode, Head)>) {
        for (source, head) in &heads {
            let tail = self.shared.tails.of(*source);
            if tail.head() < head.seq {
                tail.restart_at(head.seq);
            }
        }
        self.shared.heads.reload(heads);
    }
}
