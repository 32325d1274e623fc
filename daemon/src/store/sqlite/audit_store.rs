//! The audit log's operations on SQLite.

use async_trait::async_trait;
use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    merkle::{Node, SignedHead, TreeHash},
};

use super::{audit, audit_tree, index_sums, store::SqliteStore};
use crate::store::{
    AuditStore, EntryKeys, EntryQuery, EntryRow, ErasePersonal, IndexSums, NewEntry, StoreError,
    ToldStretches, With, WrongStretch,
};

#[async_trait]
impl AuditStore for SqliteStore {
    async fn enter(&self, entries: &[NewEntry]) -> Result<(), StoreError> {
        audit::enter(self.main(), entries).await
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        audit::size(self.main()).await
    }

    async fn audit_entries(&self, from: u64, max_bytes: usize) -> Result<Vec<EntryRow>, StoreError> {
        audit::read(self.main(), from, max_bytes).await
    }

    async fn audit_entries_at(&self, indexes: &[u64]) -> Result<Vec<EntryRow>, StoreError> {
        audit::at(self.main(), indexes).await
    }

    async fn leaf_hashes(&self, from: u64, limit: u32) -> Result<Vec<TreeHash>, StoreError> {
        audit::leaf_hashes(self.main(), from, limit).await
    }

    async fn entries_of_patient(
        &self,
        patient: NhsNumber,
        before: u64,
        limit: u32,
    ) -> Result<Vec<EntryRow>, StoreError> {
        audit::of_patient(self.main(), patient, before, limit).await
    }

    async fn newest_daemon_entry(&self) -> Result<Option<EntryRow>, StoreError> {
        audit::newest_of_daemon(self.main()).await
    }

    async fn erase_personal(&self, erase: &[ErasePersonal], at: i64, with: &With) -> Result<u64, StoreError> {
        audit::erase(self.main(), erase, at, with).await
    }

    async fn keep_head(&self, head: &SignedHead, nodes: &[(Node, TreeHash)]) -> Result<(), StoreError> {
        audit_tree::keep(self.main(), head, nodes).await
    }

    async fn newest_head(&self) -> Result<Option<SignedHead>, StoreError> {
        audit_tree::newest(self.main()).await
    }

    async fn heads_over(&self, size: u64, limit: u32) -> Result<Vec<SignedHead>, StoreError> {
        audit_tree::over(self.main(), size, limit).await
    }

    async fn tree_nodes(&self, nodes: &[Node]) -> Result<Vec<(Node, TreeHash)>, StoreError> {
        audit_tree::nodes(self.main(), nodes).await
    }

    async fn audit_indexed(&self) -> Result<u64, StoreError> {
        self.records().audit_indexed().await
    }

    async fn index_audit(&self, keys: &[EntryKeys], through: u64) -> Result<(), StoreError> {
        self.records().index_audit(keys, through).await
    }

    fn sums_of(&self, keys: &[EntryKeys]) -> Result<IndexSums, StoreError> {
        index_sums::of_keys(keys)
    }

    async fn wrong_stretch(&self) -> Result<Option<WrongStretch>, StoreError> {
        self.records().wrong_stretch(self.main()).await
    }

    async fn audit_index_sums(&self, through: u64) -> Result<IndexSums, StoreError> {
        self.records().audit_index_sums(through).await
    }

    async fn find_entries(&self, query: &EntryQuery) -> Result<Vec<u64>, StoreError> {
        self.records().find_entries(query).await
    }

    async fn entries_of_seqs(
        &self,
        source: OdsCode,
        recipient: Option<OdsCode>,
        seqs: (u64, u64),
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        self.records()
            .entries_of_seqs(source, recipient, seqs, limit)
            .await
    }

    async fn told_through(&self, source: OdsCode, recipient: OdsCode) -> Result<u64, StoreError> {
        self.records().told_through(source, recipient).await
    }

    async fn stretches_told(
        &self,
        source: OdsCode,
        recipient: OdsCode,
        patients: &[NhsNumber],
        after: u64,
        blocks: u32,
    ) -> Result<ToldStretches, StoreError> {
        self.records()
            .stretches_told((source, recipient), patients, after, blocks)
            .await
    }

    async fn seqs_of_patient(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        self.records()
            .seqs_of_patient(source, patient, after, limit)
            .await
    }
}
