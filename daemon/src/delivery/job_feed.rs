//! The reconcile jobs of a grant, one step at a time.
//!
//! Invariants: a job that marks and sweeps (over everything, over a patient) is alone on its grant between its
//! edges: what another job sent meanwhile would lose its mark. One over changes marks nothing and may be
//! interrupted by those over a patient. Up to where a job over a patient or over changes goes is fixed when it
//! begins, which is after the book was swapped for it: what was handed over under the book before lies below.
//! The end of a job over changes is chosen when the live feed is past everything that may have taken a record
//! out of the job's hands. What the live feed chose of a record after a job began takes that record out of the
//! job's hands: an older version never follows a newer one, nor the removal that came of it.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use handfast_proto::{amendment::Batch, ids::RecordId};

use super::{
    candidate::{Candidate, Chosen, Edge, Over, Passed, Take},
    counters::PairCounters,
    handover::{Gate, Looked, Mask},
    left_out::LeftOut,
    pair_feed::{Next, Sources, ends_early, read},
};
use crate::{
    consent::{GrantId, Pair, Reason, Verdict},
    store::{Job, JobId, JobKind, Of, StoreError},
};

/// Current records looked up at once.
const CURRENT_RECORDS: u32 = 2048;

/// Bytes of the log read at once where most records are wanted.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes of the log read at once where few are: one batch.
const READ_ONE: usize = 1;

/// Records of one job that the live feed may take over while the job goes on; then it waits for the job.
const MAX_OVERTAKEN: usize = 16 * 1024;

/// The grant that a feed serves.
#[derive(Clone)]
pub(super) struct Serves {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) take: Take,
    pub(super) counters: Arc<PairCounters>,
}

/// Where the live feed of the grant stands.
#[derive(Clone, Copy)]
pub(super) struct Live {
    /// The last durable seq of the source.
    pub(super) head: u64,
    /// Everything up to this seq was chosen.
    pub(super) position: u64,
}

/// The jobs of one grant.
#[derive(Default)]
pub(super) struct Jobs {
    waiting: BTreeMap<JobId, Waiting>,
    /// The one that marks and sweeps.
    sweep: Option<Run>,
    changes: Option<Run>,
    /// Those of which the end was chosen.
    over: HashSet<JobId>,
}

#[derive(Clone, Copy)]
struct Waiting {
    over: Over,
    /// Where it is fixed from the start.
    upto: Option<u64>,
    through: u64,
}

struct Run {
    job: JobId,
    over: Over,
    upto: u64,
    /// The source's head when the run began, at least: what is current is known once that is projected. A power cut may
    /// take from the projection what the live feed has handed over already, a removal of what the job is to look up
    /// among it.
    known: u64,
    /// Records up to this seq have been looked up.
    looked_up: u64,
    begun: bool,
    wanted: VecDeque<u64>,
    /// What is withheld of what was looked up, and why; entered as the job comes past it.
    left_out: VecDeque<(u64, Reason)>,
    batches: VecDeque<Arc<Batch>>,
    /// Records of which the live feed chose something since the job began.
    overtaken: HashSet<RecordId>,
    /// The source's head when every record had been chosen.
    walked_at: Option<u64>,
}

impl Jobs {
    /// Brings them in line with the store: `due` are all that the grant has, of which those up to `settled` may
    /// begin. One that is not there any more was replaced by a later one.
    pub(super) fn reload(&mut self, due: &[Job], settled: JobId) {
        let there: HashSet<JobId> = due.iter().map(|job| job.id).collect();
        self.over.retain(|id| there.contains(id));
        self.waiting.retain(|id, _| there.contains(id));
        for run in [&mut self.sweep, &mut self.changes] {
            if run.as_ref().is_some_and(|run| !there.contains(&run.job)) {
                *run = None;
            }
        }
        for job in due {
            let running = [&self.sweep, &self.changes]
                .into_iter()
                .flatten()
                .any(|run| run.job == job.id);
            let Some(waiting) = Waiting::of(job.kind) else {
                continue;
            };
            let may_begin = job.id <= settled || waiting.upto.is_some();
            if may_begin && !running && !self.over.contains(&job.id) {
                self.waiting.insert(job.id, waiting);
            }
        }
    }

    /// Payloads were erased from the log: what was read of it is read again.
    pub(super) fn read_again(&mut self) {
        let runs = [&mut self.sweep, &mut self.changes].into_iter().flatten();
        runs.for_each(|run| run.batches.clear());
    }

    /// Whether the live feed waits for one of them.
    pub(super) fn hold_up_live(&self) -> bool {
        let everything = |over: Over| over == Over::Everything;
        let runs = || [&self.sweep, &self.changes].into_iter().flatten();
        runs().any(|run| everything(run.over) || run.overtaken.len() >= MAX_OVERTAKEN)
            || self.waiting.values().any(|waiting| everything(waiting.over))
    }

    /// The live feed chose a batch: what is in it is not for the jobs under way to send any more.
    pub(super) fn overtaken_by(&mut self, batch: &Batch) {
        for run in [&mut self.sweep, &mut self.changes].into_iter().flatten() {
            if run.walked_at.is_none() {
                let later = batch.entries().filter(|entry| entry.seq > run.upto);
                run.overtaken.extend(later.map(|entry| entry.record.clone()));
            }
        }
    }

    /// The next thing to send of them. Not cancellation-safe: what was chosen would be passed over.
    pub(super) async fn next(
        &mut self,
        serves: &Serves,
        live: Live,
        from: &Sources,
    ) -> Result<Next, StoreError> {
        self.begin(live);
        let slot = if self.sweep.is_some() {
            &mut self.sweep
        } else {
            &mut self.changes
        };
        let Some(run) = slot else { return Ok(Next::Nothing) };
        let next = run.next(serves, live, from).await?;
        if let Next::Send(Candidate::Edge(Edge {
            complete: true, job, ..
        })) = &next
        {
            self.over.insert(*job);
            *slot = None;
        }
        Ok(next)
    }

    /// Takes up what is next in order: everything, then patients, then changes.
    fn begin(&mut self, live: Live) {
        if self.sweep.is_none() {
            let everything = self.first(|over| over == Over::Everything);
            let id = everything.or_else(|| self.first(|over| matches!(over, Over::Patient(_))));
            self.sweep = id.and_then(|id| self.take_up(id, live));
        }
        if self.changes.is_none() {
            let id = self.first(|over| matches!(over, Over::Changes(_)));
            self.changes = id.and_then(|id| self.take_up(id, live));
        }
    }

    fn first(&self, is: impl Fn(Over) -> bool) -> Option<JobId> {
        self.waiting
            .iter()
            .find(|(_, waiting)| is(waiting.over))
            .map(|(id, _)| *id)
    }

    fn take_up(&mut self, job: JobId, live: Live) -> Option<Run> {
        let waiting = self.waiting.remove(&job)?;
        let upto = waiting.upto.unwrap_or(live.head);
        Some(Run {
            job,
            over: waiting.over,
            upto,
            known: upto.max(live.head),
            looked_up: waiting.through,
            begun: false,
            wanted: VecDeque::new(),
            left_out: VecDeque::new(),
            batches: VecDeque::new(),
            overtaken: HashSet::new(),
            walked_at: None,
        })
    }
}

impl Waiting {
    fn of(kind: JobKind) -> Option<Self> {
        let (over, upto, through) = match kind {
            JobKind::CatchUp { upto, through } => (Over::Everything, Some(upto), through),
            JobKind::Patient { patient, through } => (Over::Patient(patient), None, through),
            JobKind::Changes { before, through } => (Over::Changes(before), None, through),
            JobKind::Withdraw { .. } => return None,
        };
        Some(Self { over, upto, through })
    }
}

impl Run {
    async fn next(&mut self, serves: &Serves, live: Live, from: &Sources) -> Result<Next, StoreError> {
        if !self.begun {
            self.begun = true;
            return Ok(Next::Send(self.edge(serves, false)));
        }
        if self.wanted.is_empty() && self.looked_up < self.upto && !self.look_up(serves, from).await? {
            return Ok(Next::Nothing);
        }
        if let Some(first) = self.wanted.front().copied() {
            let batch = self.batch(first, serves, from).await?;
            let mask = self.take_mask(&batch);
            return Ok(Next::Send(Candidate::Batch(self.chosen(serves, batch, mask))));
        }
        let left_out = LeftOut::take(&mut self.left_out, self.looked_up);
        if !left_out.is_empty() {
            return Ok(Next::Send(Candidate::Passed(self.passed(serves, left_out))));
        }
        if self.looked_up < self.upto {
            return Ok(Next::Again);
        }
        let walked_at = *self.walked_at.get_or_insert(live.head);
        self.overtaken.clear();
        if matches!(self.over, Over::Changes(_)) && live.position < walked_at {
            return Ok(Next::Nothing);
        }
        Ok(Next::Send(self.edge(serves, true)))
    }

    /// Looks up some more, and keeps those of which the gate would let something through, and those that it
    /// withholds. What it says when they are handed over counts; where it comes to say more, another job follows
    /// from that. False where the grant is not in force: its end, or its pause, is on the way to this pump.
    async fn look_up(&mut self, serves: &Serves, from: &Sources) -> Result<bool, StoreError> {
        let source = serves.pair.source;
        from.projector.caught_up(source, self.known).await;
        let of = match self.over {
            Over::Patient(patient) => Of::Patient(patient),
            Over::Everything | Over::Changes(_) => Of::Everyone,
        };
        let found = from
            .store
            .current_versions(source, of, self.looked_up, self.upto, CURRENT_RECORDS)
            .await?;
        let book = from.fence.book();
        let in_force = book.verdict(serves.pair, serves.grant) == Verdict::InForce;
        let Some(carrier) = book.carrier(serves.pair, serves.grant).filter(|_| in_force) else {
            return Ok(false);
        };
        self.looked_up = match found.last() {
            Some(last) if found.len() >= CURRENT_RECORDS as usize => last.seq,
            _ => self.upto,
        };
        let gate = Gate::new(&book, serves.pair, serves.grant, &carrier, from.clock.now_ms());
        let what_for = self.over.what_for();
        for record in &found {
            match gate.look(&record.subject, !record.erased, what_for) {
                Looked::Wanted => self.wanted.push_back(record.seq),
                Looked::LeftOut(reason) => self.left_out.push_back((record.seq, reason)),
                Looked::Passed => {}
            }
        }
        Ok(true)
    }

    /// The batch that holds a seq.
    async fn batch(&mut self, seq: u64, serves: &Serves, from: &Sources) -> Result<Arc<Batch>, StoreError> {
        while self.batches.front().is_some_and(|b| b.last_seq() < seq) {
            self.batches.pop_front();
        }
        if self.batches.front().is_none_or(|b| b.first_seq() > seq) {
            let bytes = if self.over == Over::Everything {
                READ_BYTES
            } else {
                READ_ONE
            };
            self.batches = read(from, serves.pair, seq - 1, bytes).await?;
        }
        let batch = self
            .batches
            .pop_front()
            .filter(|b| (b.first_seq()..=b.last_seq()).contains(&seq));
        batch.ok_or_else(|| ends_early(serves.pair))
    }

    fn take_mask(&mut self, batch: &Batch) -> Mask {
        let mut mask = Mask::NONE;
        while let Some(seq) = self
            .wanted
            .front()
            .copied()
            .filter(|seq| *seq <= batch.last_seq())
        {
            self.wanted.pop_front();
            let index = usize::try_from(seq.saturating_sub(batch.first_seq()));
            if let Ok(index) = index
                && !self.overtaken.contains(batch.entry(index).record)
            {
                mask = mask.with(index);
            }
        }
        mask
    }

    fn chosen(&mut self, serves: &Serves, batch: Arc<Batch>, mask: Mask) -> Chosen {
        // Every record that is wanted up to this seq was chosen.
        let through = self.wanted.front().map_or(self.looked_up, |next| next - 1);
        Chosen {
            pair: serves.pair,
            grant: serves.grant,
            take: serves.take,
            batch,
            mask,
            job: Some((self.job, self.over)),
            through,
            ahead: self.wanted.back().copied().unwrap_or(through),
            left_out: LeftOut::take(&mut self.left_out, through),
            counters: Arc::clone(&serves.counters),
        }
    }

    fn passed(&self, serves: &Serves, left_out: LeftOut) -> Passed {
        Passed {
            pair: serves.pair,
            grant: serves.grant,
            take: serves.take,
            job: self.job,
            through: self.looked_up,
            left_out,
        }
    }

    fn edge(&self, serves: &Serves, complete: bool) -> Candidate {
        Candidate::Edge(Edge {
            pair: serves.pair,
            grant: serves.grant,
            take: serves.take,
            job: self.job,
            over: self.over,
            upto: self.upto,
            complete,
        })
    }
}

#[cfg(test)]
mod tests;
