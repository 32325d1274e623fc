//! The audit log of the store in memory: there is none.

use async_trait::async_trait;
use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    merkle::{Node, SignedHead, TreeHash},
};

use super::{
    AuditStore, EntryKeys, EntryQuery, EntryRow, ErasePersonal, IndexSums, NewEntry, StoreError,
    ToldStretches, With, WrongStretch,
    fake::{FakeStore, absent},
};

#[async_trait]
impl AuditStore for FakeStore {
    async fn enter(&self, _: &[NewEntry]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        absent()
    }

    async fn audit_entries(&self, _: u64, _: usize) -> Result<Vec<EntryRow>, StoreError> {
        absent()
    }

    async fn audit_entries_at(&self, _: &[u64]) -> Result<Vec<EntryRow>, StoreError> {
        absent()
    }

    async fn leaf_hashes(&self, _: u64, _: u32) -> Result<Vec<TreeHash>, StoreError> {
        absent()
    }

    async fn entries_of_patient(&self, _: NhsNumber, _: u64, _: u32) -> Result<Vec<EntryRow>, StoreError> {
        absent()
    }

    async fn newest_daemon_entry(&self) -> Result<Option<EntryRow>, StoreError> {
        absent()
    }

    async fn erase_personal(&self, _: &[ErasePersonal], _: i64, _: &With) -> Result<u64, StoreError> {
        absent()
    }

    async fn keep_head(&self, _: &SignedHead, _: &[(Node, TreeHash)]) -> Result<(), StoreError> {
        absent()
    }

    async fn newest_head(&self) -> Result<Option<SignedHead>, StoreError> {
        absent()
    }

    async fn heads_over(&self, _: u64, _: u32) -> Result<Vec<SignedHead>, StoreError> {
        absent()
    }

    async fn tree_nodes(&self, _: &[Node]) -> Result<Vec<(Node, TreeHash)>, StoreError> {
        absent()
    }

    async fn audit_indexed(&self) -> Result<u64, StoreError> {
        absent()
    }

    async fn index_audit(&self, _: &[EntryKeys], _: u64) -> Result<(), StoreError> {
        absent()
    }

    fn sums_of(&self, _: &[EntryKeys]) -> Result<IndexSums, StoreError> {
        absent()
    }

    async fn wrong_stretch(&self) -> Result<Option<WrongStretch>, StoreError> {
        absent()
    }

    async fn audit_index_sums(&self, _: u64) -> Result<IndexSums, StoreError> {
        absent()
    }

    async fn find_entries(&self, _: &EntryQuery) -> Result<Vec<u64>, StoreError> {
        absent()
    }

    async fn entries_of_seqs(
        &self,
        _: OdsCode,
        _: Option<OdsCode>,
        _: (u64, u64),
        _: u32,
    ) -> Result<Vec<u64>, StoreError> {
        absent()
    }

    async fn told_through(&self, _: OdsCode, _: OdsCode) -> Result<u64, StoreError> {
        absent()
    }

    async fn stretches_told(
        &self,
        _: OdsCode,
        _: OdsCode,
        _: &[NhsNumber],
        _: u64,
        _: u32,
    ) -> Result<ToldStretches, StoreError> {
        absent()
    }

    async fn seqs_of_patient(
        &self,
        _: OdsCode,
        _: NhsNumber,
        _: u64,
        _: u32,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        absent()
    }
}
