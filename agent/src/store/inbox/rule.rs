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
    /// What stands in the file: `Removed` is a tombstone.
    pub(super) filed: Kind,
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) grant: u64,
    /// The job that last named it, or the one that removed it; stamped.
    pub(super) job: u64,
    /// The job over its patient that last named it; stamped, 0 = none.
    pub(super) patient_job: u64,
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
    /// Nothing is held of it: that it was removed at this seq is remembered.
    Bury,
}

/// What stands around one amendment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) grant: u64,
    /// The job that carries it, stamped; of the live feed only the stamp.
    pub(super) stamp: u64,
    /// Whether it comes in a job.
    pub(super) in_job: bool,
    /// The grant is not caught up since the daemon began anew.
    pub(super) anew: bool,
    /// Stamps from here on were made since then.
    pub(super) fresh_from: u64,
    /// With `anew`: whether the payload held is the one delivered.
    pub(super) same: bool,
    /// The grant under which the record stands is another one, and in force.
    pub(super) under_another: bool,
}

/// A version is applied if it is newer than the one held or removed under a grant in force; a removal, unless a
/// newer version is held. In a job what is not newer is confirmed; but a newer version that another grant in force
/// brought stays that grant's: this one has not come to it yet, and may have a removal of it to tell. A later job, or
/// another grant, may bring back what was removed at the same seq. What the live feed of one grant removes stays where another grant
/// in force brought that very version. A removal of what is not held counts as well: what one grant sends is in
/// order, but two of a pair go each at its own pace, and a job that was not receipted is sent once more. Where
/// the daemon may have lost amendments (`anew`), seqs may have been given twice: then the payload tells.
pub(super) fn decide(row: &Row, op: Op, seq: u64, around: Around) -> Verdict {
    match (op, row.kind) {
        (Op::Retract, Kind::Held) if seq >= row.seq => Verdict::Remove,
        (Op::Remove, Kind::Held) if seq >= row.seq => {
            let brought_by_another = around.under_another && seq == row.seq && !around.in_job;
            if brought_by_another {
                Verdict::Skip
            } else {
                Verdict::Remove
            }
        }
        (Op::Retract | Op::Remove, Kind::Absent) => Verdict::Bury,
        // Under the grant that says so: another one may still bring that very version.
        (Op::Retract | Op::Remove, Kind::Removed) if seq > row.seq => Verdict::Bury,
        (Op::Retract | Op::Remove | Op::Statement | Op::Unspecified, _) => Verdict::Skip,
        (Op::Create | Op::Amend, Kind::Absent) => Verdict::Put,
        (Op::Create | Op::Amend, Kind::Removed) => {
            let other = row.grant != around.grant;
            let again = seq == row.seq && (other || around.in_job && around.stamp > row.job);
            if seq > row.seq || again || (other && !around.under_another) {
                Verdict::Put
            } else {
                Verdict::Skip
            }
        }
        (Op::Create | Op::Amend, Kind::Held) => {
            let fresh = row.job >= around.fresh_from;
            let renewing = around.anew && !fresh;
            if seq > row.seq || (renewing && !around.same) {
                Verdict::Put
            } else if around.under_another && fresh && seq < row.seq {
                Verdict::Skip
            } else if around.in_job || renewing {
                Verdict::Confirm(if renewing { seq } else { row.seq })
            } else {
                Verdict::Skip
            }
        }
    }
}

/// Which jobs an amendment counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) grant: u64,
    /// The catch-up that is under way, else the job that carries it, else the live feed; stamped.
    pub(super) job: u64,
    /// The job over one patient that carries it; stamped.
    pub(super) patient_job: Option<u64>,
    /// What a removal is remembered by: the job that carries it, stamped.
    pub(super) removed_by: u64,
}

impl Row {
    pub(super) fn absent(source: i64, record: RecordId) -> Self {
        Self {
            source,
            record,
            kind: Kind::Absent,
            filed: Kind::Absent,
            seq: 0,
            version: 0,
            grant: 0,
            job: 0,
            patient_job: 0,
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
        marks: Marks,
    ) -> Option<ChangeOp> {
        let was_held = self.kind == Kind::Held;
        match verdict {
            Verdict::Skip => return None,
            Verdict::Confirm(seq) => {
                (self.seq, self.grant, self.job) = (seq, marks.grant, marks.job);
                self.patient_job = marks.patient_job.unwrap_or(self.patient_job);
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
                self.job = marks.job;
                self.patient_job = marks.patient_job.unwrap_or(self.patient_job);
                self.content = Some(Content {
                    patient: subject.patient.as_u64(),
                    category: i64::from(subject.category as i32),
                    recorded_at: entry.recorded_at,
                    content_type: entry.content_type.to_owned(),
                    payload,
                });
            }
            Verdict::Remove | Verdict::Bury => {
                self.kind = Kind::Removed;
                self.job = marks.removed_by;
                self.patient_job = 0;
                self.content = None;
            }
        }
        (self.seq, self.grant) = (entry.seq, marks.grant);
        self.touched = Touched::Written;
        if verdict == Verdict::Bury {
            return None;
        }
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
        stamp: 0,
        in_job: false,
        anew: false,
        fresh_from: 0,
        same: true,
        under_another: false,
    };
    const CATCH_UP: Around = Around {
        stamp: 9,
        in_job: true,
        ..LIVE
    };

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
    }

    #[test]
    fn a_removal_of_what_is_not_held_is_remembered() {
        for op in [Op::Retract, Op::Remove] {
            assert_eq!(decide(&row(Kind::Absent, 0, 0, 0), op, 12, LIVE), Verdict::Bury);
            let removed = row(Kind::Removed, 10, 5, 0);
            assert_eq!(decide(&removed, op, 12, LIVE), Verdict::Bury);
            assert_eq!(decide(&removed, op, 10, LIVE), Verdict::Skip);
            assert_eq!(decide(&removed, op, 9, CATCH_UP), Verdict::Skip);
        }
    }

    #[test]
    fn what_another_grant_brought_is_not_removed_by_the_live_feed_of_this_one() {
        let held = row(Kind::Held, 10, 6, 0);
        let beside = Around {
            under_another: true,
            ..LIVE
        };
        assert_eq!(decide(&held, Op::Remove, 10, beside), Verdict::Skip);
        assert_eq!(decide(&held, Op::Remove, 11, beside), Verdict::Remove);
        assert_eq!(decide(&held, Op::Retract, 10, beside), Verdict::Remove);
        let in_job = Around {
            in_job: true,
            ..beside
        };
        assert_eq!(decide(&held, Op::Remove, 10, in_job), Verdict::Remove);
        assert_eq!(decide(&held, Op::Remove, 10, LIVE), Verdict::Remove);
    }

    /// Fails where a job of one grant takes over what another grant is ahead with: then the removal that this grant has
    /// yet to tell of that version takes away what the other one carries.
    #[test]
    fn a_newer_version_that_another_grant_brought_stays_under_it() {
        let held = row(Kind::Held, 10, 6, 0);
        let beside = Around {
            under_another: true,
            ..CATCH_UP
        };
        assert_eq!(decide(&held, Op::Create, 9, beside), Verdict::Skip);
        assert_eq!(decide(&held, Op::Create, 10, beside), Verdict::Confirm(10));
        assert_eq!(
            decide(&held, Op::Create, 9, CATCH_UP),
            Verdict::Confirm(10),
            "the other one has ended"
        );
        // The sweep takes what has an older mark for lost with the daemon's state.
        let fresh = Around {
            fresh_from: 8,
            ..beside
        };
        assert_eq!(decide(&held, Op::Create, 9, fresh), Verdict::Confirm(10));
        assert_eq!(
            decide(&row(Kind::Held, 10, 6, 8), Op::Create, 9, fresh),
            Verdict::Skip
        );
    }

    #[test]
    fn a_tombstone_counts_while_its_grant_stands() {
        let removed = row(Kind::Removed, 10, 5, 8);
        assert_eq!(decide(&removed, Op::Amend, 9, LIVE), Verdict::Skip);
        assert_eq!(decide(&removed, Op::Amend, 11, LIVE), Verdict::Put);
        let other = Around { grant: 6, ..CATCH_UP };
        assert_eq!(decide(&removed, Op::Amend, 9, other), Verdict::Put);
        let beside = Around {
            under_another: true,
            ..other
        };
        assert_eq!(decide(&removed, Op::Amend, 9, beside), Verdict::Skip);
        assert_eq!(decide(&removed, Op::Amend, 10, beside), Verdict::Put);
        // A later job brings back the same version, an earlier one repeated does not.
        assert_eq!(decide(&removed, Op::Amend, 10, CATCH_UP), Verdict::Put);
        let earlier = Around { stamp: 8, ..CATCH_UP };
        assert_eq!(decide(&removed, Op::Amend, 10, earlier), Verdict::Skip);
    }

    #[test]
    fn where_the_daemon_lost_amendments_the_payload_decides() {
        let held = row(Kind::Held, 10, 5, 2);
        let anew = Around {
            anew: true,
            fresh_from: 8,
            ..CATCH_UP
        };
        assert_eq!(decide(&held, Op::Amend, 7, anew), Verdict::Confirm(7));
        let other = Around { same: false, ..anew };
        assert_eq!(decide(&held, Op::Amend, 7, other), Verdict::Put);
        assert_eq!(decide(&held, Op::Amend, 10, other), Verdict::Put);
        // The live feed of an emergency does not wait for its catch-up.
        let live = Around {
            in_job: false,
            ..other
        };
        assert_eq!(decide(&held, Op::Amend, 7, live), Verdict::Put);
        // What was put since the daemon began anew is compared by seq again.
        assert_eq!(
            decide(&row(Kind::Held, 7, 5, 9), Op::Amend, 7, other),
            Verdict::Confirm(7)
        );
    }
}
