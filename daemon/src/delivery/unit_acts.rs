//! Changing how a unit stands.

use std::sync::Arc;

use handfast_proto::v1::GrantEnd;

use super::{
    drain::Which,
    fence::standing,
    half_acts::{ended_by, with_outcome},
    revoker::UnitInForce,
    state::Inner,
};
use crate::{
    consent::{Book, Pair},
    store::{NewEntry, StoreError, UnitChange, UnitState, With},
};

impl Inner {
    /// Changes how a unit stands. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn change_unit(
        self: Arc<Self>,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let turn = self.begin().await?;
        let (ods, state) = (change.ods, change.state);
        let ends = self.pairs_end(change.at);
        let ends = match state {
            UnitState::Retired => ends.because(GrantEnd::UnitRetired),
            UnitState::Suspended => ends.because(GrantEnd::UnitSuspended),
            UnitState::Enrolled => ends,
        };
        let with = With::audit(audit).and(ends);
        let outcome = match self.store.set_unit_state(&change, &with).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Nothing of the unit goes until it is known how it stands.
                let of_unit = |pair: &Pair| pair.source == ods || pair.recipient == ods;
                let book = self.fence.book();
                let pairs = book.pairs().map(|(pair, _)| pair).filter(of_unit);
                self.not_kept(&error, pairs.filter(|_| state != UnitState::Enrolled));
                return Err(error);
            }
        };
        let mut which: Vec<Which> = outcome.pairs.iter().flat_map(ended_by).collect();
        if state != UnitState::Enrolled {
            which.push(Which::Unit(ods));
        }
        self.fence.counters.ended(&outcome.pairs);
        let now = standing(outcome.unit.state);
        let next = |book: &Book| {
            let next = book.with_unit(ods, now);
            outcome
                .pairs
                .iter()
                .fold(next, |next, pair| with_outcome(&next, pair))
        };
        let flights = self.fence.swap(next, &which);
        drop(turn);
        if state != UnitState::Enrolled {
            self.publishers.end(ods);
        }
        self.fence.refresh_all();
        let drained = self.fence.drain(&flights).await;
        for pair in outcome.pairs.iter().filter(|pair| pair.ends_anything()) {
            let own = flights
                .iter()
                .filter(|f| f.which.is_of(pair.agreement.pair))
                .cloned();
            self.settle_ended(pair, own.collect()).await;
        }
        Ok(UnitInForce {
            outcome,
            in_force: !drained.pending,
        })
    }
}
