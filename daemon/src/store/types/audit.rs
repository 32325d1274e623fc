//! Entries of the audit log on their way into the store.

use bytes::Bytes;
use handfast_proto::ids::{NhsNumber, OdsCode};

/// An entry to be made. Its index is given in the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEntry {
    /// What the tree's leaf is made of: the encoded entry, personal fields reduced to salted hashes.
    pub leaf: Bytes,
    /// The personal fields and their salts, encoded; may be erased later.
    pub personal: Bytes,
    /// What kind of event, as the audit's code numbers it.
    pub kind: u32,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// For searching: the units and the patient that it is about.
    pub units: Vec<OdsCode>,
    /// For searching; erased together with `personal`.
    pub patient: Option<NhsNumber>,
}
