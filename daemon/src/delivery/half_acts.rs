//! Turning halves and narrowing them, and changing what is asked of patients.

use std::sync::Arc;

use super::{
    consequences::Consequences,
    drain::{InFlight, Which},
    fence::terms,
    revoker::{HalfInForce, InForce},
    state::Inner,
};
use crate::{
    consent::{Book, HalfTerms, Pair, PairTerms, Policy, Side},
    store::{HalfChange, HalfOutcome, HalfRow, NewEntry, StoreError, With},
};

impl Inner {
    /// Turns a half, or changes how it is narrowed. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn turn_half(
        self: Arc<Self>,
        change: HalfChange,
        audit: Vec<NewEntry>,
    ) -> Result<HalfInForce, StoreError> {
        let turn = self.begin().await?;
        let pair = change.pair;
        let before = self.fence.book();
        let expected = expected(before.terms(pair), &change);
        let after = before.with_pair(pair, expected);
        let mut follows = Consequences::default();
        follows.of_terms(&before, &after, pair);
        let with = With {
            jobs: follows.jobs.clone(),
            ..With::audit(audit)
        };
        let with = with.and(self.pairs_end(change.at).due(&follows));
        let outcome = match self.store.set_half(&change, &with).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let narrows = !change.on || !follows.ends.is_empty();
                self.not_kept(&error, narrows.then_some(pair));
                return Err(error);
            }
        };
        let asked_again = change.scope.is_some() && before.terms(pair) == expected;
        let narrowed = change.on && (asked_again || !follows.ends.is_empty());
        let flights = self.swap_half(&outcome, &follows, narrowed);
        drop(turn);
        self.fence.refresh([pair.recipient]);
        if !change.on {
            let (in_force, receipt) = self.settle_ended(&outcome, flights).await;
            return Ok(HalfInForce {
                outcome,
                in_force,
                receipt,
            });
        }
        let settled = self.settle_pairs(&flights, &[Which::Pair(pair)]).await;
        Ok(HalfInForce {
            outcome,
            in_force: settled.in_force,
            receipt: settled.receipts.first().filter(|_| narrowed).map(|r| r.receipt),
        })
    }

    /// Swaps the book to what was committed; what is in flight of what that ended.
    fn swap_half(&self, outcome: &HalfOutcome, follows: &Consequences, narrowed: bool) -> Vec<InFlight> {
        let pair = outcome.agreement.pair;
        let mut which = ended_by(outcome);
        self.fence.counters.ended([outcome]);
        // Also where nothing ended: whoever asks again learns of what is in flight still.
        if narrowed || which.is_empty() && !(outcome.agreement.share_out.on && outcome.agreement.share_in.on)
        {
            which.push(Which::Pair(pair));
        }
        // What waits for a whole pair has that already, and a half that is turned on ends nothing.
        if !which.is_empty() {
            which.extend(self.fence.leaving(|of| of == pair));
        }
        self.fence
            .swap(|book| follows.remember_terms(with_outcome(book, outcome)), &which)
    }

    /// Changes what is asked of patients. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn set_policy(
        self: Arc<Self>,
        policy: Policy,
        mut audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let turn = self.begin().await?;
        let before = self.fence.book();
        let now = self.clock.now_ms();
        let after = before.with_policy(policy);
        let mut follows = Consequences::default();
        let carried: Vec<Pair> = carried(&before);
        for pair in &carried {
            follows.of_terms(&before, &after, *pair);
        }
        audit.extend(self.entries_of_due(now, &follows.due)?);
        let with = With {
            jobs: follows.jobs.clone(),
            ..With::audit(audit)
        };
        if let Err(error) = self.store.set_policy(policy, now, &with).await {
            if matches!(error, StoreError::Failed(_)) {
                self.is_unsure(follows.ends.iter().copied());
            }
            return Err(error);
        }
        // Asked again, everything that is in flight is waited for.
        let asked_again = before.policy() == policy && policy == Policy::Explicit;
        let ends: Vec<Pair> = if asked_again {
            carried
        } else {
            follows.ends.iter().copied().collect()
        };
        let which = self.fence.waiting_for(ends, |_| policy == Policy::Explicit);
        let flights = self
            .fence
            .swap(|book| follows.remember_terms(book.with_policy(policy)), &which);
        drop(turn);
        self.fence.refresh(follows.recipients());
        Ok(self.settle_pairs(&flights, &which).await)
    }
}

/// The pairs with a grant in force, of an agreement or an emergency access.
fn carried(book: &Book) -> Vec<Pair> {
    let agreements = book
        .pairs()
        .filter(|(_, terms)| terms.grant.is_some())
        .map(|(pair, _)| pair);
    let mut pairs: Vec<Pair> = agreements
        .chain(book.emergencies().map(|(_, e)| e.pair))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The terms that a change leads to, if its grant goes on.
fn expected(before: PairTerms, change: &HalfChange) -> PairTerms {
    let of_half = |was: HalfTerms| match &change.scope {
        Some(scope) => HalfRow {
            on: change.on,
            scope: scope.clone(),
            ..HalfRow::default()
        }
        .terms(),
        None => HalfTerms { on: change.on, ..was },
    };
    match change.side {
        Side::ShareOut => PairTerms {
            share_out: of_half(before.share_out),
            ..before
        },
        Side::ShareIn => PairTerms {
            share_in: of_half(before.share_in),
            ..before
        },
    }
}

/// The grants that a change of a pair ended.
pub(super) fn ended_by(outcome: &HalfOutcome) -> Vec<Which> {
    let pair = outcome.agreement.pair;
    let ended = outcome.ended.iter().chain(&outcome.emergencies_ended);
    ended.map(|(grant, _)| Which::Grant(pair, *grant)).collect()
}

/// The book after what was committed of a pair.
pub(super) fn with_outcome(book: &Book, outcome: &HalfOutcome) -> Book {
    let pair = outcome.agreement.pair;
    let mut next = book.with_pair(pair, terms(&outcome.agreement));
    if outcome.ended.is_some() || outcome.started.is_some() {
        next = next.with_former_terms(pair, &[]);
    }
    let ended = outcome.emergencies_ended.iter();
    ended.fold(next, |next, (grant, _)| next.without_emergency(pair, *grant))
}
