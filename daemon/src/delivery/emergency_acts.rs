//! Emergency accesses, opened and ended in the same order as every other change of consent (S1).

use std::sync::Arc;

use super::{fence::Which, revoker::InForce, state::Inner};
use crate::{
    consent::{Book, GrantId},
    store::{EmergencyRow, NewEntry, OpenEmergency, StoreError, With},
};

impl Inner {
    /// Opens emergency accesses. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn open_emergency(
        self: Arc<Self>,
        open: OpenEmergency,
        audit: Vec<NewEntry>,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let _order = self.order.lock().await;
        let opened = self.store.open_emergency(&open, &With::audit(audit)).await?;
        let with = |book: &Book, row: &EmergencyRow| book.with_emergency(row.grant, Some(row.emergency()));
        self.fence.swap(
            |book| opened.iter().fold(book.clone(), |book, row| with(&book, row)),
            &[],
        );
        self.fence.refresh(Some(open.recipient));
        Ok(opened)
    }

    /// Ends emergency accesses. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn end_emergencies(
        self: Arc<Self>,
        grants: Vec<GrantId>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let order = self.order.lock().await;
        let now = self.clock.now_ms();
        self.store
            .end_emergencies(&grants, now, &With::audit(audit))
            .await?;
        let book = self.fence.book();
        let ended = book.emergencies().filter(|(grant, _)| grants.contains(grant));
        let which: Vec<Which> = ended.map(|(grant, e)| Which::Grant(e.pair, grant)).collect();
        let without = |book: &Book| {
            grants
                .iter()
                .fold(book.clone(), |book, grant| book.with_emergency(*grant, None))
        };
        let flights = self.fence.swap(without, &which);
        drop(order);
        self.fence.refresh(None);
        Ok(InForce {
            in_force: !self.fence.drain(&flights).await.pending,
            receipts: Vec::new(),
        })
    }
}
