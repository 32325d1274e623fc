//! What each pair has forwarded and withheld since the daemon started, for people.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::consent::{Pair, Reason};

/// One pair's counts.
#[derive(Debug)]
pub(super) struct PairCounters {
    forwarded: AtomicU64,
    cursor: AtomicU64,
    withheld: Vec<AtomicU64>,
}

impl Default for PairCounters {
    fn default() -> Self {
        let withheld = Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            forwarded: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            withheld,
        }
    }
}

impl PairCounters {
    pub(super) fn forwarded(&self, n: u64) {
        self.forwarded.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn withheld(&self, reason: Reason, n: u64) {
        if let Some(count) = self.withheld.get(reason as usize) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn cursor(&self, seq: u64) {
        self.cursor.fetch_max(seq, Ordering::Relaxed);
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

    pub(super) fn all(&self) -> Vec<(Pair, Arc<PairCounters>)> {
        self.pairs
            .lock()
            .iter()
            .map(|(pair, counters)| (*pair, Arc::clone(counters)))
            .collect()
    }
}
