//! What each pair has forwarded and withheld since the daemon started, for people.
//!
//! Invariants: of an amendment that is withheld the first decision counts, once: what is looked at again after
//! a break, and what a job passes over, does not; what came while a grant was in force does not count as withheld
//! because it ended since, whichever process saw that.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    consent::{Pair, Reason},
    store::HalfOutcome,
};

/// One pair's counts.
#[derive(Debug)]
pub(super) struct PairCounters {
    forwarded: AtomicU64,
    cursor: AtomicU64,
    /// The last seq of which it was decided whether it goes.
    decided: AtomicU64,
    withheld: Vec<AtomicU64>,
}

impl Default for PairCounters {
    fn default() -> Self {
        let withheld = Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            forwarded: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            decided: AtomicU64::new(0),
            withheld,
        }
    }
}

impl PairCounters {
    pub(super) fn forwarded(&self, n: u64) {
        self.forwarded.fetch_add(n, Ordering::Relaxed);
    }

    /// The amendment with this seq does not go.
    pub(super) fn withheld(&self, reason: Reason, seq: u64) {
        if seq <= self.decided.load(Ordering::Relaxed) {
            return;
        }
        if let Some(count) = self.withheld.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Of everything up to this seq it was decided whether it goes.
    pub(super) fn decided(&self, seq: u64) {
        self.decided.fetch_max(seq, Ordering::Relaxed);
    }

    pub(super) fn cursor(&self, seq: u64) {
        self.cursor.fetch_max(seq, Ordering::Relaxed);
    }

    /// Everything up to this seq was received or withheld.
    pub(super) fn at(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// Forwarded, cursor, and the reasons that were given at least once.
    pub(super) fn read(&self) -> (u64, u64, Vec<(Reason, u64)>) {
        let withheld = Reason::ALL
            .iter()
            .zip(&self.withheld)
            .map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        (
            self.forwarded.load(Ordering::Relaxed),
            self.cursor.load(Ordering::Relaxed),
            withheld,
        )
    }

    /// The reasons, once a grant has ended, or where there never was one: all that came since, up to `head`, is withheld
    /// for one reason.
    pub(super) fn without_grant(&self, reason: Reason, head: u64) -> Vec<(Reason, u64)> {
        let (_, cursor, mut withheld) = self.read();
        let since = head.saturating_sub(self.decided.load(Ordering::Relaxed).max(cursor));
        match withheld.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += since,
            None => withheld.push((reason, since)),
        }
        withheld
    }
}

/// The counts of all pairs.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pairs: Mutex<HashMap<Pair, Arc<PairCounters>>>,
}

impl Counters {
    pub(super) fn of(&self, pair: Pair) -> Arc<PairCounters> {
        Arc::clone(self.pairs.lock().entry(pair).or_default())
    }

    /// Agreements' grants have ended.
    pub(super) fn ended<'o>(&self, outcomes: impl IntoIterator<Item = &'o HalfOutcome>) {
        for outcome in outcomes {
            if let Some((_, cursor)) = outcome.ended {
                self.of(outcome.agreement.pair).decided(cursor);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<(Pair, Arc<PairCounters>)> {
        self.pairs
            .lock()
            .iter()
            .map(|(pair, counters)| (*pair, Arc::clone(counters)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_grant_what_came_since_it_ended_is_withheld_and_nothing_that_went() {
        let counters = PairCounters::default();
        assert_eq!(
            counters.without_grant(Reason::ShareInOff, 7),
            [(Reason::ShareInOff, 7)],
            "there never was one"
        );
        counters.withheld(Reason::NotOnCaseload, 4);
        counters.decided(8);
        counters.cursor(9);
        assert_eq!(
            counters.without_grant(Reason::ShareInOff, 12),
            [(Reason::NotOnCaseload, 1), (Reason::ShareInOff, 3)]
        );
        assert_eq!(
            counters.without_grant(Reason::NotOnCaseload, 12),
            [(Reason::NotOnCaseload, 4)]
        );
    }

    #[test]
    fn what_is_looked_at_again_is_not_counted_again() {
        let counters = PairCounters::default();
        counters.withheld(Reason::NotOnCaseload, 4);
        counters.withheld(Reason::NotOnCaseload, 5);
        counters.decided(5);
        counters.withheld(Reason::PatientDissentIn, 5);
        counters.withheld(Reason::PatientDissentIn, 6);
        let (_, _, withheld) = counters.read();
        assert_eq!(
            withheld,
            [(Reason::PatientDissentIn, 1), (Reason::NotOnCaseload, 2)]
        );
    }
}
