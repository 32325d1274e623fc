//! The audit log in the store. Times are milliseconds since 1970-01-01T00:00:00Z; an entry's index counts from 0.

use bytes::Bytes;
use handfast_proto::{
    audit::Runs,
    ids::{NhsNumber, OdsCode},
    merkle::TreeHash,
    v1::AuditKind,
};

use crate::consent::Pair;

/// An entry to be made. Its index is given in the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEntry {
    /// What the tree's leaf is made of: the encoded entry, personal fields reduced to salted hashes.
    pub leaf: Bytes,
    /// The leaf's hash.
    pub hash: TreeHash,
    /// The personal fields and their salts, encoded; may be erased later.
    pub personal: Bytes,
    /// What kind of event.
    pub kind: AuditKind,
    /// When.
    pub at: i64,
    /// For searching; erased together with `personal`.
    pub patient: Option<NhsNumber>,
}

/// An entry as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRow {
    /// Its place.
    pub index: u64,
    /// What it was entered as, but that `personal` and `patient` may have been erased since.
    pub entry: NewEntry,
}

/// Which entries are asked for, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryQuery {
    /// Those that concern a unit; `None`: all but those about what was handed over and withheld.
    pub unit: Option<OdsCode>,
    /// Of those only the ones that concern this unit too.
    pub other: Option<OdsCode>,
    /// Of these kinds; empty: of all.
    pub kinds: Vec<AuditKind>,
    /// From this moment on.
    pub from: i64,
    /// Before this moment.
    pub to: i64,
    /// Only those below this index.
    pub before: u64,
    /// At most so many.
    pub limit: u32,
}

/// Personal values of an entry are to be erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErasePersonal {
    /// Its place.
    pub index: u64,
    /// Those that stay, encoded as in [`NewEntry::personal`]; never the patient.
    pub stays: Bytes,
}

/// What an entry is to be found by, beside its patient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryKeys {
    /// Its place.
    pub index: u64,
    /// Its kind.
    pub kind: AuditKind,
    /// When.
    pub at: i64,
    /// The units that it concerns.
    pub units: Vec<OdsCode>,
    /// Of what was handed over or withheld: of which pair, and which seqs.
    pub handed: Option<(Pair, Runs)>,
    /// Whether that was withheld: then the recipient does not find it.
    pub withheld: bool,
}

/// A stretch of a source's stream that is not found by whom it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrongStretch {
    /// Whose stream.
    pub source: OdsCode,
    /// Its first seq.
    pub from: u64,
    /// Its last.
    pub to: u64,
}

/// Stretches of a source's stream that a recipient was told of: first and last seq, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldStretches {
    /// Those that were asked for.
    pub stretches: Vec<(u64, u64)>,
    /// How many blocks were looked at.
    pub looked_at: u32,
    /// Where to go on beyond; `None`: that was all.
    pub through: Option<u64>,
}
