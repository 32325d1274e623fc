//! What goes into the inbox and what comes out of it.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Category},
    ids::{NhsNumber, OdsCode, RecordId},
};

/// A grant in force, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The source.
    pub source: OdsCode,
    /// The grant.
    pub number: u64,
    /// The patient of an emergency access; `None`: the grant of an agreement.
    pub patient: Option<NhsNumber>,
    /// What it carries at most; empty: every category; `Unspecified` alone: none.
    pub categories: Vec<Category>,
    /// The source is suspended.
    pub stale: bool,
    /// It does not carry every patient's records.
    pub not_everyone: bool,
}

/// What a job goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything under its grant: the catch-up of a new one.
    Everything,
    /// One patient's records.
    Patient(NhsNumber),
    /// Whatever is sent in it.
    Changes,
}

/// One message of the subscription, parsed and checked, pieces already put together.
#[derive(Debug)]
pub enum Incoming {
    /// The daemon welcomed this store (message number 1).
    Welcome {
        /// The store is new to the daemon: what is held of sources without a grant goes, and each grant
        /// is caught up from the beginning.
        anew: bool,
        /// Each grant in force.
        grants: Vec<Grant>,
    },
    /// How a grant in force stands.
    Stands(Grant),
    /// Amendments of one source under one grant.
    Deliver {
        /// The source.
        source: OdsCode,
        /// The grant that carries them.
        grant: u64,
        /// 0 = live, else the job.
        job: u64,
        /// The amendments.
        batch: Box<Batch>,
    },
    /// A job begins. Over everything or a patient: what is held of it is unconfirmed until it is sent again.
    JobBegins {
        /// The source.
        source: OdsCode,
        /// The grant.
        grant: u64,
        /// The job.
        job: u64,
        /// What it goes over.
        scope: Scope,
    },
    /// A job is complete: what is still unconfirmed goes.
    JobComplete {
        /// The source.
        source: OdsCode,
        /// The grant.
        grant: u64,
        /// The job.
        job: u64,
        /// What it goes over.
        scope: Scope,
        /// Over everything: the live feed goes on after this seq. Else: what it brought beyond stays.
        upto_seq: u64,
    },
    /// The grant has ended.
    Fenced {
        /// The source.
        source: OdsCode,
        /// The grant.
        grant: u64,
    },
    /// What is held of the source and stands under no grant in force any more goes.
    Withdraw {
        /// The withdrawal.
        job: u64,
        /// The source.
        source: OdsCode,
        /// The grant that ended.
        ended_grant: u64,
        /// Only what is held of this patient; `None`: of everyone.
        patient: Option<NhsNumber>,
    },
    /// Nothing to apply (a piece that is not complete, or one thrown away); it only counts.
    Nothing,
}

/// A message with its number within the session.
#[derive(Debug)]
pub struct Message {
    /// 1, 2, 3 …
    pub number: u64,
    /// What it says.
    pub content: Incoming,
}

/// Messages to be committed together.
#[derive(Debug)]
pub struct Group {
    /// The subscription session.
    pub session: u64,
    /// Everything up to this message is durable once the group is committed. Below the last message's
    /// number where pieces of an amendment are still missing.
    pub durable: u64,
    /// In order.
    pub messages: Vec<Message>,
}

/// A message that breaks the protocol. It was not applied, nor was anything after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The message.
    pub number: u64,
    /// The source.
    pub source: OdsCode,
    /// The grant that had ended.
    pub grant: u64,
}

/// What came of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The last message that is durable.
    pub durable: u64,
    /// Amendments that changed something.
    pub amendments: u64,
    /// Withdrawals that were carried out here.
    pub withdrawals: u64,
    /// Where the group was cut short.
    pub violation: Option<Violation>,
}

/// Bounds of the inbox.
#[derive(Debug, Clone, Copy)]
pub struct InboxLimits {
    /// Bytes of payload that one group of changes for an output may carry; one record may exceed it.
    pub output_group_bytes: usize,
    /// Changes in one group for an output.
    pub output_group_changes: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            output_group_bytes: 8 * 1024 * 1024,
            output_group_changes: 256,
        }
    }
}

/// What was done to a record here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOp {
    /// It was not held.
    Create,
    /// A newer version.
    Amend,
    /// Its source retracted it.
    Retract,
    /// It is no longer for this unit.
    Withdraw,
}

impl ChangeOp {
    /// As it stands in the file.
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Create => 1,
            Self::Amend => 2,
            Self::Retract => 3,
            Self::Withdraw => 4,
        }
    }

    /// As it stands in the file.
    pub(super) fn from_code(code: i64) -> Option<Self> {
        [Self::Create, Self::Amend, Self::Retract, Self::Withdraw]
            .into_iter()
            .find(|op| op.code() == code)
    }

    /// Whether the record is held after it.
    pub fn holds(self) -> bool {
        matches!(self, Self::Create | Self::Amend)
    }
}

/// The version of a record that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecord {
    /// Its source.
    pub source: OdsCode,
    /// Its name at its source.
    pub record: RecordId,
    /// The seq of the version.
    pub seq: u64,
    /// Counted here, from 1.
    pub version: u64,
    /// When it was recorded, milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// The payload's media type.
    pub content_type: String,
    /// The resource as its source holds it.
    pub payload: Bytes,
}

/// A record that is held, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldHead {
    /// Its source.
    pub source: OdsCode,
    /// Its name at its source.
    pub record: RecordId,
    /// The seq of the version.
    pub seq: u64,
    /// Counted here, from 1.
    pub version: u64,
}

/// How a changed record stands by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// Held, in this version, which may be newer than the change.
    Held(HeldRecord),
    /// Not held (any more).
    Gone,
    /// A later change of the same group names the same record; only that one carries its state.
    Later,
}

/// One change, for an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the queue: rises, with gaps.
    pub number: u64,
    /// The record's source.
    pub source: OdsCode,
    /// The record.
    pub record: RecordId,
    /// The seq that changed it; with a withdrawal the seq of the version that was held.
    pub seq: u64,
    /// What was done.
    pub op: ChangeOp,
    /// The version made; with a removal the version that was held.
    pub version: u64,
    /// When the inbox applied it, milliseconds since 1970-01-01T00:00:00Z.
    pub applied_at: i64,
    /// The withdrawal (or job) to be confirmed by which it went; 0 = none.
    pub job: u64,
    /// How the record stands by now.
    pub current: Current,
}

/// An output that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpec {
    /// Its name, unique within the agent.
    pub name: String,
    /// Of which type, and what it writes to: another one is another output.
    pub kind: String,
}
