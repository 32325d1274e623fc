//! What the store on SQLite does about emergency accesses and alerts: it hands each operation to the file
//! that carries it out.

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use super::{accesses, alerts, hand_off, store::SqliteStore};
use crate::store::{
    AccessEnded, AccessId, AccessQuery, AccessRow, AccessStore, AlertId, AlertQuery, AlertRow, EmergencyRow,
    EndAccess, HandOff, HandedOff, NewAccess, NewAlert, OpenedSource, ReviewRow, StoreError, Target, With,
};

#[async_trait]
impl AccessStore for SqliteStore {
    async fn has_privacy_officer(&self, unit: OdsCode, now: i64) -> Result<bool, StoreError> {
        accesses::has_privacy_officer(self.main(), unit, now).await
    }

    async fn add_access(&self, access: &NewAccess, with: &With) -> Result<AccessId, StoreError> {
        accesses::add(self.main(), access, with).await
    }

    async fn note_opened(
        &self,
        id: AccessId,
        opened: &[OpenedSource],
        at: i64,
        with: &With,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        accesses::note_opened(self.main(), id, opened, at, with).await
    }

    async fn adopt_grants(&self) -> Result<u64, StoreError> {
        accesses::adopt_grants(self.main()).await
    }

    async fn accesses(&self, query: &AccessQuery) -> Result<Vec<AccessRow>, StoreError> {
        accesses::accesses(self.main(), query).await
    }

    async fn end_access(&self, end: &EndAccess, with: &With) -> Result<AccessEnded, StoreError> {
        accesses::end(self.main(), end, with).await
    }

    async fn raise_alerts(&self, new: &[NewAlert], with: &With) -> Result<Vec<AlertId>, StoreError> {
        alerts::raise(self.main(), new, with).await
    }

    async fn alerts(&self, query: &AlertQuery) -> Result<Vec<AlertRow>, StoreError> {
        alerts::alerts(self.main(), query).await
    }

    async fn review(&self, alerts: &[AlertId], review: &ReviewRow, with: &With) -> Result<(), StoreError> {
        alerts::review(self.main(), alerts, review, with).await
    }

    async fn not_escalated(&self, limit: u32) -> Result<Vec<AlertRow>, StoreError> {
        alerts::not_escalated(self.main(), limit).await
    }

    async fn escalate(&self, due: &[AlertId], at: i64, with: &With) -> Result<(), StoreError> {
        alerts::escalate(self.main(), due, at, with).await
    }

    async fn set_targets(&self, targets: &[Target], at: i64) -> Result<u64, StoreError> {
        hand_off::set_targets(self.main(), targets, at).await
    }

    async fn owed(&self, target: Target, now: i64, limit: u32) -> Result<Vec<HandOff>, StoreError> {
        hand_off::owed(self.main(), target, now, limit).await
    }

    async fn next_owed(&self, target: Target) -> Result<Option<i64>, StoreError> {
        hand_off::next_owed(self.main(), target).await
    }

    async fn handed_off(&self, tried: &HandedOff) -> Result<(), StoreError> {
        hand_off::tried(self.main(), tried).await
    }
}
