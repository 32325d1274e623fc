//! The projection: the current version of each record, kept right behind the commits and in bulk. Who
//! reads it first waits until it has caught up with the seq it needs.
//!
//! Invariant: whoever keeps the caseloads is told of a run before it is projected and after; a run that broke
//! off anywhere is told of again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use handfast_proto::{
    amendment::{Batch, Entry, Op, Subject},
    ids::{NhsNumber, OdsCode, RecordId},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::committer::Committer;
use crate::store::{LogRow, RecordVersion, Store, StoreError};

/// What a run is about to bring into the projection.
#[derive(Debug)]
pub struct Run {
    /// Whose.
    pub source: OdsCode,
    /// The newest versions, in order.
    pub versions: Vec<RecordVersion>,
    /// The patients of whom a record came.
    pub came: BTreeSet<NhsNumber>,
    /// The patients of whom a record went: it was retracted, or became another patient's.
    pub went: BTreeSet<NhsNumber>,
    /// Records that were marked as not to leave, and the seq of that.
    pub marked: Vec<(RecordId, u64)>,
    /// Up to where it goes.
    pub through: u64,
}

/// Keeps what follows from the projection: who is on a unit's caseload, and what is not to be kept.
#[async_trait]
pub trait Caseloads: Send + Sync + 'static {
    /// A run is about to be projected. The answer is held until it is.
    async fn before(&self, run: &Run) -> Result<Box<dyn Projecting>, StoreError>;
}

/// What is to be done once a run is projected.
#[async_trait]
pub trait Projecting: Send {
    /// It is.
    async fn projected(self: Box<Self>) -> Result<(), StoreError>;
}

/// Amendments projected in one transaction, about.
const MAX_RUN_AMENDMENTS: usize = 8192;

/// Bytes read from the log at once where the tail has them no more.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// How long the projector rests between two rounds, so that it works in bulk: so many times as long as the round took, as
/// a page that many amendments touch is written once a round. Who waits for it ends the rest.
const MIN_REST: Duration = Duration::from_millis(20);
const MAX_REST: Duration = Duration::from_millis(500);
const RESTS_A_ROUND: u32 = 3;

/// How long it rests after a failure.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Waits for the projection.
#[derive(Clone, Debug, Default)]
pub struct Projector {
    through: Arc<Mutex<HashMap<OdsCode, watch::Sender<u64>>>>,
    /// Somebody waits.
    wanted: Arc<Notify>,
}

impl Projector {
    /// Waits until the projection of a source holds up to `seq`. Cancellation-safe.
    pub async fn caught_up(&self, source: OdsCode, seq: u64) {
        if seq == 0 {
            return;
        }
        let mut through = self
            .through
            .lock()
            .entry(source)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        if *through.borrow() < seq {
            self.wanted.notify_one();
        }
        // The sender lives in the map, which this value holds: it is never closed.
        let _through = through.wait_for(|t| *t >= seq).await;
    }

    pub(crate) fn set(&self, source: OdsCode, seq: u64) {
        self.through
            .lock()
            .entry(source)
            .or_insert_with(|| watch::Sender::new(0))
            .send_replace(seq);
    }
}

/// The task that projects.
pub struct ProjectorTask {
    projector: Projector,
    committer: Committer,
    store: Arc<dyn Store>,
    committed: Arc<Notify>,
    caseloads: Option<Arc<dyn Caseloads>>,
    /// Up to where each source was projected, and everything done that follows.
    reached: HashMap<OdsCode, u64>,
}

/// Makes a projector; `committed` is told of every commit.
pub fn projector(
    committer: Committer,
    store: Arc<dyn Store>,
    committed: Arc<Notify>,
) -> (Projector, ProjectorTask) {
    let projector = Projector::default();
    let task = ProjectorTask {
        projector: projector.clone(),
        committer,
        store,
        committed,
        caseloads: None,
        reached: HashMap::new(),
    };
    (projector, task)
}

impl ProjectorTask {
    /// Has someone keep what follows from the projection.
    #[must_use]
    pub fn with_caseloads(mut self, caseloads: Arc<dyn Caseloads>) -> Self {
        self.caseloads = Some(caseloads);
        self
    }

    /// Projects until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let begun = Instant::now();
            let (rest, caught_up) = match self.round().await {
                Ok(true) => (Duration::ZERO, false),
                Ok(false) => ((begun.elapsed() * RESTS_A_ROUND).clamp(MIN_REST, MAX_REST), true),
                Err(error) => {
                    tracing::error!(%error, "the projection of current records stands still");
                    (REST_AFTER_FAILURE, false)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.projector.wanted.notified(), if caught_up => {}
                () = tokio::time::sleep(rest) => {}
            }
            if caught_up {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.committed.notified() => {}
                }
            }
        }
    }

    /// One run for each source that is behind; whether one is behind still.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let mut behind = false;
        for (source, head) in self.committer.tails().heads() {
            let from = match self.reached.get(&source) {
                // Of units that record nothing there may be thousands.
                Some(through) if *through >= head => continue,
                Some(through) => *through,
                None => self.store.projected_through(source).await?,
            };
            self.reached.insert(source, from);
            let through = if from < head {
                self.run_once(source, from, head).await?
            } else {
                from
            };
            self.reached.insert(source, through);
            self.projector.set(source, through);
            behind |= through < head;
        }
        Ok(behind)
    }

    async fn run_once(&self, source: OdsCode, from: u64, head: u64) -> Result<u64, StoreError> {
        let mut run = Run::new(source, from);
        while run.through < head && run.versions.len() < MAX_RUN_AMENDMENTS {
            let batches = self.batches(source, run.through).await?;
            if batches.is_empty() {
                return Err(StoreError::Corrupt(format!(
                    "the log of {source} ends before its head"
                )));
            }
            batches.iter().for_each(|batch| run.add(batch));
        }
        let follows = match &self.caseloads {
            Some(caseloads) => Some(caseloads.before(&run).await?),
            None => None,
        };
        self.store.project(source, &run.versions, run.through).await?;
        if let Some(follows) = follows {
            follows.projected().await?;
        }
        Ok(run.through)
    }

    async fn batches(&self, source: OdsCode, after: u64) -> Result<Vec<Arc<Batch>>, StoreError> {
        if let Some(batch) = self.committer.tails().of(source).next(after) {
            return Ok(vec![batch]);
        }
        let rows = self.store.read_log(source, after, READ_BYTES).await?;
        rows.into_iter().map(LogRow::into_batch).collect()
    }
}

impl Run {
    fn new(source: OdsCode, from: u64) -> Self {
        Self {
            source,
            versions: Vec::new(),
            came: BTreeSet::new(),
            went: BTreeSet::new(),
            marked: Vec::new(),
            through: from,
        }
    }

    fn add(&mut self, batch: &Batch) {
        let through = self.through;
        // What a unit says to the daemon itself is no record.
        let records = |e: &Entry<'_>| e.seq > through && e.op != Op::Statement;
        for entry in batch.entries().filter(records) {
            let retracted = entry.op == Op::Retract;
            let patients = if retracted { &mut self.went } else { &mut self.came };
            patients.extend(entry.subject.map(|s| s.patient));
            self.went.extend(entry.former.map(|f| f.patient));
            let marked = |s: &Subject| s.confidentiality.is_marked();
            if entry.subject.as_ref().is_some_and(marked) && !entry.former.as_ref().is_some_and(marked) {
                self.marked.push((entry.record.clone(), entry.seq));
            }
            self.versions.push(RecordVersion {
                record: entry.record.clone(),
                seq: entry.seq,
                subject: entry.subject,
                retracted,
            });
        }
        self.through = batch.last_seq();
    }
}
