//! What a grant has to send next: the catch-up of a new one first, then the live feed with the jobs that came
//! later between its batches.
//!
//! Invariants: `position` never goes back; nothing live is chosen before a catch-up's end marker was, so that
//! a recipient sees the seqs of a grant rise.

use std::{collections::VecDeque, sync::Arc};

use handfast_proto::amendment::Batch;

use super::{
    candidate::{Candidate, Chosen, Edge, Over},
    fence::Fence,
    handover::Mask,
    job_feed::{Jobs, Live, Serves},
    left_out::LeftOut,
};
use crate::{
    clock::Clock,
    consent::Pair,
    ingest::{Projector, Tail},
    store::{Job, JobId, LogRow, PairState, Store, StoreError},
};

/// Bytes of the log read at once where the tail has them no more.
const READ_BYTES: usize = 1024 * 1024;

/// What a feed reads from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) store: Arc<dyn Store>,
    pub(super) projector: Projector,
    pub(super) fence: Arc<Fence>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a step came to.
pub(super) enum Next {
    /// This is to be sent.
    Send(Candidate),
    /// Nothing yet; there is more to look at.
    Again,
    /// There is nothing for now.
    Nothing,
}

/// One grant of a subscription.
pub(super) struct PairFeed {
    pub(super) serves: Serves,
    position: u64,
    tail: Arc<Tail>,
    backlog: VecDeque<Arc<Batch>>,
    /// [`Tail::erasures`] before anything of the log that is held here was read.
    erasures: u64,
    jobs: Jobs,
    /// Whose turn it is where there is something of both.
    jobs_turn: bool,
}

impl PairFeed {
    pub(super) fn new(state: &PairState, serves: Serves, tail: Arc<Tail>) -> Self {
        Self {
            serves,
            position: state.cursor,
            erasures: tail.erasures(),
            tail,
            backlog: VecDeque::new(),
            jobs: Jobs::default(),
            jobs_turn: true,
        }
    }

    /// See [`Jobs::reload`].
    pub(super) fn reload(&mut self, due: &[Job], settled: JobId) {
        self.jobs.reload(due, settled);
    }

    /// The next thing to send. Not cancellation-safe: what was chosen would be passed over.
    pub(super) async fn next(&mut self, from: &Sources) -> Result<Next, StoreError> {
        let erasures = self.tail.erasures();
        if self.erasures != erasures {
            self.erasures = erasures;
            self.backlog.clear();
            self.jobs.read_again();
        }
        if self.jobs.hold_up_live() {
            return self.next_of_jobs(from).await;
        }
        self.jobs_turn = !self.jobs_turn;
        if self.jobs_turn {
            return match self.next_of_jobs(from).await? {
                Next::Nothing => self.next_live(from).await,
                found => Ok(found),
            };
        }
        match self.next_live(from).await? {
            Next::Nothing => self.next_of_jobs(from).await,
            found => Ok(found),
        }
    }

    async fn next_of_jobs(&mut self, from: &Sources) -> Result<Next, StoreError> {
        let live = Live {
            head: self.tail.head(),
            position: self.position,
        };
        let next = self.jobs.next(&self.serves, live, from).await?;
        if let Next::Send(Candidate::Edge(Edge {
            complete: true,
            over: Over::Everything,
            upto,
            ..
        })) = &next
        {
            self.position = self.position.max(*upto);
        }
        Ok(next)
    }

    async fn next_live(&mut self, from: &Sources) -> Result<Next, StoreError> {
        if self.tail.head() <= self.position {
            return Ok(Next::Nothing);
        }
        let batch = self.next_batch(from).await?;
        let mask = Mask::beyond(&batch, self.position);
        self.position = batch.last_seq();
        self.jobs.overtaken_by(&batch);
        Ok(Next::Send(Candidate::Batch(Chosen {
            pair: self.serves.pair,
            grant: self.serves.grant,
            take: self.serves.take,
            batch,
            mask,
            job: None,
            through: self.position,
            ahead: self.position,
            left_out: LeftOut::default(),
            counters: Arc::clone(&self.serves.counters),
        })))
    }

    async fn next_batch(&mut self, from: &Sources) -> Result<Arc<Batch>, StoreError> {
        if let Some(batch) = self.tail.next(self.position) {
            self.backlog.clear();
            return Ok(batch);
        }
        if self.backlog.is_empty() {
            let reading = read(from, self.serves.pair, self.position, READ_BYTES);
            self.backlog = self.tail.behind(self.position, self.erasures, reading).await?;
        }
        self.backlog
            .pop_front()
            .ok_or_else(|| ends_early(self.serves.pair))
    }
}

/// Batches of the log from the one that holds `after + 1` on.
pub(super) async fn read(
    from: &Sources,
    pair: Pair,
    after: u64,
    bytes: usize,
) -> Result<VecDeque<Arc<Batch>>, StoreError> {
    let rows = from.store.read_log(pair.source, after, bytes).await?;
    rows.into_iter().map(LogRow::into_batch).collect()
}

pub(super) fn ends_early(pair: Pair) -> StoreError {
    StoreError::Corrupt(format!("the log of {} ends before its head", pair.source))
}
