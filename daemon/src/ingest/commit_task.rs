//! Group commit: one task commits everything that arrived while the last commit was running: batches of
//! all sources, cursors, receipts, and what units state of consents. No timer holds a batch back; cursors and
//! receipts wait a little for one another (see [`super::waiting`]).
//!
//! Invariants: a batch is appended only if it follows its source's head by seq and by chain; a session is
//! acknowledged only what is durable; on a failure every session of the group ends, nothing of it is
//! acknowledged, and the heads are read again from the store, not guessed; what a statement changes is in the
//! book before the batches of its commit reach any feed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use handfast_proto::{amendment::Batch, ids::OdsCode};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    committer::{Incoming, Shared},
    moves::Moves,
    session::{Session, SessionEnd},
    statements::{Prepared, Settling, Statements, Stating},
};
use crate::{
    audit::Scribe,
    clock::Clock,
    store::{AppendGroup, Head, Store, StoreError},
};

/// Batches in one commit.
const MAX_GROUP_BATCHES: usize = 512;

/// Statements in one commit: what follows from each is worked out while it waits.
const MAX_GROUP_STATEMENTS: usize = 32;

/// Bytes of batches in one commit, past which no further batch is added.
const MAX_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// How long the committer rests after a failed commit.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// How often it is asked whether what statements ended is settled, and how long after one answer the next: a connection
/// that was cut is gone long before.
const MAX_ASKED: u32 = 120;
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The task that commits.
pub struct CommitterTask {
    queue: mpsc::Receiver<Incoming>,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    scribe: Scribe,
    committed: Arc<Notify>,
    statements: Option<Arc<dyn Statements>>,
}

impl CommitterTask {
    pub(super) fn new(
        queue: mpsc::Receiver<Incoming>,
        shared: Arc<Shared>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        scribe: Scribe,
        committed: Arc<Notify>,
    ) -> Self {
        Self {
            queue,
            shared,
            store,
            clock,
            scribe,
            committed,
            statements: None,
        }
    }

    /// Has someone carry out what units state. Without, a statement is not taken.
    #[must_use]
    pub fn with_statements(mut self, statements: Arc<dyn Statements>) -> Self {
        self.statements = Some(statements);
        self
    }

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
        let mut statements = incoming.iter().filter(|i| i.stating.is_some()).count();
        while incoming.len() < MAX_GROUP_BATCHES
            && bytes < MAX_GROUP_BYTES
            && statements < MAX_GROUP_STATEMENTS
        {
            let Ok(next) = self.queue.try_recv() else { break };
            bytes += next.batch.batch.weight();
            statements += usize::from(next.stating.is_some());
            incoming.push(next);
        }
        incoming
    }

    async fn commit(&mut self, incoming: Vec<Incoming>) {
        let alone = incoming.is_empty();
        let moves = self.shared.waiting.lock().take(alone, Instant::now());
        let (taken, heads) = self.in_step(incoming);
        let (taken, heads, prepared) = self.prepare(taken, heads).await;
        if taken.is_empty() && moves.is_empty() {
            return;
        }
        let mut group = AppendGroup {
            batches: taken.iter().map(|i| Arc::clone(&i.batch)).collect(),
            stated: prepared.as_ref().map(|p| p.stated()).unwrap_or_default(),
            with: prepared.as_ref().map(|p| p.with()).unwrap_or_default(),
            at: self.clock.now_ms(),
            ..AppendGroup::default()
        };
        let appended = match moves.write_into(&mut group, &self.scribe) {
            Ok(()) => self.store.append(&group).await,
            Err(error) => Err(StoreError::Failed(error.to_string())),
        };
        match appended {
            Ok(words) => {
                self.shared.waiting.lock().are_committed();
                moves.are_committed();
                // The consents first: what follows in these batches goes by them.
                let in_force = prepared.map(|p| p.committed(&words));
                self.committed(taken, heads, in_force);
            }
            Err(error) => {
                if let Some(prepared) = prepared {
                    prepared.failed(&error);
                }
                if matches!(error, StoreError::Failed(_)) {
                    come_into_force(&taken).for_each(|(session, seq)| session.statements().is_unsure(seq));
                }
                self.not_committed(&taken, moves, &error).await;
            }
        }
    }

    /// Makes the statements of a group ready. Where they cannot be, their sessions end; the others go on.
    async fn prepare(
        &self,
        taken: Vec<Incoming>,
        heads: HashMap<OdsCode, Head>,
    ) -> (Vec<Incoming>, HashMap<OdsCode, Head>, Option<Box<dyn Prepared>>) {
        let stating: Vec<Stating> = taken
            .iter()
            .filter_map(|i| Some(i.stating.as_ref()?.0.clone()))
            .collect();
        if stating.is_empty() {
            return (taken, heads, None);
        }
        let prepared = match &self.statements {
            Some(statements) => statements.prepare(&stating).await,
            None => Err(StoreError::Failed("nobody here keeps the consents".to_owned())),
        };
        match prepared {
            Ok(prepared) => (taken, heads, Some(prepared)),
            Err(error) => {
                tracing::error!(%error, "statements cannot be carried out; their agents will send again");
                let of_statements = taken.iter().filter(|i| i.stating.is_some());
                of_statements.for_each(|i| i.session.end(SessionEnd::NotCommitted(error.to_string())));
                let (taken, heads) = self.in_step(taken);
                (taken, heads, None)
            }
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

    fn committed(&self, taken: Vec<Incoming>, heads: HashMap<OdsCode, Head>, in_force: Option<Settling>) {
        let mut by_source: HashMap<OdsCode, Vec<Arc<Batch>>> = HashMap::with_capacity(heads.len());
        for item in &taken {
            by_source
                .entry(item.batch.source)
                .or_default()
                .push(Arc::clone(&item.batch.batch));
        }
        come_into_force(&taken).for_each(|(session, seq)| session.statements().committed(seq));
        self.shared.heads.advance(heads);
        for (source, batches) in by_source {
            self.shared.tails.of(source).push(batches);
        }
        for item in &taken {
            item.session.ack(item.batch.batch.last_seq());
        }
        self.committed.notify_one();
        if let Some(in_force) = in_force {
            tokio::spawn(tell(taken, in_force));
        }
    }

    async fn not_committed(&self, taken: &[Incoming], moves: Arc<Moves>, error: &StoreError) {
        tracing::error!(%error, batches = taken.len(), "a commit failed; its agents will send again");
        // Nobody else has them any more, so that they can wait again.
        drop(moves);
        self.shared.waiting.lock().put_back(Instant::now());
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

/// The statements of a group whose senders are told when they are in force.
fn come_into_force(taken: &[Incoming]) -> impl Iterator<Item = (&Session, u64)> {
    let of_statements = taken
        .iter()
        .filter_map(|i| Some((&*i.session, i.stating.as_ref()?)));
    let told = of_statements.filter(|(_, stating)| stating.0.comes_into_force());
    told.map(|(session, stating)| (session, stating.0.seq))
}

/// Tells those who stated something that it is in force. Bounded by the places that the statements hold until then.
async fn tell(taken: Vec<Incoming>, settling: Settling) {
    let taken: Vec<Incoming> = taken.into_iter().filter(|i| i.stating.is_some()).collect();
    for _ in 0..MAX_ASKED {
        let pending = settling().await;
        for (session, seq) in come_into_force(&taken) {
            session.statements().tell(seq, pending).await;
        }
        if !pending {
            return;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    tracing::error!(
        "what statements ended may be in flight still; their agents are told so until the daemon restarts"
    );
}
