//! What the outbox tells its callers.

use std::collections::BTreeMap;

use bytes::Bytes;
use handfast_proto::{
    chain::Chain,
    ids::{OdsCode, StoreId},
    limits::DEFAULT_MAX_PAYLOAD_BYTES,
};

use crate::codec::fhir::ConsentNote;

/// Bounds of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes of one payload.
    pub max_payload_bytes: usize,
    /// Records that may wait for their patient.
    pub max_waiting: u64,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            max_payload_bytes: DEFAULT_MAX_PAYLOAD_BYTES,
            max_waiting: 5_000_000,
        }
    }
}

/// What became of one change. Everything but `Rejected` is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is an amendment now.
    Taken {
        /// Its seq.
        seq: u64,
        /// The record's version: 1, 2, 3 …
        version: u64,
        /// Whether the record was not held before.
        created: bool,
    },
    /// The record is held just so; no amendment.
    Unchanged {
        /// The record's version; 0 where it was never held.
        version: u64,
    },
    /// The record is held in a newer version (by `meta.lastUpdated`).
    Older,
    /// Kept until its patient's NHS number is known.
    Waiting(WaitReason),
    /// It speaks to the daemon (a Consent, a view): what it says is on its way.
    Said {
        /// The seq of its last statement; `None`: it says nothing that was not said already.
        seq: Option<u64>,
        /// The resource's version: 1, 2, 3 …
        version: u64,
        /// Whether it was not held before.
        created: bool,
        /// How it is read, where that may not be what its author meant.
        note: Option<ConsentNote>,
    },
    /// An unchanged copy of another unit's record: not published as this unit's own.
    Echo,
    /// Not taken.
    Rejected(Refusal),
}

/// Why a record waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum WaitReason {
    /// Its Patient has not been seen.
    #[error("its Patient has not been sent yet")]
    NotSeen = 1,
    /// Its Patient has no NHS number.
    #[error("its Patient has no NHS number yet")]
    NoNumber = 2,
    /// Its Patient's NHS number is marked as not verified.
    #[error("its Patient's NHS number is marked as not verified")]
    Unverified = 3,
    /// Its Patient has more than one NHS number.
    #[error("its Patient has more than one NHS number")]
    SeveralNumbers = 4,
    /// Another Patient of the unit has the same NHS number.
    #[error("another Patient of this unit has the same NHS number; merge or correct them")]
    ClaimedTwice = 5,
    /// Its Patient was retracted.
    #[error("its Patient was retracted")]
    Retracted = 6,
    /// A Patient as another unit sent it.
    #[error("it is as another unit sent it; it is taken once something of this unit's own names it")]
    AsReceived = 7,
}

impl WaitReason {
    /// As it is stored; what is unknown counts as not seen.
    pub(super) fn from_stored(code: i64) -> Self {
        match code {
            2 => Self::NoNumber,
            3 => Self::Unverified,
            4 => Self::SeveralNumbers,
            5 => Self::ClaimedTwice,
            6 => Self::Retracted,
            7 => Self::AsReceived,
            _ => Self::NotSeen,
        }
    }

    /// Whether the number that stood there cannot be relied on any more: what was sent under it is taken
    /// back. A Patient that is merged into one not yet seen is in no doubt, it only waits.
    pub(super) fn is_doubt(self) -> bool {
        !matches!(self, Self::NotSeen | Self::AsReceived)
    }

    /// In a status: snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSeen => "patient_not_seen",
            Self::NoNumber => "no_nhs_number",
            Self::Unverified => "nhs_number_unverified",
            Self::SeveralNumbers => "several_nhs_numbers",
            Self::ClaimedTwice => "nhs_number_claimed_twice",
            Self::Retracted => "patient_retracted",
            Self::AsReceived => "patient_as_received",
        }
    }
}

/// Why a change is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source expected another version.
    #[error("the record is held in another version than expected; read it and send the change again")]
    VersionMismatch {
        /// The version held; `None` where the record is not held.
        held: Option<u64>,
    },
    /// The payload exceeds the bound.
    #[error("it has {bytes} bytes and the bound is {bound}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        bound: usize,
    },
    /// Too many records wait.
    #[error("more than {bound} records wait for their patient; send the Patient resources first")]
    TooManyWaiting {
        /// Records that may wait.
        bound: u64,
    },
    /// A copy of another unit's record, with other content.
    #[error("it is a changed copy of a record of {unit}; only its source may change it")]
    ChangedCopy {
        /// Whose record.
        unit: OdsCode,
    },
    /// A copy of another unit's record that is not held any more.
    #[error(
        "it is a copy of another unit's record that is not held here any more; it is not this unit's to publish"
    )]
    LostCopy,
    /// A view that was reported with other content.
    #[error("this view was reported before with other content; a report of a view is never changed")]
    ReportedBefore,
    /// It stood in a transaction of which another change was refused.
    #[error("another change of the same transaction was refused, so none was taken")]
    WithOthers,
}

/// How far an input has come with something it takes in parts; durable together with what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What is taken, told apart from everything else ever taken.
    pub name: String,
    /// How far; the outbox does not read it. `None` forgets the mark.
    pub value: Option<String>,
}

/// Where the outbox stands towards the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The store's id.
    pub store: StoreId,
    /// The last seq that is known, durably, to be the daemon's; 0 = none.
    pub acked_seq: u64,
    /// The chain after it.
    pub acked_chain: Chain,
    /// The last seq numbered; 0 = none.
    pub last_seq: u64,
}

/// Where the daemon says it stands with this unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonHead {
    /// The last seq that is durable there; 0 = none.
    pub seq: u64,
    /// The chain after it; `None` where `seq` is 0.
    pub chain: Option<Chain>,
    /// Whether it takes batches of this store as it said hello.
    pub accepted: bool,
    /// Its answer to a comparison: up to here it has the same amendments.
    pub agreed: Option<u64>,
}

/// What follows from a welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcomed {
    /// The daemon continues this store: send from the seq after its head.
    Continue,
    /// The store was rebased onto the daemon's head: say hello again.
    Rebased,
    /// The store is to be rebased. Ask first which of what is unsent the daemon has all the same, see
    /// [`Outbox::unsent`](super::Outbox::unsent), and come again with the answer.
    Compare,
}

/// Seqs that are not known to be the daemon's, and the chain after each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// The last seq that is known to be the daemon's, and the chain after it.
    pub from: (u64, Chain),
    /// Ends of batches after that, rising; not all of them where they are many.
    pub points: Vec<(u64, Chain)>,
}

/// Whether the outbox can write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Disk {
    /// It can.
    #[default]
    Ok,
    /// No room; tried again by itself.
    Full,
    /// It fails otherwise; tried again by itself.
    Failing(String),
}

/// The current version of a record of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRecord {
    /// 1, 2, 3 …
    pub version: u64,
    /// When its source recorded it, milliseconds since 1970-01-01T00:00:00Z.
    pub recorded_at: i64,
    /// The resource; `None`: it was retracted.
    pub payload: Option<Bytes>,
}

/// How the newest statements stand, one for each patient and side and for each number that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct StatementCounts {
    /// On their way to the daemon.
    pub queued: u64,
    /// The daemon has them, and has not said that they are in force.
    pub acknowledged: u64,
    /// Committed, but the daemon could not establish in time that nothing is in flight any more.
    pub pending: u64,
    /// In force.
    pub in_force: u64,
}

/// How the outbox stands, for `status`. No clinical content.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// The store's id, in hexadecimal digits.
    pub store_id: String,
    /// The last seq numbered; 0 = none.
    pub last_seq: u64,
    /// The last seq that the daemon acknowledged; 0 = none.
    pub acked_seq: u64,
    /// Amendments that the daemon has not acknowledged.
    pub unacknowledged: u64,
    /// Records held.
    pub records: u64,
    /// Records that wait for their patient, by reason.
    pub waiting: BTreeMap<String, u64>,
    /// Records marked private.
    pub private: u64,
    /// Records of restricted patients.
    pub restricted: u64,
    /// Records taken back from recipients because their patient's NHS number cannot be relied on, by reason.
    #[serde(default)]
    pub held_back: BTreeMap<String, u64>,
    /// What was said to the daemon: patients' words and numbers that moved.
    #[serde(default)]
    pub statements: StatementCounts,
    /// Copies of other units' records that came back unchanged and were not published, since the outbox was
    /// made.
    #[serde(default)]
    pub echoes: u64,
    /// Changes refused, since the outbox was made.
    pub rejected: u64,
    /// Changes older than what was held, since the outbox was made.
    pub older: u64,
    /// How often the store was rebased onto the daemon's head.
    pub rebased: u64,
    /// Whether every record is being queued again because the daemon lost some.
    pub resending: bool,
    /// Empty: the disk takes what is written; else what is wrong and what to do.
    pub disk: String,
}
