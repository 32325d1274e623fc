//! The log: batches on their way in and out, and what travels with a commit. Times are milliseconds since 1970-01-01T00:00:00Z.

use std::sync::Arc;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Form, Subject},
    chain::Chain,
    ids::{NhsNumber, OdsCode, RecordId, StoreId},
    limits::MAX_BATCH_BODY_BYTES,
};

use super::{agreements::JobId, patients::Stated, with::With};
use crate::{
    consent::{GrantId, Pair},
    store::StoreError,
};

/// A batch on its way into the log.
#[derive(Debug)]
pub struct LogBatch {
    /// The unit that recorded it.
    pub source: OdsCode,
    /// The outbox it came from.
    pub store: StoreId,
    /// The amendments.
    pub batch: Arc<Batch>,
    /// The source's chain before the first amendment.
    pub chain_before: Option<Chain>,
    /// The source's chain after the last amendment.
    pub chain_after: Chain,
}

/// Everything that one commit holds. All of it is kept, or nothing.
#[derive(Debug, Default)]
pub struct AppendGroup {
    /// In order; those of one source are consecutive.
    pub batches: Vec<Arc<LogBatch>>,
    /// At most one a grant.
    pub cursors: Vec<CursorMove>,
    /// At most one a job.
    pub catch_ups: Vec<CatchUpMove>,
    /// At most one a recipient.
    pub receipts: Vec<RecipientReceipt>,
    /// Withdrawals that the recipients' inboxes hold now.
    pub withdrawals_received: Vec<WithdrawalReceipt>,
    /// At most one a stream.
    pub reaches: Vec<ReachMove>,
    /// What the units' statements among the batches change, in their order.
    pub stated: Vec<Stated>,
    /// What follows from that, and what is entered beside it.
    pub with: With,
    /// When the commit was put together.
    pub at: i64,
}

/// A pair's cursor goes forward. Has no effect once the grant has ended or where it would go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CursorMove {
    /// Which pair.
    pub pair: Pair,
    /// Under which grant.
    pub grant: GrantId,
    /// Everything up to this seq was received or withheld.
    pub seq: u64,
}

/// A catch-up goes forward. Has no effect where it would go back or the job is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpMove {
    /// Which job.
    pub job: JobId,
    /// Records up to this seq were received or withheld.
    pub through: u64,
    /// Whether the recipient has the end marker.
    pub complete: bool,
}

/// A stream may be handed over up to a seq from the commit on; that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReachMove {
    /// Under which grant.
    pub grant: GrantId,
    /// The job; `None`: the grant's live feed.
    pub job: Option<JobId>,
    /// Nothing up to this seq was handed over of a job since what was in doubt of it was last entered; 0 of a live feed,
    /// of which its cursor says it.
    pub from: u64,
    /// Nothing beyond this seq was handed over.
    pub upto: u64,
}

/// What a recipient's inbox has made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecipientReceipt {
    /// Which unit.
    pub recipient: OdsCode,
    /// Its subscription session.
    pub session: u64,
    /// The number of the last durable message.
    pub durable: u64,
}

/// A withdrawal is durable in a recipient's inbox. Has no effect once another inbox has taken its place: what
/// that one is to remove it has to be sent itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WithdrawalReceipt {
    /// Which withdrawal.
    pub job: JobId,
    /// Whose inbox.
    pub recipient: OdsCode,
    /// The subscription session it was sent in.
    pub session: u64,
}

/// Where a source's stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last durable seq; 0 = none.
    pub seq: u64,
    /// The chain after it; `None` only while `seq` is 0.
    pub chain: Option<Chain>,
    /// The outbox it came from; `None` only while `seq` is 0.
    pub store: Option<StoreId>,
}

/// Whether a payload of the log was erased: nothing of it is left but its length.
pub fn is_erased(payload: &[u8]) -> bool {
    !payload.is_empty() && payload.iter().all(|byte| *byte == 0)
}

/// A batch as the log has it. Payloads that were erased are zeroes of the same length; see [`is_erased`].
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The seq of its first amendment.
    pub first_seq: u64,
    /// The seq of its last amendment.
    pub last_seq: u64,
    /// When it was committed.
    pub at: i64,
    /// The encoded header.
    pub header: Bytes,
    /// The payloads.
    pub body: Bytes,
}

impl LogRow {
    /// The batch, checked; [`StoreError::Corrupt`] where it is none.
    pub fn into_batch(self) -> Result<Arc<Batch>, StoreError> {
        logged_batch(self.header, self.body).map(Arc::new)
    }
}

/// A batch of the log, checked; [`StoreError::Corrupt`] where it is none.
pub(in crate::store) fn logged_batch(header: Bytes, body: Bytes) -> Result<Batch, StoreError> {
    let form = if body.len() > MAX_BATCH_BODY_BYTES {
        Form::PublishedInPieces
    } else {
        Form::Published
    };
    Batch::parse(header, body, form).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The newest version of a record, for the projection. Of one record in a slice the last counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordVersion {
    /// Which record.
    pub record: RecordId,
    /// The seq that last changed it.
    pub seq: u64,
    /// What the gate reads; `None` with a tombstone whose subject is not known.
    pub subject: Option<Subject>,
    /// Whether it was retracted.
    pub retracted: bool,
}

/// Whose current records are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// Everyone's.
    Everyone,
    /// One patient's.
    Patient(NhsNumber),
}

/// The current version of a record: where it stands, and what the gate reads of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurrentRecord {
    /// The seq that last changed it.
    pub seq: u64,
    /// What the gate reads.
    pub subject: Subject,
    /// Whether its payload was erased.
    pub erased: bool,
}

/// How many current records of a source the gate reads alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubjectCount {
    /// What it reads.
    pub subject: Subject,
    /// How many records.
    pub records: u64,
}
