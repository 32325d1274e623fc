//! Ending what has run out: halves with an end, and emergency accesses.
//!
//! Invariants: from the moment of an end on nothing that it carried passes the gate, whenever the end is
//! committed; it is committed before any other change that comes after it. Time is the injected clock's, which
//! never goes back.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    drain::Which,
    emergency_acts::with_outcomes,
    half_acts::ended_by,
    order::Turn,
    state::{Delivery, Inner},
};
use crate::{
    consent::{Book, Emergency, GrantId, Pair, PairTerms},
    store::{StoreError, With},
};

/// How often it is looked whether something has run out. The gate does not wait for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl Delivery {
    /// Ends what runs out, until stopped; and has the book read again where it is not known what is in force.
    pub async fn run_expiry(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if let Err(error) = self.tidy().await {
                tracing::error!(%error, "what has run out cannot be ended in the store; nothing of it goes meanwhile");
            }
        }
    }

    /// Ends what has run out by now. Not cancellation-safe.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.forget_former_terms().await?;
        if !inner.is_due() {
            return Ok(());
        }
        // A change's turn begins with it.
        drop(inner.begin().await?);
        Ok(())
    }
}

impl Inner {
    fn is_due(&self) -> bool {
        self.must_be_sure() || runs_out(&self.fence.book(), self.clock.now_ms())
    }

    /// Ends what has run out, in a change's turn. What was in flight is waited for, or cut, behind it: nobody
    /// asked for an answer.
    pub(super) async fn expire(self: &Arc<Self>, _turn: &Turn, now: i64) -> Result<(), StoreError> {
        let before = self.fence.book();
        if !runs_out(&before, now) {
            return Ok(());
        }
        let with = With::nothing().and(self.pairs_end(now));
        let ended = match self.store.end_expired(now, &with).await {
            Ok(ended) => ended,
            Err(error) => {
                self.not_kept(&error, []);
                return Err(error);
            }
        };
        self.fence.counters.ended(&ended);
        let which: Vec<Which> = ended.iter().flat_map(ended_by).collect();
        let flights = self.fence.swap(|book| with_outcomes(book, &ended), &which);
        self.fence
            .refresh(ended.iter().map(|outcome| outcome.agreement.pair.recipient));
        self.changes.notify();
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            for outcome in &ended {
                let pair = outcome.agreement.pair;
                let own = flights.iter().filter(|f| f.which.is_of(pair)).cloned().collect();
                inner.settle_ended(outcome, own).await;
            }
        });
        Ok(())
    }

    /// Lets go of terms of which the changes are through.
    async fn forget_former_terms(&self) -> Result<(), StoreError> {
        if self.fence.book().pairs_with_former_terms().next().is_none() {
            return Ok(());
        }
        let _still = self.order.still().await;
        let book = self.fence.book();
        let mut recipients: Vec<_> = book
            .pairs_with_former_terms()
            .map(|pair| pair.recipient)
            .collect();
        recipients.sort_unstable();
        recipients.dedup();
        for recipient in recipients {
            let due = super::load::former_terms(&*self.store, recipient).await?;
            let known = book
                .pairs_with_former_terms()
                .filter(|pair| pair.recipient == recipient);
            let through: Vec<_> = known.filter(|pair| !due.contains_key(pair)).collect();
            let forget = |book: &Book| {
                through
                    .iter()
                    .fold(book.clone(), |book, pair| book.with_former_terms(*pair, &[]))
            };
            if !through.is_empty() {
                self.fence.swap(forget, &[]);
            }
        }
        Ok(())
    }
}

/// Whether something that the book has in force has an end that has passed.
fn runs_out(book: &Book, now: i64) -> bool {
    agreements_over(book, now).next().is_some() || emergencies_over(book, now).next().is_some()
}

/// Agreements in force of which a half has ended.
fn agreements_over(book: &Book, now: i64) -> impl Iterator<Item = (Pair, GrantId)> + '_ {
    let is_over = move |terms: &PairTerms| terms.share_out.ended(now) || terms.share_in.ended(now);
    book.pairs()
        .filter(move |(_, terms)| is_over(terms))
        .filter_map(|(pair, terms)| Some((pair, terms.grant?)))
}

/// Emergency accesses that are over.
fn emergencies_over(book: &Book, now: i64) -> impl Iterator<Item = (GrantId, Emergency)> + '_ {
    book.emergencies().filter(move |(_, emergency)| {
        emergency.window.until <= now || book.terms(emergency.pair).share_out.ended(now)
    })
}
