//! Receipts of grants that ended, for whoever asks again, and of what a change ended under grants that go on.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    drain::{Drained, InFlight, Which},
    revoker::{InForce, PairReceipt, Receipt},
    state::Inner,
};
use crate::{
    consent::{GrantId, Pair},
    store::{AgreementRow, HalfOutcome, WithdrawalState},
};

/// The newest revocation of a pair, for whoever asks again.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    receipt: Receipt,
    cursor: u64,
    flights: Vec<InFlight>,
}

impl Inner {
    /// Waits for what is in flight of a change that ended some of it, and says how it stands: one receipt for
    /// each of the pairs that are waited for of which something was in flight, or may have been.
    pub(super) async fn settle_pairs(self: &Arc<Self>, flights: &[InFlight], which: &[Which]) -> InForce {
        let each = self.fence.drain_each(flights).await;
        let book = self.fence.book();
        let mut receipts = Vec::new();
        let pairs: BTreeSet<Pair> = which.iter().filter_map(|which| which.pair()).collect();
        for pair in &pairs {
            let own = flights.iter().zip(&each).filter(|(f, _)| f.which.is_of(*pair));
            let own: Vec<(&InFlight, &Drained)> = own.collect();
            let was_in_flight = own.iter().any(|(flight, _)| flight.is_underway());
            let emergency = book.of_pair(*pair).first().map(|(grant, _)| *grant);
            let of_pair = which.iter().filter(|which| which.is_of(*pair));
            let ended = of_pair.filter_map(|which| which.grant()).max();
            let Some(grant) = book.terms(*pair).grant.or(emergency).or(ended) else {
                continue;
            };
            let drained = own
                .iter()
                .fold(Drained::default(), |all, (_, one)| all.and(**one));
            let receipt = self
                .fence
                .receipt(*pair, grant, self.fence.counters.of(*pair).at(), &drained);
            if was_in_flight || receipt.may_have_received.is_some() {
                receipts.push(PairReceipt { pair: *pair, receipt });
            }
        }
        InForce {
            in_force: !each.iter().any(|drained| drained.pending),
            receipts,
        }
    }

    /// Waits for what is in flight of the grants that a change of one pair ended; with the receipt of the
    /// agreement's. Where none ended, what is known of the one that ended last.
    pub(super) async fn settle_ended(
        &self,
        outcome: &HalfOutcome,
        flights: Vec<InFlight>,
    ) -> (bool, Option<Receipt>) {
        let pair = outcome.agreement.pair;
        let each = self.fence.drain_each(&flights).await;
        let pending = each.iter().any(|drained| drained.pending);
        let (in_force, receipt) = match outcome.ended {
            None => self.ask_again(&outcome.agreement).await,
            Some((grant, cursor)) => {
                let own = flights
                    .into_iter()
                    .zip(each)
                    .filter(|(f, _)| f.which == Which::Grant(pair, grant));
                let (flights, each): (Vec<InFlight>, Vec<Drained>) = own.unzip();
                let drained = each.into_iter().fold(Drained::default(), Drained::and);
                (true, Some(self.remember(pair, grant, cursor, &drained, flights)))
            }
        };
        if !pending {
            let emergencies = outcome.emergencies_ended.iter();
            let ended = emergencies.chain(&outcome.ended);
            ended.for_each(|(grant, _)| self.fence.forget(pair, *grant));
        }
        (in_force && !pending, receipt)
    }

    fn remember(
        &self,
        pair: Pair,
        grant: GrantId,
        cursor: u64,
        drained: &Drained,
        flights: Vec<InFlight>,
    ) -> Receipt {
        let receipt = self.fence.receipt(pair, grant, cursor, drained);
        // A connection that is gone is not kept for the sake of a receipt.
        let flights = if drained.pending { flights } else { Vec::new() };
        self.remembered.lock().insert(
            pair,
            Remembered {
                receipt,
                cursor,
                flights,
            },
        );
        receipt
    }

    /// The half was off already: what is known of the grant that ended last.
    async fn ask_again(&self, agreement: &AgreementRow) -> (bool, Option<Receipt>) {
        let pair = agreement.pair;
        let remembered = self.remembered.lock().get(&pair).cloned();
        if let Some(before) = remembered {
            if before.flights.is_empty() {
                return (true, Some(before.receipt));
            }
            let drained = self.fence.drain(&before.flights).await;
            let receipt = self.remember(
                pair,
                before.receipt.ended,
                before.cursor,
                &drained,
                before.flights,
            );
            return (!drained.pending, Some(receipt));
        }
        let Some(withdrawal) = agreement.withdrawal else {
            return (true, None);
        };
        // It ended before this process began: until the recipient has the withdrawal, any of it may be there.
        let known = withdrawal.state != WithdrawalState::Pending;
        let receipt = if known {
            let ended = withdrawal.ended_grant;
            Receipt {
                ended,
                received_through: 0,
                may_have_received: None,
                connection_cut: false,
            }
        } else {
            self.fence.receipt_from_before(pair, withdrawal.ended_grant)
        };
        (true, Some(receipt))
    }
}
