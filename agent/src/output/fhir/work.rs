//! What is to be done about one record at the server.

use handfast_proto::ids::{OdsCode, RecordId};

use super::outcome::Fault;
use crate::store::inbox::{Change, Current, HeldRecord, LetterOp, LetterState, NewLetter, Progress};

/// One record, and how it is to be at the server.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The change it comes from; 0 = none.
    pub(super) number: u64,
    pub(super) source: OdsCode,
    pub(super) record: RecordId,
    pub(super) seq: u64,
    /// The withdrawal to be confirmed that asks for it; 0 = none.
    pub(super) job: u64,
    /// `None`: not there.
    pub(super) held: Option<HeldRecord>,
    /// How often it was tried before.
    pub(super) tries: u32,
}

impl Item {
    /// The work of a group of changes: one item a record, at the place of its last change.
    pub(super) fn of_changes(group: Vec<Change>) -> Vec<Self> {
        group.into_iter().filter_map(Self::of_change).collect()
    }

    fn of_change(change: Change) -> Option<Self> {
        let held = match change.current {
            Current::Held(held) => Some(held),
            Current::Gone => None,
            Current::Later => return None,
        };
        Some(Self {
            number: change.number,
            source: change.source,
            record: change.record,
            seq: held.as_ref().map_or(change.seq, |h| h.seq),
            job: change.job,
            held,
            tries: 0,
        })
    }

    /// A record that is held.
    pub(super) fn write(held: HeldRecord) -> Self {
        Self {
            number: 0,
            source: held.source,
            record: held.record.clone(),
            seq: held.seq,
            job: 0,
            held: Some(held),
            tries: 0,
        }
    }

    /// A record that is not held any more.
    pub(super) fn delete(source: OdsCode, record: RecordId, seq: u64, job: u64) -> Self {
        Self {
            number: 0,
            source,
            record,
            seq,
            job,
            held: None,
            tries: 0,
        }
    }

    pub(super) fn key(&self) -> (OdsCode, RecordId) {
        (self.source, self.record.clone())
    }

    pub(super) fn done(&self, progress: &mut Progress) {
        if self.held.is_some() {
            progress
                .written
                .push((self.source, self.record.clone(), self.seq));
        } else {
            progress.deleted.push(self.key());
        }
    }

    pub(super) fn letter(&self, state: LetterState, fault: Fault, next_at: i64) -> NewLetter {
        NewLetter {
            source: self.source,
            record: self.record.clone(),
            seq: self.seq,
            job: self.job,
            op: if self.held.is_some() {
                LetterOp::Write
            } else {
                LetterOp::Delete
            },
            state,
            status: fault.status,
            reason: fault.reason,
            attempts: self.tries + 1,
            next_at,
        }
    }
}
