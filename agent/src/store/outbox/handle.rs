//! The handle that inputs and the link hold.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use handfast_proto::{
    amendment::Amendment,
    ids::{NhsNumber, RecordId},
};
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    OutboxError, OutboxLimits, Outcome,
    jobs::{Done, Job, Work},
    model::{DaemonHead, Disk, HeldRecord, Mark, Position, Summary, Unsent, Welcomed},
    numbering::Outgoing,
    own, reader, schema,
    shared::Shared,
    summary, waiting,
    words::{self, CopysWord},
    writer::Writer,
};
use crate::{clock::Clock, codec::fhir::Change};

/// Requests that may wait for the writer; beyond that, whoever asks waits.
const MAX_QUEUED_JOBS: usize = 256;

/// A unit's outbox. Its writer ends once every handle is dropped.
///
/// None of its calls is undone by dropping the future: what was asked may be carried out all the same. A
/// repeat is harmless, except with [`Outbox::push_raw`].
#[derive(Debug)]
pub struct Outbox {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    readers: SqlitePool,
    limits: OutboxLimits,
}

impl Outbox {
    /// Opens the outbox at `path`, made and migrated as needed, and starts its writer.
    ///
    /// Fails where the file cannot be opened, is damaged, or SQLite does not take its settings.
    pub async fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        limits: OutboxLimits,
    ) -> Result<Arc<Self>, OutboxError> {
        let mut conn = schema::create(path).await?;
        let standing = schema::standing(&mut conn).await?;
        let waiting = waiting::count(&mut conn).await?;
        let shared = Arc::new(Shared::new(standing));
        let writer = Writer {
            path: path.to_owned(),
            conn: Some(conn),
            standing,
            waiting,
            limits,
            clock,
            shared: shared.clone(),
            asked: HashMap::new(),
        };
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        tokio::spawn(writer.run(queue));
        Ok(Arc::new(Self {
            jobs,
            shared,
            readers: schema::readers(path),
            limits,
        }))
    }

    /// Its bounds.
    pub fn limits(&self) -> OutboxLimits {
        self.limits
    }

    /// Takes each change by itself; durable when it returns. One outcome for each change, in order.
    pub async fn take(&self, changes: Vec<Change>) -> Result<Vec<Outcome>, OutboxError> {
        self.take_with(changes, false, Vec::new()).await
    }

    /// Takes all changes or, where one is refused, none: then that one's outcome says why, the others'
    /// [`Refusal::WithOthers`](super::Refusal::WithOthers).
    pub async fn take_all_or_none(&self, changes: Vec<Change>) -> Result<Vec<Outcome>, OutboxError> {
        self.take_with(changes, true, Vec::new()).await
    }

    /// As [`Self::take`] or, where `together`, as [`Self::take_all_or_none`]; enters marks in the same
    /// transaction, whatever becomes of the changes.
    pub async fn take_marked(
        &self,
        changes: Vec<Change>,
        together: bool,
        marks: Vec<Mark>,
    ) -> Result<Vec<Outcome>, OutboxError> {
        self.take_with(changes, together, marks).await
    }

    async fn take_with(
        &self,
        changes: Vec<Change>,
        together: bool,
        marks: Vec<Mark>,
    ) -> Result<Vec<Outcome>, OutboxError> {
        let weight = changes.iter().map(Change::weight).sum();
        let work = Work::Take {
            changes,
            together,
            marks,
        };
        match self.ask(work, weight).await? {
            Done::Outcomes(outcomes) => Ok(outcomes),
            Done::Pushed | Done::Welcomed(_) => Err(OutboxError::Closed),
        }
    }

    /// Numbers amendments as they are, durably, without comparing them with the records held. For load
    /// generation; what it pushes is in no record.
    pub async fn push_raw(&self, amendments: Vec<Amendment>) -> Result<(), OutboxError> {
        let weight = amendments.iter().map(|a| a.payload.len() + 256).sum();
        self.ask(Work::Push(amendments), weight).await.map(|_| ())
    }

    /// The value of a mark.
    pub async fn mark(&self, name: &str) -> Result<Option<String>, OutboxError> {
        let value = sqlx::query_scalar("SELECT value FROM mark WHERE name = ?")
            .bind(name.to_owned())
            .fetch_optional(&self.readers)
            .await?;
        Ok(value)
    }

    /// Counts changes that an input refused by itself.
    pub fn count_rejected(&self, more: u64) {
        self.shared.rejected.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts copies of other units' records that came back unchanged.
    pub fn count_echoes(&self, more: u64) {
        self.shared.echoes.fetch_add(more, Ordering::Relaxed);
    }

    /// Which of these records are this unit's own: held, or waiting for their patient.
    pub async fn own_records(&self, records: &[&RecordId]) -> Result<HashSet<RecordId>, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        own::records(&mut conn, records).await
    }

    /// Which of these are ids of this unit's own Patients.
    pub async fn own_patients(&self, ids: &[&str]) -> Result<HashSet<String>, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        own::patients(&mut conn, ids).await
    }

    /// The current version of a record of this unit; `None`: never held.
    pub async fn record(&self, record: &RecordId) -> Result<Option<HeldRecord>, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        summary::record(&mut conn, record).await
    }

    /// How the outbox stands.
    pub async fn summary(&self) -> Result<Summary, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        summary::summary(&mut conn, &self.shared).await
    }

    /// Whether it can write, now and at each change.
    pub fn disk(&self) -> watch::Receiver<Disk> {
        self.shared.disk.subscribe()
    }

    // === For the link ===

    /// Where it stands towards the daemon.
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Tells of every commit, with a number that rises.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// The daemon says where it stands with this unit. Goes on from there, or rebases what is unsent onto
    /// it, or wants a comparison first.
    pub async fn welcomed(&self, head: DaemonHead) -> Result<Welcomed, OutboxError> {
        match self.ask(Work::Welcome(head), 0).await? {
            Done::Welcomed(welcomed) => Ok(welcomed),
            Done::Outcomes(_) | Done::Pushed => Err(OutboxError::Closed),
        }
    }

    /// What is not known to be the daemon's, to be compared with what it has.
    pub async fn unsent(&self) -> Result<Unsent, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        let position = self.shared.position();
        reader::unsent(&mut conn, (position.acked_seq, position.acked_chain)).await
    }

    /// The batches after a seq, up to about `max_bytes`, at least one if there is any; small ones joined.
    /// From memory at the head, else from the file.
    pub async fn after(&self, seq: u64, max_bytes: usize) -> Result<Vec<Outgoing>, OutboxError> {
        let rows = match self.shared.recent_after(seq, max_bytes) {
            Some(rows) => rows,
            None => {
                let mut conn = self.readers.acquire().await?;
                reader::after(&mut conn, seq, max_bytes).await?
            }
        };
        reader::joined(rows)
    }

    /// The daemon asks for these records: queues the version held of each as an amendment, durably, unless it
    /// is on its way already for an earlier such request. What is not held is passed over.
    pub async fn send_again(&self, records: Vec<RecordId>) -> Result<(), OutboxError> {
        self.ask(Work::SendAgain(records), 0).await.map(|_| ())
    }

    /// The Consents that count for the number under which another unit's Patient was received.
    pub async fn copys_words(&self) -> Result<Vec<CopysWord>, OutboxError> {
        let mut conn = self.readers.acquire().await?;
        words::of_copies(&mut conn).await
    }

    /// The Patient whom such a Consent names was received under another number: it counts for that one, durably; a
    /// denial for both.
    pub async fn follow_copy(&self, consent: RecordId, number: NhsNumber) -> Result<(), OutboxError> {
        self.ask(Work::FollowCopy(consent, number), 0).await.map(|_| ())
    }

    /// The daemon says that the statement of this seq is in force, or that this is pending. Made durable here
    /// a little later.
    pub fn statement_in_force(&self, seq: u64, pending: bool) {
        self.shared.confirm(seq, pending);
    }

    /// The daemon says that every statement up to `seq` is in force. Made durable here a little later.
    pub fn statements_in_force_through(&self, seq: u64) {
        self.shared.confirm_through(seq);
    }

    /// Everything up to `seq` is durable at the daemon. Made durable here a little later.
    pub fn acknowledge(&self, seq: u64) {
        self.shared.acknowledge(seq);
    }

    async fn ask(&self, work: Work, weight: usize) -> Result<Done, OutboxError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { work, weight, reply };
        self.jobs.send(job).await.map_err(|_| OutboxError::Closed)?;
        answer.await.map_err(|_| OutboxError::Closed)?
    }
}
