//! Changes of consent, made exact: commit, swap the book, drain or cut, answer (S1).
//!
//! Invariants: a change's book swap follows its commit before the next change begins; after a commit whose
//! outcome is unknown, what was to be ended is closed in memory first and the caller is told to ask again.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use super::{
    fence::{Drained, InFlight, Which, standing, terms},
    revoker::{
        DeliveryStatus, HalfInForce, InForce, PairCounts, Receipt, Revoker, UnitInForce, WordsInForce,
    },
    state::{Delivery, Inner},
};
use crate::{
    consent::{Book, GrantId, Pair, PairTerms, Policy, Standing},
    store::{
        AgreementRow, ClaimChange, EmergencyRow, HalfChange, HalfOutcome, NewEntry, OpenEmergency,
        StoreError, UnitChange, UnitState, UnitStateOutcome, With, WithdrawalState, WordChange,
    },
};

/// The newest revocation of a pair, for whoever asks again.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    receipt: Receipt,
    cursor: u64,
    flights: Vec<InFlight>,
}

#[async_trait]
impl Revoker for Delivery {
    async fn set_half(&self, change: HalfChange, audit: Vec<NewEntry>) -> Result<HalfInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.turn(change, audit).await })
            .await
            .map_err(crashed)?
    }

    async fn set_unit_state(
        &self,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        let act = async move { inner.change_unit(change, audit).await };
        tokio::spawn(act).await.map_err(crashed)?
    }

    async fn open_emergency(
        &self,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.open_emergency(open, audit).await })
            .await
            .map_err(crashed)?
    }

    async fn end_emergencies(
        &self,
        grants: Vec<GrantId>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.end_emergencies(grants, audit).await })
            .await
            .map_err(crashed)?
    }

    async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.record_words(changes, audit).await })
            .await
            .map_err(crashed)?
    }

    async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.set_claims(changes, audit).await })
            .await
            .map_err(crashed)?
    }

    async fn set_policy(&self, policy: Policy, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.set_policy(policy, audit).await })
            .await
            .map_err(crashed)?
    }

    fn book(&self) -> Arc<Book> {
        self.inner.fence.book()
    }

    fn registered(&self, ods: OdsCode) {
        self.inner
            .fence
            .swap(|book| book.with_unit(ods, Standing::Enrolled), &[]);
    }

    fn status(&self) -> DeliveryStatus {
        let book = self.inner.fence.book();
        let heads = self.inner.committer.tails().heads();
        let counted = self.inner.fence.counters.all();
        let mut pairs: BTreeMap<Pair, PairCounts> = BTreeMap::new();
        for (pair, counters) in counted {
            let (forwarded, cursor, withheld) = counters.read();
            let grant = book.terms(pair).grant;
            pairs.insert(
                pair,
                PairCounts {
                    pair,
                    grant,
                    cursor,
                    forwarded,
                    withheld,
                },
            );
        }
        // Without a grant nothing is even looked at: the whole stream is withheld, for one reason.
        for (pair, reason) in book.without_grant(self.inner.clock.now_ms()) {
            let head = heads
                .iter()
                .find(|(source, _)| *source == pair.source)
                .map_or(0, |(_, head)| *head);
            let none = PairCounts {
                pair,
                grant: None,
                cursor: 0,
                forwarded: 0,
                withheld: Vec::new(),
            };
            pairs.entry(pair).or_insert(none).withheld = vec![(reason, head)];
        }
        DeliveryStatus {
            publishing: self.inner.publishers.units(),
            subscribed: self.inner.fence.subscribed(),
            heads,
            pairs: pairs.into_values().collect(),
        }
    }
}

fn crashed(_: tokio::task::JoinError) -> StoreError {
    StoreError::Failed("the change was interrupted: ask again to learn how it stands".to_owned())
}

impl Inner {
    /// Turns a half. Not cancellation-safe: runs in a task of its own.
    async fn turn(
        self: Arc<Self>,
        change: HalfChange,
        audit: Vec<NewEntry>,
    ) -> Result<HalfInForce, StoreError> {
        let order = self.order.lock().await;
        let outcome = match self.store.set_half(&change, &With::audit(audit)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if matches!(error, StoreError::Failed(_)) && !change.on {
                    self.close(change.pair);
                }
                return Err(error);
            }
        };
        let flights = self.swap_pair(&outcome);
        drop(order);
        self.fence.refresh(Some(change.pair.recipient));
        if change.on {
            return Ok(HalfInForce {
                outcome,
                in_force: true,
                receipt: None,
            });
        }
        let (in_force, receipt) = self.settle(&outcome, flights).await;
        Ok(HalfInForce {
            outcome,
            in_force,
            receipt,
        })
    }

    /// Swaps the book to what was committed; what is in flight of the grant that the book had before.
    fn swap_pair(&self, outcome: &HalfOutcome) -> Vec<InFlight> {
        let pair = outcome.agreement.pair;
        let now = terms(&outcome.agreement);
        let before = self.fence.book().terms(pair).grant;
        let ended = outcome
            .ended
            .map(|(grant, _)| grant)
            .or(before.filter(|g| Some(*g) != now.grant));
        let which: Vec<Which> = ended.map(|grant| Which::Grant(pair, grant)).into_iter().collect();
        self.fence.swap(|book| book.with_pair(pair, now), &which)
    }

    /// Nothing of the pair goes until it is known how it stands.
    fn close(&self, pair: Pair) {
        self.fence.swap(
            |book| {
                book.with_pair(
                    pair,
                    PairTerms {
                        grant: None,
                        ..book.terms(pair)
                    },
                )
            },
            &[],
        );
        self.fence.refresh(Some(pair.recipient));
    }

    /// Establishes that nothing of what ended can leave any more, or says that it could not.
    async fn settle(&self, outcome: &HalfOutcome, flights: Vec<InFlight>) -> (bool, Option<Receipt>) {
        let pair = outcome.agreement.pair;
        let Some((grant, cursor)) = outcome.ended else {
            return self.ask_again(&outcome.agreement).await;
        };
        let drained = self.fence.drain(&flights).await;
        (
            !drained.pending,
            Some(self.remember(pair, grant, cursor, &drained, flights)),
        )
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

    /// Changes how a unit stands. Not cancellation-safe: runs in a task of its own.
    async fn change_unit(
        self: Arc<Self>,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let (ods, state) = (change.ods, change.state);
        let with = With::audit(audit);
        let order = self.order.lock().await;
        let outcome = match self.store.set_unit_state(&change, &with).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if matches!(error, StoreError::Failed(_)) && state != UnitState::Enrolled {
                    // Nothing of the unit goes until it is known how it stands.
                    self.fence.swap(|book| book.with_unit(ods, standing(state)), &[]);
                    self.fence.refresh(None);
                }
                return Err(error);
            }
        };
        let flights = self.swap_unit(ods, &outcome);
        drop(order);
        if state != UnitState::Enrolled {
            self.publishers.end(ods);
        }
        self.fence.refresh(None);
        let drained = self.fence.drain(&flights).await;
        for half in &outcome.pairs {
            if let Some((grant, cursor)) = half.ended {
                let pair = half.agreement.pair;
                let own: Vec<InFlight> = flights.iter().filter(|f| f.is_of(pair, grant)).cloned().collect();
                let of_pair = self.fence.drain(&own).await;
                self.remember(pair, grant, cursor, &of_pair, own);
            }
        }
        Ok(UnitInForce {
            outcome,
            in_force: !drained.pending,
        })
    }

    fn swap_unit(&self, ods: OdsCode, outcome: &UnitStateOutcome) -> Vec<InFlight> {
        let now = standing(outcome.unit.state);
        let mut which: Vec<Which> = outcome
            .pairs
            .iter()
            .filter_map(|half| {
                half.ended
                    .map(|(grant, _)| Which::Grant(half.agreement.pair, grant))
            })
            .collect();
        if outcome.unit.state != UnitState::Enrolled {
            which.push(Which::Unit(ods));
        }
        let change = |book: &Book| {
            let next = book.with_unit(ods, now);
            let pairs = outcome.pairs.iter().map(|half| &half.agreement);
            pairs.fold(next, |next, row| next.with_pair(row.pair, terms(row)))
        };
        self.fence.swap(change, &which)
    }
}
