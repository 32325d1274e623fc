//! Emergency accesses in force, as the book has them.

use handfast_proto::ids::NhsNumber;

use super::{agreement::Pair, patient::EmergencyWindow};

/// One patient's records of one source opened at one recipient. It is a grant of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emergency {
    /// From which source, at which recipient.
    pub pair: Pair,
    /// Whose records.
    pub patient: NhsNumber,
    /// From when until when.
    pub window: EmergencyWindow,
}
