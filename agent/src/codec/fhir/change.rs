//! What an input hands to the outbox: one change of one record, read from a resource.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Category, Text},
    ids::{NhsNumber, OdsCode, RecordId},
};

use super::Said;

/// One change of one record, as its clinical system told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub record: RecordId,
    /// `meta.lastUpdated`, milliseconds since 1970-01-01T00:00:00Z, where the source says it.
    pub last_updated: Option<i64>,
    /// Who recorded it; may be empty.
    pub author: Text,
    /// What becomes of the record.
    pub content: Content,
    /// What the source expects to find; checked in the transaction that takes the change.
    pub expected: Expected,
    /// The record of another unit of which it says that it is a copy (`meta.source`).
    pub origin: Option<(OdsCode, RecordId)>,
    /// It may be another unit's Patient sent back: kept aside until something of this unit's own names it.
    pub aside: bool,
}

/// What a source expects of the record that it changes (FHIR R4, "HTTP": Managing Resource Contention).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// Nothing.
    #[default]
    Anything,
    /// The version held is this one (`If-Match`).
    Version(u64),
    /// The record is not held (`If-None-Match: *`).
    Absent,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A version of it.
    Put(Box<Version>),
    /// It is retracted: deleted, or entered in error.
    Retract,
}

/// A version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The resource as its source holds it, without white space around it.
    pub payload: Bytes,
    /// Digest of the content without `meta.versionId` and `meta.lastUpdated`: equal for a repeat.
    pub digest: [u8; 32],
    /// Whose it is.
    pub patient: PatientLink,
    /// What kind of entry.
    pub category: Category,
    /// Whether the entry is not to leave. Never set for a Patient: that is `restricted` in its facts.
    pub private: bool,
    /// Present with a Patient, and only there.
    pub facts: Option<PatientFacts>,
    /// What it says to the daemon: then it is no record, and never travels itself.
    pub said: Option<Said>,
}

/// How a resource names its patient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PatientLink {
    /// The logical id of a Patient of the same unit; a Patient names itself.
    Id(String),
    /// An NHS number, where the resource names its patient by identifier.
    Number(NhsNumber),
}

/// What a Patient resource says that governs the records naming it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientFacts {
    /// The NHS number, and whether it can be relied on.
    pub standing: NumberStanding,
    /// Nothing of this patient is to leave.
    pub restricted: bool,
    /// The id of the Patient that this one was merged into (`link` of type `replaced-by`).
    pub replaced_by: Option<String>,
}

/// What is known of a Patient's NHS number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberStanding {
    /// None is given.
    Missing,
    /// One number, not marked as doubtful.
    Verified(NhsNumber),
    /// One number, marked as not verified.
    Unverified(NhsNumber),
    /// Two or more different numbers.
    Several,
}

impl NumberStanding {
    /// The number claimed, reliable or not.
    pub fn claimed(self) -> Option<NhsNumber> {
        match self {
            Self::Verified(number) | Self::Unverified(number) => Some(number),
            Self::Missing | Self::Several => None,
        }
    }
}

impl Change {
    /// A retraction by address, as `DELETE` gives it.
    pub fn retraction(record: RecordId) -> Self {
        Self {
            record,
            last_updated: None,
            author: Text::default(),
            content: Content::Retract,
            expected: Expected::Anything,
            origin: None,
            aside: false,
        }
    }

    /// Bytes that it takes in memory and on disk, about.
    pub fn weight(&self) -> usize {
        let payload = match &self.content {
            Content::Put(version) => version.payload.len(),
            Content::Retract => 0,
        };
        payload + self.record.as_bytes().len() + 256
    }
}
