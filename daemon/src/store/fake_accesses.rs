//! The store in memory keeps no emergency accesses and no alerts.

use async_trait::async_trait;
use handfast_proto::ids::OdsCode;

use super::{
    AccessEnded, AccessId, AccessQuery, AccessRow, AccessStore, AlertId, AlertQuery, AlertRow, EmergencyRow,
    EndAccess, HandOff, HandedOff, NewAccess, NewAlert, OpenedSource, ReviewRow, StoreError, Target, With,
    fake::{FakeStore, absent},
};

#[async_trait]
impl AccessStore for FakeStore {
    async fn has_privacy_officer(&self, _: OdsCode, _: i64) -> Result<bool, StoreError> {
        absent()
    }

    async fn add_access(&self, _: &NewAccess, _: &With) -> Result<AccessId, StoreError> {
        absent()
    }

    async fn note_opened(
        &self,
        _: AccessId,
        _: &[OpenedSource],
        _: i64,
        _: &With,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        absent()
    }

    async fn adopt_grants(&self) -> Result<u64, StoreError> {
        absent()
    }

    async fn accesses(&self, _: &AccessQuery) -> Result<Vec<AccessRow>, StoreError> {
        absent()
    }

    async fn end_access(&self, _: &EndAccess, _: &With) -> Result<AccessEnded, StoreError> {
        absent()
    }

    async fn raise_alerts(&self, _: &[NewAlert], _: &With) -> Result<Vec<AlertId>, StoreError> {
        absent()
    }

    async fn alerts(&self, _: &AlertQuery) -> Result<Vec<AlertRow>, StoreError> {
        absent()
    }

    async fn review(&self, _: &[AlertId], _: &ReviewRow, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn not_escalated(&self, _: u32) -> Result<Vec<AlertRow>, StoreError> {
        absent()
    }

    async fn escalate(&self, _: &[AlertId], _: i64, _: &With) -> Result<(), StoreError> {
        absent()
    }

    async fn set_targets(&self, _: &[Target], _: i64) -> Result<u64, StoreError> {
        absent()
    }

    async fn owed(&self, _: Target, _: i64, _: u32) -> Result<Vec<HandOff>, StoreError> {
        absent()
    }

    async fn next_owed(&self, _: Target) -> Result<Option<i64>, StoreError> {
        absent()
    }

    async fn handed_off(&self, _: &HandedOff) -> Result<(), StoreError> {
        absent()
    }
}
