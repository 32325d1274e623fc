//! Waiting until what a change ended has arrived, or can leave no more, and what the receipt says of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use handfast_proto::ids::OdsCode;

use super::{
    fence::Fence,
    ledger::{Disclosed, Flight},
    revoker::Receipt,
    subscriber::Subscriber,
};
use crate::consent::{GrantId, Pair};

/// How long a cut connection may take to be gone, before an answer is "pending".
const CLOSE_BOUND: Duration = Duration::from_millis(1000);

/// Which messages a change ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// Those of a grant.
    Grant(Pair, GrantId),
    /// Those of a pair, whatever the grant: some of them, and all are waited for.
    Pair(Pair),
    /// Those of a grant that has ended, of which the pair is not known any more.
    Ended(GrantId),
    /// Those of a unit, as source or recipient.
    Unit(OdsCode),
}

impl Which {
    pub(super) fn has(self, disclosed: &Disclosed) -> bool {
        match self {
            Self::Grant(pair, grant) => disclosed.pair == pair && disclosed.grant == grant,
            Self::Pair(pair) => disclosed.pair == pair,
            Self::Ended(grant) => disclosed.grant == grant,
            Self::Unit(ods) => disclosed.pair.source == ods || disclosed.pair.recipient == ods,
        }
    }

    /// The one recipient to whom they go; `None`: there may be several.
    pub(super) fn recipient(self) -> Option<OdsCode> {
        self.pair().map(|pair| pair.recipient)
    }

    /// The one pair of which they are; `None`: there may be several.
    pub(super) fn pair(self) -> Option<Pair> {
        match self {
            Self::Grant(pair, _) | Self::Pair(pair) => Some(pair),
            Self::Ended(_) | Self::Unit(_) => None,
        }
    }

    /// Whether they are of this pair and no other.
    pub(super) fn is_of(self, of: Pair) -> bool {
        self.pair() == Some(of)
    }

    /// The grant that ended.
    pub(super) fn grant(self) -> Option<GrantId> {
        match self {
            Self::Grant(_, grant) | Self::Ended(grant) => Some(grant),
            Self::Pair(_) | Self::Unit(_) => None,
        }
    }
}

/// What one subscription had in flight when the book was swapped.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    subscriber: Arc<Subscriber>,
    pub(super) which: Which,
    at_swap: Flight,
    /// As long as somebody waits for it, other changes see that it is on its way.
    _waited_for: Arc<Which>,
}

impl InFlight {
    pub(super) fn new(subscriber: Arc<Subscriber>, waited_for: Arc<Which>, at_swap: Flight) -> Self {
        Self {
            subscriber,
            which: *waited_for,
            at_swap,
            _waited_for: waited_for,
        }
    }

    /// Whether some of it had not arrived.
    pub(super) fn is_underway(&self) -> bool {
        self.at_swap.last_number.is_some()
    }
}

/// What waiting for flights found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Drained {
    pub(super) pending: bool,
    pub(super) cut: bool,
    pub(super) received_through: Option<u64>,
    pub(super) not_received: Option<(u64, u64)>,
}

impl Drained {
    pub(super) fn and(self, other: Self) -> Self {
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

impl Fence {
    /// What a change waits for that ended something of `ends`: with what others wait for still of the pairs that are
    /// meant.
    pub(super) fn waiting_for(
        &self,
        ends: impl IntoIterator<Item = Pair>,
        is_meant: impl Fn(Pair) -> bool,
    ) -> Vec<Which> {
        let own: BTreeSet<Pair> = ends.into_iter().collect();
        let others = self.leaving(|pair| is_meant(pair) && !own.contains(&pair));
        own.iter().map(|pair| Which::Pair(*pair)).chain(others).collect()
    }

    /// Waits, bounded, until what was in flight has arrived; cuts the connections of those that do not
    /// answer. What became of each, in order. Cancellation-safe, but what it would have cut stays.
    pub(super) async fn drain_each(&self, flights: &[InFlight]) -> Vec<Drained> {
        join_all(flights.iter().map(|flight| self.drain_one(flight))).await
    }

    /// The same, all together.
    pub(super) async fn drain(&self, flights: &[InFlight]) -> Drained {
        let each = self.drain_each(flights).await;
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

    /// The receipt of what was carried under a grant, of which everything up to `cursor` was received.
    pub(super) fn receipt(&self, pair: Pair, grant: GrantId, cursor: u64, drained: &Drained) -> Receipt {
        let doubt = self.doubts.of(pair, grant);
        let live = drained.received_through.unwrap_or(0);
        let received_through = live.max(cursor).max(doubt.mark.received);
        let handed = doubt.mark.handed;
        let gone = (handed > received_through).then_some((received_through + 1, handed));
        let may = [drained.not_received, gone, doubt.behind].into_iter().flatten();
        Receipt {
            ended: grant,
            received_through,
            may_have_received: may.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            connection_cut: drained.cut,
        }
    }

    /// Forgets what was handed over of a grant, once the receipt of its end was made.
    pub(super) fn forget(&self, pair: Pair, grant: GrantId) {
        self.doubts.forget(pair, grant);
        self.of(pair.recipient)
            .iter()
            .for_each(|s| s.ledger.forget(pair, grant));
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
