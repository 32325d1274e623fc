//! The projection: the current version of each record, kept right behind the commits and in bulk. Who
//! reads it first waits until it has caught up with the seq it needs.

use std::{collections::HashMap, sync::Arc, time::Duration};

use handfast_proto::{
    amendment::{Batch, BatchError, Form, Op},
    ids::OdsCode,
    limits::MAX_BATCH_BODY_BYTES,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::committer::Committer;
use crate::store::{LogRow, RecordVersion, Store, StoreError};

/// Amendments projected in one transaction, about.
const MAX_RUN_AMENDMENTS: usize = 8192;

/// Bytes read from the log at once where the tail has them no more.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// How long the projector rests between two runs, so that it works in bulk.
const REST: Duration = Duration::from_millis(20);

/// How long it rests after a failure.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Waits for the projection.
#[derive(Clone, Debug)]
pub struct Projector {
    through: Arc<Mutex<HashMap<OdsCode, watch::Sender<u64>>>>,
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
        // The sender lives in the map, which this value holds: it is never closed.
        let _through = through.wait_for(|t| *t >= seq).await;
    }

    fn set(&self, source: OdsCode, seq: u64) {
        self.through
            .lock()
            .entry(source)
            .or_insert_with(|| watch::Sender::new(0))
            .send_replace(seq);
    }

    fn get(&self, source: OdsCode) -> Option<u64> {
        self.through
            .lock()
            .get(&source)
            .map(|t| *t.borrow())
            .filter(|t| *t > 0)
    }
}

/// The task that projects.
pub struct ProjectorTask {
    projector: Projector,
    committer: Committer,
    store: Arc<dyn Store>,
    committed: Arc<Notify>,
}

/// Makes a projector; `committed` is told of every commit.
pub fn projector(
    committer: Committer,
    store: Arc<dyn Store>,
    committed: Arc<Notify>,
) -> (Projector, ProjectorTask) {
    let projector = Projector {
        through: Arc::default(),
    };
    let task = ProjectorTask {
        projector: projector.clone(),
        committer,
        store,
        committed,
    };
    (projector, task)
}

/// A log row as a checked batch.
pub fn read_row(row: LogRow) -> Result<Arc<Batch>, BatchError> {
    let large = row.body.len() > MAX_BATCH_BODY_BYTES;
    let form = if large {
        Form::PublishedInPieces
    } else {
        Form::Published
    };
    Batch::parse(row.header, row.body, form).map(Arc::new)
}

impl ProjectorTask {
    /// Projects until stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let rest = match self.round().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => REST,
                Err(error) => {
                    tracing::error!(%error, "the projection of current records stands still");
                    REST_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            if rest == REST {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.committed.notified() => {}
                }
            }
        }
    }

    /// One run for each source that is behind; whether one is behind still.
    async fn round(&self) -> Result<bool, StoreError> {
        let mut behind = false;
        for (source, head) in self.committer.tails().heads() {
            let from = match self.projector.get(source) {
                Some(through) => through,
                None => self.store.projected_through(source).await?,
            };
            let through = if from < head {
                self.run_once(source, from, head).await?
            } else {
                from
            };
            self.projector.set(source, through);
            behind |= through < head;
        }
        Ok(behind)
    }

    async fn run_once(&self, source: OdsCode, from: u64, head: u64) -> Result<u64, StoreError> {
        let mut versions: Vec<RecordVersion> = Vec::new();
        let mut through = from;
        while through < head && versions.len() < MAX_RUN_AMENDMENTS {
            let batches = self.batches(source, through).await?;
            if batches.is_empty() {
                return Err(StoreError::Corrupt(format!(
                    "the log of {source} ends before its head"
                )));
            }
            for batch in batches {
                let new = batch
                    .entries()
                    // What a unit says to the daemon itself is no record.
                    .filter(|e| e.seq > through && e.op != Op::Statement)
                    .map(|e| RecordVersion {
                        record: e.record.clone(),
                        seq: e.seq,
                        subject: e.subject,
                        retracted: e.op == Op::Retract,
                    });
                versions.extend(new);
                through = batch.last_seq();
            }
        }
        self.store.project(source, &versions, through).await?;
        Ok(through)
    }

    async fn batches(&self, source: OdsCode, after: u64) -> Result<Vec<Arc<Batch>>, StoreError> {
        if let Some(batch) = self.committer.tails().of(source).next(after) {
            return Ok(vec![batch]);
        }
        let rows = self.store.read_log(source, after, READ_BYTES).await?;
        rows.into_iter()
            .map(|row| read_row(row).map_err(|e| StoreError::Corrupt(e.to_string())))
            .collect()
    }
}
