//! What a pair has to send next: its catch-up first, then the live feed, both in the order of the source.
//!
//! Invariants: `position` never goes back; nothing live is chosen before the catch-up's end marker was, so
//! that a recipient sees the seqs of a grant rise.

use std::{collections::VecDeque, sync::Arc};

use handfast_proto::amendment::Batch;

use super::{counters::PairCounters, handover::Mask};
use crate::{
    consent::{GrantId, Pair},
    ingest::{Projector, Tail, read_row},
    store::{JobId, Of, PairState, Store, StoreError},
};

/// Bytes of the log read at once where the tail has them no more.
const READ_BYTES: usize = 1024 * 1024;

/// Records of a catch-up looked up at once.
const CURRENT_RECORDS: u32 = 2048;

/// Something to hand over.
#[derive(Clone, Debug)]
pub(super) enum Candidate {
    /// Amendments, not yet gated.
    Batch(Chosen),
    /// A catch-up begins or is complete.
    CatchUp(CatchUpMarker),
    /// A grant has ended.
    Fenced { pair: Pair, grant: GrantId },
    /// What a grant carried is to be removed.
    Withdraw { pair: Pair, grant: GrantId, job: JobId },
}

/// One edge of a catch-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct CatchUpMarker {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) job: JobId,
    pub(super) upto: u64,
    pub(super) complete: bool,
}

/// Numbers one taking-up of a pair by a subscription. Once the feed had to drop something of a take, it
/// hands over nothing more of it; the pair is taken up again from what the store has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Take(pub(super) u64);

/// Amendments of a pair, not yet gated.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) batch: Arc<Batch>,
    pub(super) mask: Mask,
    /// The catch-up it is part of.
    pub(super) job: Option<JobId>,
    /// Everything up to this seq is dealt with by it.
    pub(super) through: u64,
    pub(super) counters: Arc<PairCounters>,
}

/// What a pair's feed reads from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) store: Arc<dyn Store>,
    pub(super) projector: Projector,
}

/// One pair of a subscription.
pub(super) struct PairFeed {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    position: u64,
    tail: Arc<Tail>,
    backlog: VecDeque<Arc<Batch>>,
    catch_up: Option<CatchUp>,
    counters: Arc<PairCounters>,
}

struct CatchUp {
    job: JobId,
    upto: u64,
    /// Seqs up to this one have been looked up.
    looked_up: u64,
    begun: bool,
    current: VecDeque<u64>,
    batches: VecDeque<Arc<Batch>>,
}

impl PairFeed {
    pub(super) fn new(state: &PairState, take: Take, tail: Arc<Tail>, counters: Arc<PairCounters>) -> Self {
        Self {
            pair: state.pair,
            grant: state.grant,
            take,
            position: state.cursor,
            tail,
            backlog: VecDeque::new(),
            catch_up: None,
            counters,
        }
    }

    /// Has the pair catch up before anything else.
    pub(super) fn catch_up(&mut self, job: JobId, upto: u64, through: u64) {
        let fresh = CatchUp {
            job,
            upto,
            looked_up: through,
            begun: false,
            current: VecDeque::new(),
            batches: VecDeque::new(),
        };
        self.catch_up = Some(fresh);
    }

    /// The next thing to send; `None` where there is nothing for now. Not cancellation-safe: what was
    /// chosen would be passed over.
    pub(super) async fn next(&mut self, from: &Sources) -> Result<Option<Candidate>, StoreError> {
        if self.catch_up.is_some() {
            return self.next_of_catch_up(from).await.map(Some);
        }
        if self.tail.head() <= self.position {
            return Ok(None);
        }
        let batch = self.next_live(from).await?;
        let mask = Mask::beyond(&batch, self.position);
        self.position = batch.last_seq();
        Ok(Some(Candidate::Batch(self.chosen(
            batch,
            mask,
            None,
            self.position,
        ))))
    }

    async fn next_live(&mut self, from: &Sources) -> Result<Arc<Batch>, StoreError> {
        if let Some(batch) = self.tail.next(self.position) {
            self.backlog.clear();
            return Ok(batch);
        }
        if self.backlog.is_empty() {
            self.backlog = read(from, self.pair, self.position).await?;
        }
        self.backlog.pop_front().ok_or_else(|| ends_early(self.pair))
    }

    async fn next_of_catch_up(&mut self, from: &Sources) -> Result<Candidate, StoreError> {
        let (pair, grant, take) = (self.pair, self.grant, self.take);
        let Some(run) = self.catch_up.as_mut() else {
            return Err(ends_early(pair));
        };
        let marker = |run: &CatchUp, complete| {
            Candidate::CatchUp(CatchUpMarker {
                pair,
                grant,
                take,
                job: run.job,
                upto: run.upto,
                complete,
            })
        };
        if !run.begun {
            run.begun = true;
            return Ok(marker(run, false));
        }
        if let Some((batch, mask)) = run.next(from, pair).await? {
            let (job, through) = (run.job, run.dealt_with());
            return Ok(Candidate::Batch(self.chosen(batch, mask, Some(job), through)));
        }
        let complete = marker(run, true);
        self.position = self.position.max(run.upto);
        self.catch_up = None;
        Ok(complete)
    }

    fn chosen(&self, batch: Arc<Batch>, mask: Mask, job: Option<JobId>, through: u64) -> Chosen {
        let counters = Arc::clone(&self.counters);
        Chosen {
            pair: self.pair,
            grant: self.grant,
            take: self.take,
            batch,
            mask,
            job,
            through,
            counters,
        }
    }
}

impl CatchUp {
    /// The next batch that holds current records, and which of its amendments they are.
    async fn next(&mut self, from: &Sources, pair: Pair) -> Result<Option<(Arc<Batch>, Mask)>, StoreError> {
        loop {
            if self.current.is_empty() && !self.look_up(from, pair).await? {
                return Ok(None);
            }
            let Some(first) = self.current.front().copied() else {
                return Ok(None);
            };
            while self.batches.front().is_some_and(|b| b.last_seq() < first) {
                self.batches.pop_front();
            }
            if self.batches.front().is_none_or(|b| b.first_seq() > first) {
                self.batches = read(from, pair, first - 1).await?;
            }
            let batch = self.batches.pop_front().ok_or_else(|| ends_early(pair))?;
            let mask = self.take_mask(&batch);
            if mask != Mask::NONE {
                return Ok(Some((batch, mask)));
            }
        }
    }

    /// Every current record up to this seq was chosen.
    fn dealt_with(&self) -> u64 {
        self.current.front().map_or(self.looked_up, |next| next - 1)
    }

    async fn look_up(&mut self, from: &Sources, pair: Pair) -> Result<bool, StoreError> {
        from.projector.caught_up(pair.source, self.upto).await;
        let current = from
            .store
            .current_records(
                pair.source,
                Of::Everyone,
                self.looked_up,
                self.upto,
                CURRENT_RECORDS,
            )
            .await?;
        self.looked_up = current.last().map_or(self.upto, |record| record.seq);
        self.current = current.iter().map(|record| record.seq).collect();
        Ok(!self.current.is_empty())
    }

    fn take_mask(&mut self, batch: &Batch) -> Mask {
        let mut mask = Mask::NONE;
        while let Some(seq) = self
            .current
            .front()
            .copied()
            .filter(|seq| *seq <= batch.last_seq())
        {
            self.current.pop_front();
            if let Ok(index) = usize::try_from(seq.saturating_sub(batch.first_seq())) {
                mask = mask.with(index);
            }
        }
        mask
    }
}

async fn read(from: &Sources, pair: Pair, after: u64) -> Result<VecDeque<Arc<Batch>>, StoreError> {
    let rows = from.store.read_log(pair.source, after, READ_BYTES).await?;
    rows.into_iter()
        .map(|row| read_row(row).map_err(|e| StoreError::Corrupt(e.to_string())))
        .collect()
}

fn ends_early(pair: Pair) -> StoreError {
    StoreError::Corrupt(format!("the log of {} ends before its head", pair.source))
}
