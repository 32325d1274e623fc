//! Emergency accesses as grants. Times are milliseconds since 1970-01-01T00:00:00Z.

use handfast_proto::ids::{NhsNumber, OdsCode};

use crate::consent::{Emergency, EmergencyWindow, GrantId, Pair};

/// One patient's records are to be opened at a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenEmergency {
    /// At which unit.
    pub recipient: OdsCode,
    /// Whose records.
    pub patient: NhsNumber,
    /// From which sources; at least one, none twice.
    pub sources: Vec<OdsCode>,
    /// From when.
    pub at: i64,
    /// The first moment at which it no longer holds.
    pub until: i64,
}

/// An emergency access as the store keeps it: a grant of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmergencyRow {
    /// Its grant.
    pub grant: GrantId,
    /// From which source, at which recipient.
    pub pair: Pair,
    /// Whose records.
    pub patient: NhsNumber,
    /// From when.
    pub from: i64,
    /// The first moment at which it no longer holds.
    pub until: i64,
}

impl EmergencyRow {
    /// As the book has it.
    pub fn emergency(&self) -> Emergency {
        Emergency {
            pair: self.pair,
            patient: self.patient,
            window: EmergencyWindow {
                from: self.from,
                until: self.until,
            },
        }
    }
}
