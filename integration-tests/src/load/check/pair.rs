//! What a recipient holds of one source, as an inbox would: which seq of each record, under which grant it came,
//! and how far the grant's feed is. Four bytes and a bit for each record.
//!
//! A pair has one grant at a time here: nobody asks for an emergency access. So "under the grant in force" is a bit.

use std::collections::BTreeSet;

use handfast_proto::v1::ReconcileScope;

/// Seqs that are kept as missing, so that one that is late or missed again at the end is not counted twice.
const MAX_MISSING: usize = 10_000;
/// Jobs of one pair that may be under way at one time.
const MAX_JOBS: usize = 1_024;

/// Where a seq stands against what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Beyond all that came: those from here on up to it did not come.
    Next { from: u32 },
    /// It came on an earlier connection; an inbox drops it.
    Again,
    /// It came on this connection.
    Twice,
    /// A later one came on this connection, and this one did not.
    Late,
}

/// How far a feed is: what came last in all, and on the newest connection.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    last: u32,
    connection: u32,
    first_here: u32,
    last_here: u32,
}

impl Position {
    fn place(&mut self, connection: u32, seq: u32) -> Place {
        if connection != self.connection {
            *self = Self {
                last: self.last,
                connection,
                first_here: seq,
                last_here: 0,
            };
        }
        if seq <= self.last_here {
            return if seq < self.first_here {
                Place::Late
            } else {
                Place::Twice
            };
        }
        self.last_here = seq;
        if seq <= self.last {
            return Place::Again;
        }
        let from = self.last + 1;
        self.last = seq;
        Place::Next { from }
    }
}

/// A job that is under way beside the feed of its grant, or is its catch-up.
#[derive(Debug)]
struct Job {
    id: u64,
    scope: ReconcileScope,
    patient: u64,
    position: Position,
    /// The records that a job over a patient has named.
    named: BTreeSet<u32>,
}

/// One pair, as its recipient sees it.
#[derive(Debug, Default)]
pub(super) struct PairState {
    /// The newest grant of which something came.
    pub(super) grant: u64,
    /// No grant up to this one sends anything any more: its end was marked.
    pub(super) fenced: u64,
    /// Whether the grant's catch-up is complete.
    pub(super) caught_up: bool,
    feed: Position,
    jobs: Vec<Job>,
    /// By record: the seq held; 0: none.
    held: Vec<u32>,
    /// By record: whether it came, or was confirmed, under the newest grant.
    current: Vec<u64>,
    /// Of this pair, what was found missing.
    missing: BTreeSet<u32>,
}

impl PairState {
    /// A message of a grant: with a new one, its feed begins anew.
    pub(super) fn of_grant(&mut self, grant: u64) {
        if grant > self.grant {
            self.grant = grant;
            self.caught_up = false;
            self.feed = Position::default();
            self.jobs.clear();
            self.current.fill(0);
        }
    }

    /// A job begins, or goes on on another connection.
    pub(super) fn begins(&mut self, id: u64, scope: ReconcileScope, patient: u64) {
        if self.jobs.iter().any(|job| job.id == id) || self.jobs.len() >= MAX_JOBS {
            return;
        }
        if scope == ReconcileScope::Everything {
            self.caught_up = false;
            self.feed = Position::default();
            self.current.fill(0);
        }
        self.jobs.push(Job {
            id,
            scope,
            patient,
            position: Position::default(),
            named: BTreeSet::new(),
        });
    }

    /// Whether a job over everything is under way under this number, or one beside the feed; `None`: no such job.
    pub(super) fn job(&self, id: u64) -> Option<ReconcileScope> {
        self.jobs.iter().find(|job| job.id == id).map(|job| job.scope)
    }

    /// A job is complete: what it did not name is removed. How much that was.
    pub(super) fn complete(&mut self, id: u64, upto: u32, patient_of: impl Fn(u32) -> u64) -> u64 {
        let Some(at) = self.jobs.iter().position(|job| job.id == id) else {
            return 0;
        };
        let job = self.jobs.swap_remove(at);
        match job.scope {
            ReconcileScope::Everything => {
                self.caught_up = true;
                self.feed.last = self.feed.last.max(upto);
                self.remove_where(|pair, record, seq| !pair.is_current(record) && seq <= upto)
            }
            ReconcileScope::Patient => self.remove_where(|_, record, seq| {
                seq <= upto && patient_of(record) == job.patient && !job.named.contains(&record)
            }),
            ReconcileScope::Changes => 0,
        }
    }

    /// A grant ended: what is held, and did not come under a later one, is removed. How much that was.
    pub(super) fn withdraw(&mut self, ended: u64, patient: u64, patient_of: impl Fn(u32) -> u64) -> u64 {
        self.fenced = self.fenced.max(ended);
        let spares = ended < self.grant;
        self.remove_where(|pair, record, _| {
            let spared = spares && pair.is_current(record);
            !spared && (patient == 0 || patient_of(record) == patient)
        })
    }

    fn remove_where(&mut self, goes: impl Fn(&Self, u32, u32) -> bool) -> u64 {
        let mut removed = 0;
        for at in 0..self.held.len() {
            let seq = self.held.get(at).copied().unwrap_or(0);
            let record = u32::try_from(at).unwrap_or(u32::MAX);
            if seq != 0 && goes(self, record, seq) {
                self.put(record, 0);
                removed += 1;
            }
        }
        removed
    }

    /// Where an amendment stands in the feed (`job` 0, or a catch-up) or in its job.
    pub(super) fn place(&mut self, job: u64, connection: u32, seq: u32) -> Place {
        let own = self.jobs.iter_mut().find(|own| own.id == job);
        match own.filter(|own| own.scope != ReconcileScope::Everything) {
            Some(own) => own.position.place(connection, seq),
            None => self.feed.place(connection, seq),
        }
    }

    /// Applies a version: it counts if it is newer, and is confirmed by a job if it is not.
    pub(super) fn version(&mut self, job: u64, record: u32, seq: u32) {
        if seq > self.held(record) {
            self.put(record, seq);
            self.mark(record);
        } else if job != 0 {
            self.mark(record);
        }
        let of_patient = |own: &&mut Job| own.id == job && own.scope == ReconcileScope::Patient;
        if let Some(own) = self.jobs.iter_mut().find(of_patient) {
            own.named.insert(record);
        }
    }

    /// Applies a removal: it counts unless a newer version is held.
    pub(super) fn removal(&mut self, record: u32, seq: u32) {
        if seq >= self.held(record) {
            self.put(record, 0);
        }
    }

    /// What is held is this and nothing else: record and seq.
    pub(super) fn holds(&mut self, held: &[(u32, u32)]) {
        self.held.fill(0);
        held.iter().for_each(|(record, seq)| self.put(*record, *seq));
    }

    /// The seq held of a record; 0: none.
    pub(super) fn held(&self, record: u32) -> u32 {
        self.held.get(record as usize).copied().unwrap_or(0)
    }

    /// Where the feed of the newest grant is.
    pub(super) fn position(&self) -> u32 {
        self.feed.last
    }

    /// Notes that a seq is missing. Whether that is new.
    pub(super) fn misses(&mut self, seq: u32) -> bool {
        if self.missing.len() >= MAX_MISSING {
            return !self.missing.contains(&seq);
        }
        self.missing.insert(seq)
    }

    /// A seq that was missing has come after all. Whether it was.
    pub(super) fn found(&mut self, seq: u32) -> bool {
        self.missing.remove(&seq)
    }

    fn put(&mut self, record: u32, seq: u32) {
        let at = record as usize;
        if at >= self.held.len() {
            if seq == 0 {
                return;
            }
            self.held.resize(at + 1, 0);
            self.current.resize(at / 64 + 1, 0);
        }
        if let Some(held) = self.held.get_mut(at) {
            *held = seq;
        }
    }

    fn mark(&mut self, record: u32) {
        if let Some(word) = self.current.get_mut(record as usize / 64) {
            *word |= 1 << (record % 64);
        }
    }

    fn is_current(&self, record: u32) -> bool {
        let word = self.current.get(record as usize / 64).copied().unwrap_or(0);
        word & 1 << (record % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ReconcileScope = ReconcileScope::Everything;

    /// A pair whose grant 1 is caught up to nothing.
    fn begun() -> PairState {
        let mut pair = PairState::default();
        pair.of_grant(1);
        pair.begins(5, ALL, 0);
        pair.complete(5, 0, |_| 0);
        pair
    }

    #[test]
    fn places_tell_a_repeat_from_a_fault() {
        let mut pair = begun();
        assert_eq!(pair.place(0, 1, 4), Place::Next { from: 1 });
        assert_eq!(pair.place(0, 1, 6), Place::Next { from: 5 });
        assert_eq!(pair.place(0, 1, 6), Place::Twice);
        assert_eq!(pair.place(0, 1, 2), Place::Late);
        assert_eq!(pair.place(0, 2, 5), Place::Again);
        assert_eq!(pair.place(0, 2, 5), Place::Twice);
        assert_eq!(pair.place(0, 2, 7), Place::Next { from: 7 });
    }

    #[test]
    fn a_catch_up_takes_what_it_does_not_confirm_and_its_feed_goes_on_behind_it() {
        let mut pair = begun();
        for (record, seq) in [(0, 1), (1, 2), (2, 3)] {
            pair.version(0, record, seq);
        }
        pair.of_grant(2);
        pair.begins(6, ALL, 0);
        assert!(!pair.caught_up);
        pair.version(6, 1, 2);
        pair.version(6, 2, 5);
        assert_eq!(pair.complete(6, 8, |_| 0), 1);
        assert_eq!([pair.held(0), pair.held(1), pair.held(2)], [0, 2, 5]);
        assert_eq!((pair.caught_up, pair.position()), (true, 8));
    }

    #[test]
    fn a_withdrawal_spares_what_came_under_a_later_grant() {
        let mut pair = begun();
        pair.version(0, 0, 1);
        pair.version(0, 1, 2);
        pair.of_grant(3);
        pair.begins(7, ALL, 0);
        pair.version(7, 1, 2);
        assert_eq!(pair.withdraw(1, 0, |_| 0), 1);
        assert_eq!([pair.held(0), pair.held(1)], [0, 2]);
        assert_eq!(pair.withdraw(3, 0, |_| 0), 1);
        assert_eq!((pair.held(1), pair.fenced), (0, 3));
    }

    #[test]
    fn a_job_over_a_patient_takes_that_patients_alone_and_not_what_came_meanwhile() {
        let mut pair = begun();
        for (record, seq) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            pair.version(0, record, seq);
        }
        let patient_of = |record: u32| if record == 3 { 8 } else { 9 };
        pair.begins(7, ReconcileScope::Patient, 9);
        pair.version(7, 1, 2);
        pair.version(0, 2, 6);
        assert_eq!(pair.complete(7, 5, patient_of), 1);
        assert_eq!(
            [pair.held(0), pair.held(1), pair.held(2), pair.held(3)],
            [0, 2, 6, 4]
        );
    }

    #[test]
    fn a_removal_yields_to_a_newer_version() {
        let mut pair = begun();
        pair.version(0, 0, 4);
        pair.version(7, 0, 3);
        pair.removal(0, 3);
        assert_eq!(pair.held(0), 4);
        pair.removal(0, 5);
        pair.removal(70_000, 6);
        assert_eq!(pair.held(0), 0);
    }
}
