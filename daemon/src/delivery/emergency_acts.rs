//! Opening emergency accesses, and ending them before their time.

use std::sync::Arc;

use super::{
    drain::{Drained, Which},
    half_acts::{ended_by, with_outcome},
    order::Turn,
    revoker::{InForce, PairReceipt},
    state::Inner,
};
use crate::{
    consent::{Book, GrantId, Pair},
    store::{
        AccessEnded, AccessId, EmergencyRow, EndAccess, HalfOutcome, NewEntry, OpenEmergency, OpenedSource,
        StoreError, With,
    },
};

impl Inner {
    /// Opens one patient's records of some sources. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn open_emergency(
        self: Arc<Self>,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let turn = self.begin().await?;
        let opened = match self.store.open_emergency(&open, &With::audit(audit)).await {
            Ok(opened) => opened,
            Err(error) => {
                if matches!(error, StoreError::Failed(_)) {
                    self.is_unsure([]);
                }
                return Err(error);
            }
        };
        self.fence.swap(|book| with_accesses(book, &opened), &[]);
        drop(turn);
        self.fence.refresh([open.recipient]);
        Ok(opened)
    }

    /// Has grants that are open carry an access. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn carry_access(
        self: Arc<Self>,
        id: AccessId,
        opened: Vec<OpenedSource>,
        audit: Vec<NewEntry>,
    ) -> Result<(), StoreError> {
        let turn = self.begin().await?;
        let (now, with) = (self.clock.now_ms(), With::audit(audit));
        let held = match self.store.note_opened(id, &opened, now, &with).await {
            Ok(held) => held,
            Err(error) => {
                if matches!(error, StoreError::Failed(_)) {
                    self.is_unsure([]);
                }
                return Err(error);
            }
        };
        self.fence.swap(|book| with_accesses(book, &held), &[]);
        drop(turn);
        Ok(())
    }

    /// Ends one access. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn end_access(
        self: Arc<Self>,
        end: EndAccess,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        // What else is over at that moment has ended, and is entered, before it.
        let (turn, at) = self.begin_at().await?;
        let end = EndAccess { at, ..end };
        let with = With::audit(audit).and(self.ending(at));
        let ended = match self.store.end_access(&end, &with).await {
            Ok(ended) => ended,
            Err(error) => {
                // Which of them it was to end is not known: nothing goes under any of that unit's.
                let of_sources = |pair: &Pair| end.sources.contains(&pair.source);
                let book = self.fence.book();
                let pairs = book.emergencies().map(|(_, emergency)| emergency.pair);
                self.not_kept(&error, pairs.filter(of_sources));
                return Err(error);
            }
        };
        let AccessEnded {
            over,
            outcomes,
            go_on,
        } = ended;
        Ok(self.settle_accesses(turn, &over, &outcomes, &go_on).await)
    }

    /// Swaps the book to what was committed of the end of accesses, and waits until nothing of `grants` is in
    /// flight any more.
    async fn settle_accesses(
        &self,
        turn: Turn,
        grants: &[GrantId],
        ended: &[HalfOutcome],
        go_on: &[EmergencyRow],
    ) -> InForce {
        self.fence.counters.ended(ended);
        let mut which: Vec<Which> = ended.iter().flat_map(ended_by).collect();
        // One that has ended already asks again.
        let is_new = |grant: &GrantId| {
            which
                .iter()
                .any(|w| matches!(w, Which::Grant(_, g) if g == grant))
        };
        let again: Vec<Which> = grants
            .iter()
            .filter(|g| !is_new(g))
            .map(|g| Which::Ended(*g))
            .collect();
        which.extend(again);
        let next = |book: &Book| with_accesses(&with_outcomes(book, ended), go_on);
        let flights = self.fence.swap(next, &which);
        drop(turn);
        self.fence
            .refresh(ended.iter().map(|outcome| outcome.agreement.pair.recipient));
        let drained = self.fence.drain_each(&flights).await;
        let mut receipts = Vec::new();
        for outcome in ended {
            let pair = outcome.agreement.pair;
            for (grant, cursor) in &outcome.emergencies_ended {
                let of_grant = Which::Grant(pair, *grant);
                let own = flights
                    .iter()
                    .zip(&drained)
                    .filter(|(flight, _)| flight.which == of_grant);
                let drained = own.fold(Drained::default(), |all, (_, one)| all.and(*one));
                let receipt = self.fence.receipt(pair, *grant, *cursor, &drained);
                receipts.push(PairReceipt { pair, receipt });
                if !drained.pending {
                    self.fence.forget(pair, *grant);
                }
            }
        }
        InForce {
            in_force: !drained.iter().any(|drained| drained.pending),
            receipts,
        }
    }
}

/// The book with these accesses as they are now.
fn with_accesses(book: &Book, rows: &[EmergencyRow]) -> Book {
    rows.iter().fold(book.clone(), |book, row| {
        book.with_emergency(row.grant, row.emergency())
    })
}

/// The book after what was committed of several pairs.
pub(super) fn with_outcomes(book: &Book, outcomes: &[HalfOutcome]) -> Book {
    outcomes
        .iter()
        .fold(book.clone(), |book, outcome| with_outcome(&book, outcome))
}
