//! The fence: what makes a revocation exact (S1).
//!
//! A guard covers two short things only: exchanging the book, and checking and handing over one message.
//! Both take the same lock, so every message was checked against the book in force when it was handed
//! over, and stands in its subscription's ledger before the guard is let go. A change therefore sees, once
//! it has swapped the book, everything that it may have to wait for.
//!
//! Invariants: the book's swaps follow the order of the commits; a grant that is not in the book is never
//! handed over; a subscription stays listed until its socket is closed; a job counts as settled only once the
//! book was swapped for the change that it follows from; while something that a change ended may still leave, no other
//! change that would have ended it is done.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use handfast_proto::ids::OdsCode;
use parking_lot::{Mutex, RwLock};

use super::{
    counters::Counters,
    doubt::Doubts,
    drain::{InFlight, Which},
    ledger::Flight,
    subscriber::Subscriber,
};
use crate::audit::Disclosures;
use crate::consent::{Book, Pair, PairTerms, Standing};
use crate::store::{AgreementRow, JobId, UnitState};

/// The book, and everyone to whom something may be on its way.
#[derive(Debug)]
pub(super) struct Fence {
    book: RwLock<Arc<Book>>,
    /// Held from reading the book to exchanging it: nobody's swap is lost.
    swapping: Mutex<()>,
    subscribers: Mutex<HashMap<OdsCode, Vec<Arc<Subscriber>>>>,
    /// What changes wait for, until they are done.
    waited_for: Mutex<Vec<Weak<Which>>>,
    pub(super) counters: Counters,
    pub(super) drain: Duration,
    pub(super) doubts: Doubts,
    changes: ChangesUnderWay,
}

/// Which changes were begun and which are over, by number.
#[derive(Debug, Default)]
struct ChangesUnderWay {
    begun: AtomicU64,
    over: AtomicU64,
    /// The highest job that was seen while no change was under way.
    settled: AtomicU64,
}

// === The book ===

impl Fence {
    pub(super) fn new(book: Book, doubts: Doubts, drain: Duration) -> Self {
        Self {
            doubts,
            book: RwLock::new(Arc::new(book)),
            swapping: Mutex::default(),
            subscribers: Mutex::default(),
            waited_for: Mutex::default(),
            counters: Counters::default(),
            drain,
            changes: ChangesUnderWay::default(),
        }
    }

    /// Checks and hands over one message: `hand` runs under the guard and must be short.
    pub(super) fn hand<R>(&self, hand: impl FnOnce(&Book) -> R) -> R {
        hand(&self.book.read())
    }

    /// The book as it is.
    pub(super) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read())
    }

    /// Swaps the book, and says what is in flight of what that ended. The next value is made, and the last one
    /// let go of, without the guard.
    pub(super) fn swap(&self, change: impl FnOnce(&Book) -> Book, ended: &[Which]) -> Vec<InFlight> {
        let _alone = self.swapping.lock();
        let next = Arc::new(change(&self.book()));
        let (_last, flights) = {
            let mut book = self.book.write();
            let last = std::mem::replace(&mut *book, next);
            (last, self.flights(ended))
        };
        flights
    }

    /// What is in flight of what `which` names.
    fn flights(&self, which: &[Which]) -> Vec<InFlight> {
        let subscribers = self.subscribers.lock();
        let mut flights = Vec::new();
        for which in which {
            let meant: Vec<&Arc<Subscriber>> = match which.recipient() {
                Some(recipient) => subscribers.get(&recipient).into_iter().flatten().collect(),
                None => subscribers.values().flatten().collect(),
            };
            for subscriber in meant {
                let at_swap = subscriber.ledger.flight(|d| which.has(d));
                if at_swap != Flight::default() {
                    let waited_for = Arc::new(*which);
                    self.waited_for.lock().push(Arc::downgrade(&waited_for));
                    flights.push(InFlight::new(Arc::clone(subscriber), waited_for, at_swap));
                }
            }
        }
        flights
    }

    /// What other changes wait for of the pairs that are meant. The book lets none of it through any more, so that a
    /// change which would have ended it too finds nothing to end; but it may leave until they are done, and a change
    /// that is done sooner would say "in force" of what still leaves. To be asked in a change's turn.
    pub(super) fn leaving(&self, is_meant: impl Fn(Pair) -> bool) -> Vec<Which> {
        let mut waited_for = self.waited_for.lock();
        waited_for.retain(|which| which.strong_count() > 0);
        let all = waited_for.iter().filter_map(Weak::upgrade).map(|which| *which);
        let mut leaving: Vec<Which> = Vec::new();
        for which in all.filter(|which| which.pair().is_none_or(&is_meant)) {
            if !leaving.contains(&which) {
                leaving.push(which);
            }
        }
        leaving
    }
}

// === Subscriptions ===

impl Fence {
    /// Lists a subscription, so that changes see it.
    pub(super) fn list(&self, subscriber: &Arc<Subscriber>) {
        self.subscribers
            .lock()
            .entry(subscriber.recipient)
            .or_default()
            .push(Arc::clone(subscriber));
    }

    /// Forgets a subscription whose socket is closed, but for what it handed over: gives `enter` what is to be entered of
    /// that, before anybody finds it gone.
    pub(super) fn unlist(&self, subscriber: &Arc<Subscriber>, enter: impl FnOnce(Disclosures)) {
        self.doubts.gone(&subscriber.ledger);
        subscriber.ledger.in_doubt(enter);
        let mut all = self.subscribers.lock();
        if let Some(list) = all.get_mut(&subscriber.recipient) {
            list.retain(|s| !Arc::ptr_eq(s, subscriber));
            if list.is_empty() {
                all.remove(&subscriber.recipient);
            }
        }
    }

    /// The subscriptions of a recipient that are listed.
    pub(super) fn of(&self, recipient: OdsCode) -> Vec<Arc<Subscriber>> {
        self.subscribers
            .lock()
            .get(&recipient)
            .cloned()
            .unwrap_or_default()
    }

    /// The recipients with a live subscription.
    pub(super) fn subscribed(&self) -> Vec<OdsCode> {
        let all = self.subscribers.lock();
        let live = |list: &Vec<Arc<Subscriber>>| list.iter().any(|s| !s.over.is_cancelled());
        all.iter()
            .filter(|(_, list)| live(list))
            .map(|(ods, _)| *ods)
            .collect()
    }

    /// Has the feeds of these recipients read their pairs and jobs again.
    pub(super) fn refresh(&self, recipients: impl IntoIterator<Item = OdsCode>) {
        let all = self.subscribers.lock();
        for recipient in recipients {
            all.get(&recipient)
                .into_iter()
                .flatten()
                .for_each(|s| s.refresh());
        }
    }

    /// Has all feeds read their pairs and jobs again.
    pub(super) fn refresh_all(&self) {
        self.subscribers
            .lock()
            .values()
            .flatten()
            .for_each(|s| s.refresh());
    }
}

// === Changes under way, and the jobs that follow from them ===

impl Fence {
    /// A change that may enter jobs is about to commit.
    pub(super) fn change_begins(&self) {
        self.changes.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Its book was swapped, or nothing came of it.
    pub(super) fn change_is_over(&self) {
        self.changes.over.fetch_add(1, Ordering::SeqCst);
        let all = self.subscribers.lock();
        let waiting = all
            .values()
            .flatten()
            .filter(|s| s.waits_for_swap.swap(false, Ordering::SeqCst));
        waiting.for_each(|s| s.refresh());
    }

    /// Up to which job those that were read from the store are settled; `newest` is the highest of them. Where
    /// a change is under way, the subscriber reads again when it is over.
    pub(super) fn settled(&self, newest: JobId, subscriber: &Subscriber) -> JobId {
        subscriber.waits_for_swap.store(true, Ordering::SeqCst);
        // In this order: what was begun by now is over by then, so nothing that was read is ahead of its swap.
        let begun = self.changes.begun.load(Ordering::SeqCst);
        if self.changes.over.load(Ordering::SeqCst) < begun {
            return JobId(self.changes.settled.load(Ordering::SeqCst));
        }
        subscriber.waits_for_swap.store(false, Ordering::SeqCst);
        let settled = self.changes.settled.fetch_max(newest.0, Ordering::SeqCst);
        JobId(settled.max(newest.0))
    }
}

/// The terms of a pair as the store has them.
pub(super) fn terms(row: &AgreementRow) -> PairTerms {
    PairTerms {
        share_out: row.share_out.terms(),
        share_in: row.share_in.terms(),
        grant: row.grant,
    }
}

/// How a unit stands for the gate.
pub(super) fn standing(state: UnitState) -> Standing {
    match state {
        UnitState::Enrolled => Standing::Enrolled,
        UnitState::Suspended => Standing::Suspended,
        UnitState::Retired => Standing::NotEnrolled,
    }
}
