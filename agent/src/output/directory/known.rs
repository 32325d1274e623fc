//! What `changes.ndjson` says of each record, read when the inbox and the folder may not be of the same
//! age (a re-installed or restored agent, a folder of an earlier one). It decides which changes are in the
//! file already.

use std::collections::HashMap;

use handfast_proto::ids::{OdsCode, RecordId};

use super::journal::Line;
use crate::store::inbox::{Change, ChangeOp};

/// The last line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) seq: u64,
    /// Whether the record is held after it.
    pub(super) present: bool,
    pub(super) version: u64,
}

/// What is to be done about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A line with this seq and op, and the file.
    Line(u64, ChangeOp),
    /// The line is there; the file is made sure of.
    File,
    /// The file on disk is newer than this inbox; the comparison of everything will decide.
    Leave,
}

/// The last line of every record.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<(OdsCode, RecordId), Last>);

impl Known {
    /// Takes in a line.
    pub(super) fn note(&mut self, line: &Line) {
        let (Ok(source), Ok(record)) = (line.source.parse(), line.record.parse()) else {
            return;
        };
        let last = Last {
            seq: line.seq,
            present: line.op.holds(),
            version: line.version,
        };
        self.0.insert((source, record), last);
    }

    /// What to do about a change.
    pub(super) fn judge(&self, change: &Change) -> Action {
        let last = self.get(change.source, &change.record);
        let line = Action::Line(change.seq, change.op);
        match (change.op, last) {
            (ChangeOp::Create | ChangeOp::Amend, None) => line,
            (ChangeOp::Create | ChangeOp::Amend, Some(last)) => {
                let op = if last.present {
                    ChangeOp::Amend
                } else {
                    ChangeOp::Create
                };
                match change.seq.cmp(&last.seq) {
                    std::cmp::Ordering::Greater => Action::Line(change.seq, op),
                    std::cmp::Ordering::Equal if last.present => Action::File,
                    std::cmp::Ordering::Equal => Action::Line(change.seq, op),
                    std::cmp::Ordering::Less => Action::Leave,
                }
            }
            (ChangeOp::Retract | ChangeOp::Withdraw, None) => Action::File,
            (ChangeOp::Retract | ChangeOp::Withdraw, Some(last)) if !last.present => Action::File,
            (ChangeOp::Retract, Some(last)) if change.seq < last.seq => Action::Leave,
            (ChangeOp::Retract, Some(_)) => line,
            // What is withdrawn goes, whatever the age of this inbox.
            (ChangeOp::Withdraw, Some(last)) => Action::Line(change.seq.max(last.seq), change.op),
        }
    }

    pub(super) fn get(&self, source: OdsCode, record: &RecordId) -> Option<Last> {
        self.0.get(&(source, record.clone())).copied()
    }

    /// The records of a source that the file says are held.
    pub(super) fn present(&self) -> Vec<(OdsCode, RecordId)> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|(_, last)| last.present)
            .map(|(key, _)| key.clone())
            .collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inbox::Current;

    fn change(seq: u64, op: ChangeOp) -> Change {
        Change {
            number: 1,
            source: "Z00101".parse().unwrap(),
            record: "Patient/1".parse().unwrap(),
            seq,
            op,
            version: 1,
            applied_at: 0,
            job: 0,
            current: Current::Gone,
        }
    }

    fn known(seq: u64, op: ChangeOp) -> Known {
        let mut known = Known::default();
        known.note(&Line {
            source: "Z00101".to_owned(),
            seq,
            op,
            record: "Patient/1".to_owned(),
            version: 3,
            applied_at: String::new(),
        });
        known
    }

    #[test]
    fn what_stands_in_the_file_is_not_written_again() {
        use ChangeOp::{Amend, Create, Retract, Withdraw};
        let none = Known::default();
        let held = known(5, Amend);
        let gone = known(5, Withdraw);
        let cases = [
            (&none, 5, Create, Action::Line(5, Create)),
            (&none, 5, Withdraw, Action::File),
            (&held, 5, Create, Action::File),
            (&held, 6, Create, Action::Line(6, Amend)),
            (&held, 4, Create, Action::Leave),
            (&held, 6, Retract, Action::Line(6, Retract)),
            (&held, 4, Retract, Action::Leave),
            (&held, 4, Withdraw, Action::Line(5, Withdraw)),
            (&gone, 5, Create, Action::Line(5, Create)),
            (&gone, 4, Create, Action::Leave),
            (&gone, 6, Amend, Action::Line(6, Create)),
            (&gone, 5, Withdraw, Action::File),
        ];
        for (known, seq, op, expected) in cases {
            assert_eq!(known.judge(&change(seq, op)), expected, "{seq} {op:?}");
        }
    }
}
