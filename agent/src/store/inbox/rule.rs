//! What a delivery does to a record: [`decide`] is the whole rule, [`Row::take`] carries it out in memory.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Entry, Op},
    ids::RecordId,
};

use super::model::ChangeOp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    Held,
    Removed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touched {
    No,
    Confirmed,
    Written,
}

pub(super) struct Row {
    pub(super) source: i64,
    pub(super) record: RecordId,
    pub(super) kind: Kind,
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) grant: u64,
    pub(super) job: u64,
    pub(super) touched: Touched,
    pub(super) content: Option<Content>,
}

pub(super) struct Content {
    pub(super) patient: u64,
    pub(super) category: i64,
    pub(super) recorded_at: i64,
    pub(super) content_type: String,
    pub(super) payload: Bytes,
}

/// What a delivery does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Skip,
    /// The version held is the right one; it counts as this seq.
    Confirm(u64),
    Put,
    Remove,
}

/// What stands around one amendment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) grant: u64,
    /// 0 = live.
    pub(super) job: u64,
    pub(super) anew: bool,
    /// With `anew`: whether the payload held is the one delivered.
    pub(super) same: bool,
}

/// A version is applied if it is newer than the one held or removed under this grant; a removal, unless a
/// newer version is held. In a catch-up what is not newer is confirmed. A later job may bring back what
/// an earlier one removed at the same seq. Where the daemon may have lost amendments (`anew`), seqs may
/// have been given twice: then the payload tells.
pub(super) fn decide(row: &Row, op: Op, seq: u64, around: Around) -> Verdict {
    let in_job = around.job != 0;
    match (op, row.kind) {
        (Op::Retract | Op::Remove, Kind::Held) if seq >= row.seq => Verdict::Remove,
        (Op::Retract | Op::Remove | Op::Statement | Op::Unspecified, _) => Verdict::Skip,
        (Op::Create | Op::Amend, Kind::Absent) => Verdict::Put,
        (Op::Create | Op::Amend, Kind::Removed) => {
            let again = in_job && seq == row.seq && around.job > row.job;
            if row.grant != around.grant || seq > row.seq || again {
                Verdict::Put
            } else {
                Verdict::Skip
            }
        }
        (Op::Create | Op::Amend, Kind::Held) => {
            let renewing = around.anew && in_job && row.job != around.job;
            if seq > row.seq || (renewing && !around.same) {
                Verdict::Put
            } else if in_job {
                Verdict::Confirm(if renewing { seq } else { row.seq })
            } else {
                Verdict::Skip
            }
        }
    }
}

impl Row {
    pub(super) fn absent(source: i64, record: RecordId) -> Self {
        Self {
            source,
            record,
            kind: Kind::Absent,
            seq: 0,
            version: 0,
            grant: 0,
            job: 0,
            touched: Touched::No,
            content: None,
        }
    }

    /// Carries out a verdict. Returns what was done, where something was.
    pub(super) fn take(
        &mut self,
        verdict: Verdict,
        entry: &Entry<'_>,
        payload: Bytes,
        grant: u64,
        job: u64,
    ) -> Option<ChangeOp> {
        let was_held = self.kind == Kind::Held;
        match verdict {
            Verdict::Skip => return None,
            Verdict::Confirm(seq) => {
                (self.seq, self.grant, self.job) = (seq, grant, job);
                if self.touched == Touched::No {
                    self.touched = Touched::Confirmed;
                }
                return None;
            }
            Verdict::Put => {
                // Every amendment that is not a removal has a subject (checked when the batch was read).
                let subject = entry.subject?;
                self.kind = Kind::Held;
                self.version += 1;
                self.content = Some(Content {
                    patient: subject.patient.as_u64(),
                    category: i64::from(subject.category as i32),
                    recorded_at: entry.recorded_at,
                    content_type: entry.content_type.to_owned(),
                    payload,
                });
            }
            Verdict::Remove => {
                self.kind = Kind::Removed;
                self.content = None;
            }
        }
        (self.seq, self.grant, self.job) = (entry.seq, grant, job);
        self.touched = Touched::Written;
        Some(match (verdict, entry.op) {
            (Verdict::Put, _) if was_held => ChangeOp::Amend,
            (Verdict::Put, _) => ChangeOp::Create,
            (_, Op::Retract) => ChangeOp::Retract,
            _ => ChangeOp::Withdraw,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, seq: u64, grant: u64, job: u64) -> Row {
        Row {
            kind,
            seq,
            grant,
            job,
            ..Row::absent(1, "Observation/1".parse().unwrap())
        }
    }

    const LIVE: Around = Around {
        grant: 5,
        job: 0,
        anew: false,
        same: true,
    };
    const CATCH_UP: Around = Around { job: 9, ..LIVE };

    #[test]
    fn only_what_is_newer_is_applied() {
        let held = row(Kind::Held, 10, 5, 0);
        assert_eq!(decide(&held, Op::Amend, 11, LIVE), Verdict::Put);
        assert_eq!(decide(&held, Op::Amend, 10, LIVE), Verdict::Skip);
        assert_eq!(decide(&held, Op::Amend, 11, CATCH_UP), Verdict::Put);
        assert_eq!(decide(&held, Op::Create, 10, CATCH_UP), Verdict::Confirm(10));
        assert_eq!(decide(&held, Op::Create, 3, CATCH_UP), Verdict::Confirm(10));
    }

    #[test]
    fn a_removal_yields_only_to_a_newer_version() {
        let held = row(Kind::Held, 10, 5, 0);
        assert_eq!(decide(&held, Op::Remove, 10, CATCH_UP), Verdict::Remove);
        assert_eq!(decide(&held, Op::Retract, 12, LIVE), Verdict::Remove);
        assert_eq!(decide(&held, Op::Remove, 9, CATCH_UP), Verdict::Skip);
        for kind in [Kind::Absent, Kind::Removed] {
            assert_eq!(decide(&row(kind, 10, 5, 0), Op::Retract, 12, LIVE), Verdict::Skip);
        }
    }

    #[test]
    fn a_tombstone_counts_only_under_its_grant() {
        let removed = row(Kind::Removed, 10, 5, 8);
        assert_eq!(decide(&removed, Op::Amend, 9, LIVE), Verdict::Skip);
        assert_eq!(decide(&removed, Op::Amend, 11, LIVE), Verdict::Put);
        assert_eq!(
            decide(&removed, Op::Amend, 9, Around { grant: 6, ..CATCH_UP }),
            Verdict::Put
        );
        // A later job brings back the same version, an earlier one repeated does not.
        assert_eq!(decide(&removed, Op::Amend, 10, CATCH_UP), Verdict::Put);
        assert_eq!(
            decide(&removed, Op::Amend, 10, Around { job: 8, ..LIVE }),
            Verdict::Skip
        );
    }

    #[test]
    fn where_the_daemon_lost_amendments_the_payload_decides() {
        let held = row(Kind::Held, 10, 5, 0);
        let anew = Around {
            anew: true,
            ..CATCH_UP
        };
        assert_eq!(decide(&held, Op::Amend, 7, anew), Verdict::Confirm(7));
        let other = Around { same: false, ..anew };
        assert_eq!(decide(&held, Op::Amend, 7, other), Verdict::Put);
        assert_eq!(decide(&held, Op::Amend, 10, other), Verdict::Put);
        // What this catch-up has put already is compared by seq again.
        assert_eq!(
            decide(&row(Kind::Held, 7, 5, 9), Op::Amend, 7, other),
            Verdict::Confirm(7)
        );
    }
}
