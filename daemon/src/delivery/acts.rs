//! Changes of consent, made exact: commit, swap the book, drain or cut, answer (S1).
//!
//! Invariants: a change's book swap follows its commit before the next change begins; after a commit whose
//! outcome is unknown, what was to be ended is closed in memory first and the caller is told to ask again.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use super::{
    revoker::{DeliveryStatus, HalfInForce, InForce, PairCounts, Revoker, UnitInForce, WordsInForce},
    state::Delivery,
};
use crate::{
    consent::{Book, Pair, Policy, Standing},
    store::{
        AccessId, ClaimChange, EmergencyRow, EndAccess, HalfChange, NewEntry, OpenEmergency, OpenedSource,
        StoreError, UnitChange, WordChange,
    },
};

#[async_trait]
impl Revoker for Delivery {
    async fn set_half(&self, change: HalfChange, audit: Vec<NewEntry>) -> Result<HalfInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.turn_half(change, audit).await }).await
    }

    async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.record_words(changes, audit).await }).await
    }

    async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.set_claims(changes, audit).await }).await
    }

    async fn set_policy(&self, policy: Policy, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.set_policy(policy, audit).await }).await
    }

    fn book(&self) -> Arc<Book> {
        self.inner.fence.book()
    }

    async fn set_unit_state(
        &self,
        change: UnitChange,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.change_unit(change, audit).await }).await
    }

    async fn open_emergency(
        &self,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.open_emergency(open, audit).await }).await
    }

    async fn carry_access(
        &self,
        id: AccessId,
        opened: Vec<OpenedSource>,
        audit: Vec<NewEntry>,
    ) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.carry_access(id, opened, audit).await }).await
    }

    async fn end_access(&self, end: EndAccess, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move { inner.end_access(end, audit).await }).await
    }

    fn registered(&self, ods: OdsCode) {
        let enrolled = |book: &Book| book.with_unit(ods, Standing::Enrolled);
        self.inner.fence.swap(enrolled, &[]);
    }

    fn status(&self) -> DeliveryStatus {
        let inner = &self.inner;
        let heads = inner.committer.tails().heads();
        DeliveryStatus {
            publishing: inner.publishers.units(),
            subscribed: inner.fence.subscribed(),
            pairs: self.counts(&heads),
            heads,
        }
    }
}

/// Runs a change to its end, whoever stops waiting for it.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let crashed = "the change was interrupted: ask again to learn how it stands";
    tokio::spawn(change)
        .await
        .map_err(|_| StoreError::Failed(crashed.to_owned()))?
}

impl Delivery {
    fn counts(&self, heads: &[(OdsCode, u64)]) -> Vec<PairCounts> {
        let book = self.inner.fence.book();
        let mut pairs: BTreeMap<Pair, PairCounts> = BTreeMap::new();
        for (pair, counters) in self.inner.fence.counters.all() {
            let (forwarded, cursor, withheld) = counters.read();
            let counts = PairCounts {
                pair,
                grant: book.terms(pair).grant,
                cursor,
                forwarded,
                withheld,
            };
            pairs.insert(pair, counts);
        }
        // Without a grant nothing is even looked at: all that came since the last one is withheld, for one reason.
        for (pair, reason) in book.without_grant(self.inner.clock.now_ms()) {
            let head = heads.iter().find(|(source, _)| *source == pair.source);
            let head = head.map_or(0, |(_, head)| *head);
            let withheld = self.inner.fence.counters.of(pair).without_grant(reason, head);
            let none = PairCounts {
                pair,
                grant: None,
                cursor: 0,
                forwarded: 0,
                withheld: Vec::new(),
            };
            pairs.entry(pair).or_insert(none).withheld = withheld;
        }
        pairs.into_values().collect()
    }
}
