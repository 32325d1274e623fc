//! The fence: what makes a revocation exact (S1).
//!
//! A guard covers two short things only: swapping the book, and checking and handing over one message.
//! Both take the same lock, so every message was checked against the book in force when it was handed
//! over, and stands in its subscription's ledger before the guard is let go. A change therefore sees, once
//! it has swapped the book, everything that it may have to wait for.
//!
//! Invariants: the book's swaps follow the order of the commits; a grant that is not in the book is never
//! handed over; a subscription stays listed until its socket is closed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use handfast_proto::ids::OdsCode;
use parking_lot::{Mutex, RwLock};

use super::{
    counters::Counters,
    doubt::Doubts,
    ledger::{Disclosed, Flight},
    revoker::Receipt,
    subscriber::Subscriber,
};
use crate::consent::{Book, GrantId, Pair, PairTerms, Standing};
use crate::store::{AgreementRow, UnitState};

/// How long a cut connection may take to be gone, before an answer is "pending".
const CLOSE_BOUND: Duration = Duration::from_millis(1000);

/// The book, and everyone to whom something may be on its way.
#[derive(Debug)]
pub(super) struct Fence {
    book: RwLock<Arc<Book>>,
    subscribers: Mutex<HashMap<OdsCode, Vec<Arc<Subscriber>>>>,
    pub(super) counters: Counters,
    drain: Duration,
    doubts: Doubts,
}

/// What waiting for a grant's flights found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Drained {
    pub(super) pending: bool,
    pub(super) cut: bool,
    pub(super) received_through: Option<u64>,
    pub(super) not_received: Option<(u64, u64)>,
}

/// What one subscription had in flight when the book was swapped.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    subscriber: Arc<Subscriber>,
    which: Which,
    at_swap: Flight,
}

/// Which messages a change ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// Those of a grant.
    Grant(Pair, GrantId),
    /// Those of a unit, as source or recipient.
    Unit(OdsCode),
}

impl Which {
    fn has(self, disclosed: &Disclosed) -> bool {
        match self {
            Self::Grant(pair, grant) => disclosed.pair == pair && disclosed.grant == grant,
            Self::Unit(ods) => disclosed.pair.source == ods || disclosed.pair.recipient == ods,
        }
    }
}

impl InFlight {
    /// Whether it was in flight of this grant.
    pub(super) fn is_of(&self, pair: Pair, grant: GrantId) -> bool {
        self.which == Which::Grant(pair, grant)
    }
}

impl Fence {
    pub(super) fn new(book: Book, heads_at_start: Vec<(OdsCode, u64)>, drain: Duration) -> Self {
        let book = Arc::new(book);
        Self {
            doubts: Doubts::new(Arc::clone(&book), heads_at_start),
            book: RwLock::new(book),
            subscribers: Mutex::default(),
            counters: Counters::default(),
            drain,
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

    /// Swaps the book, and says what is in flight of what that ended.
    pub(super) fn swap(&self, change: impl FnOnce(&Book) -> Book, ended: &[Which]) -> Vec<InFlight> {
        let mut book = self.book.write();
        let next = change(&book);
        *book = Arc::new(next);
        let subscribers = self.subscribers.lock();
        let flights = |subscriber: &Arc<Subscriber>| {
            let subscriber = Arc::clone(subscriber);
            ended.iter().map(move |which| InFlight {
                at_swap: subscriber.ledger.flight(|d| which.has(d)),
                subscriber: Arc::clone(&subscriber),
                which: *which,
            })
        };
        let all = subscribers.values().flatten().flat_map(flights);
        all.filter(|f| f.at_swap != Flight::default()).collect()
    }

    /// Waits, bounded, until what was in flight has arrived; cuts the connections of those that do not
    /// answer. Cancellation-safe, but what it would have cut stays.
    pub(super) async fn drain(&self, flights: &[InFlight]) -> Drained {
        let each = join_all(flights.iter().map(|flight| self.drain_one(flight))).await;
        each.into_iter().fold(Drained::default(), Drained::and)
    }

    async fn drain_one(&self, flight: &InFlight) -> Drained {
        let subscriber = &flight.subscriber;
        let received = Drained {
            received_through: flight.at_swap.received_through,
            ..Drained::default()
        };
        let Some(number) = flight.at_swap.last_number else {
            return received;
        };
        let arrived = tokio::select! {
            biased;
            () = subscriber.ledger.arrived(number) => true,
            () = subscriber.connection.closed() => false,
            () = tokio::time::sleep(self.drain) => false,
        };
        if arrived {
            let last = flight.at_swap.not_received.map(|(_, last)| last);
            return Drained {
                received_through: last.max(received.received_through),
                ..received
            };
        }
        subscriber.connection.cut();
        let closed = tokio::time::timeout(CLOSE_BOUND, subscriber.connection.closed())
            .await
            .is_ok();
        let now = subscriber.ledger.flight(|d| flight.which.has(d));
        Drained {
            pending: !closed,
            cut: true,
            received_through: now.received_through.max(received.received_through),
            not_received: now.not_received,
        }
    }

    /// Lists a subscription, so that changes see it.
    pub(super) fn list(&self, subscriber: &Arc<Subscriber>) {
        self.subscribers
            .lock()
            .entry(subscriber.recipient)
            .or_default()
            .push(Arc::clone(subscriber));
    }

    /// Forgets a subscription whose socket is closed, but for what it handed over.
    pub(super) fn unlist(&self, subscriber: &Arc<Subscriber>) {
        self.doubts.gone(subscriber.ledger.marks());
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

    /// Has the feeds of a recipient, or all, read their pairs and jobs again.
    pub(super) fn refresh(&self, recipient: Option<OdsCode>) {
        let all = self.subscribers.lock();
        let meant = all.iter().filter(|(ods, _)| recipient.is_none_or(|r| r == **ods));
        meant.flat_map(|(_, list)| list).for_each(|s| s.refresh());
    }

    /// The receipt of a grant that ended with its cursor at `cursor`.
    pub(super) fn receipt(&self, pair: Pair, ended: GrantId, cursor: u64, drained: &Drained) -> Receipt {
        let gone = self.doubts.of(pair, ended);
        let live = drained.received_through.unwrap_or(0);
        let received_through = live.max(cursor).max(gone.received);
        let mut may = drained.not_received;
        if gone.handed > received_through {
            let from = received_through + 1;
            let (first, last) = may.unwrap_or((from, gone.handed));
            may = Some((first.min(from), last.max(gone.handed)));
        }
        Receipt {
            ended,
            received_through,
            may_have_received: may,
            connection_cut: drained.cut,
        }
    }

    /// The receipt of a grant that ended before this process began: any of it may be at the recipient.
    pub(super) fn receipt_from_before(&self, pair: Pair, ended: GrantId) -> Receipt {
        let head = self.doubts.head_at_start(pair.source);
        Receipt {
            ended,
            received_through: 0,
            may_have_received: (head > 0).then_some((1, head)),
            connection_cut: false,
        }
    }
}

impl Drained {
    fn and(self, other: Self) -> Self {
        let not_received = match (self.not_received, other.not_received) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        };
        Self {
            pending: self.pending || other.pending,
            cut: self.cut || other.cut,
            received_through: self.received_through.max(other.received_through),
            not_received,
        }
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
