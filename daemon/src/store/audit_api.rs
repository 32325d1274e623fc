//! The store's operations on the audit log. What holds for every operation stands at [`super::Store`]; the
//! entries of a change go into the change's own transaction, in its [`super::With`].

use async_trait::async_trait;
use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    merkle::{Node, SignedHead, TreeHash},
};

use super::{
    error::StoreError,
    types::{
        EntryKeys, EntryQuery, EntryRow, ErasePersonal, IndexSums, NewEntry, ToldStretches, With,
        WrongStretch,
    },
};

/// What is durable of the audit log. Indexes count from 0.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Enters what is about no change of the store's, in order.
    async fn enter(&self, entries: &[NewEntry]) -> Result<(), StoreError>;

    /// How many entries there are.
    async fn audit_size(&self) -> Result<u64, StoreError>;

    /// Entries from `from` on, in order: at least one where there is one, then no more than `max_bytes`.
    async fn audit_entries(&self, from: u64, max_bytes: usize) -> Result<Vec<EntryRow>, StoreError>;

    /// The entries at these indexes, by index. What is not there is left out.
    async fn audit_entries_at(&self, indexes: &[u64]) -> Result<Vec<EntryRow>, StoreError>;

    /// The hashes of leaves from `from` on, in order, at most `limit`.
    async fn leaf_hashes(&self, from: u64, limit: u32) -> Result<Vec<TreeHash>, StoreError>;

    /// Entries about a patient below `before`, the newest first, at most `limit`. Those about what was handed
    /// over name no patient.
    async fn entries_of_patient(
        &self,
        patient: NhsNumber,
        before: u64,
        limit: u32,
    ) -> Result<Vec<EntryRow>, StoreError>;

    /// The newest entry about the daemon itself.
    async fn newest_daemon_entry(&self) -> Result<Option<EntryRow>, StoreError>;

    /// Erases personal values of entries, which are not found by their patient any more, and enters `with` beside
    /// it. Says of how many there was something to erase.
    async fn erase_personal(&self, erase: &[ErasePersonal], at: i64, with: &With) -> Result<u64, StoreError>;

    // --- the tree ---

    /// Keeps a signed head, and the hashes of perfect subtrees of at least 256 leaves that were completed since
    /// the one before. [`StoreError::Exists`] where a head of that size is there.
    async fn keep_head(&self, head: &SignedHead, nodes: &[(Node, TreeHash)]) -> Result<(), StoreError>;

    /// The newest signed head.
    async fn newest_head(&self) -> Result<Option<SignedHead>, StoreError>;

    /// Signed heads over more than `size` entries, the smallest first, at most `limit`.
    async fn heads_over(&self, size: u64, limit: u32) -> Result<Vec<SignedHead>, StoreError>;

    /// The hashes of these subtrees of at least 256 leaves. What is not there is left out.
    async fn tree_nodes(&self, nodes: &[Node]) -> Result<Vec<(Node, TreeHash)>, StoreError>;

    // --- what entries are found by: derived, and brought up behind the commits ---

    /// Up to which index entries can be found by unit and by what was handed over.
    async fn audit_indexed(&self) -> Result<u64, StoreError>;

    /// Makes entries up to `through` findable. May be less durable than the rest: what is lost is asked for
    /// again.
    async fn index_audit(&self, keys: &[EntryKeys], through: u64) -> Result<(), StoreError>;

    /// Sums over the rows that entries with these keys are found by.
    fn sums_of(&self, keys: &[EntryKeys]) -> Result<IndexSums, StoreError>;

    /// Sums over the rows that entries below `through` are found by as they stand. Reads all of them.
    async fn audit_index_sums(&self, through: u64) -> Result<IndexSums, StoreError>;

    /// The first of the stretches (see [`AuditStore::seqs_of_patient`]) that are not what the log says, up to where its
    /// source is projected. Reads the whole log.
    async fn wrong_stretch(&self) -> Result<Option<WrongStretch>, StoreError>;

    /// The indexes of entries, the newest first.
    async fn find_entries(&self, query: &EntryQuery) -> Result<Vec<u64>, StoreError>;

    /// The indexes of entries that may say something of seqs from `first` to `last` of a source, that it went to one
    /// recipient, or anything at all: rising, at most `limit`. None is left out; whether one does say something of a seq
    /// stands in the entry.
    async fn entries_of_seqs(
        &self,
        source: OdsCode,
        recipient: Option<OdsCode>,
        seqs: (u64, u64),
        limit: u32,
    ) -> Result<Vec<u64>, StoreError>;

    /// Up to which seq of a source's stream entries may say that something went, or perhaps went, to a recipient; 0:
    /// nothing did.
    async fn told_through(&self, source: OdsCode, recipient: OdsCode) -> Result<u64, StoreError>;

    /// Of the next `blocks` blocks of a source's stream beyond `after` of which entries say that something went, or
    /// perhaps went, to a recipient: the stretches that hold amendments about these patients. Others may be among
    /// them; none is left out up to where the source is projected.
    async fn stretches_told(
        &self,
        source: OdsCode,
        recipient: OdsCode,
        patients: &[NhsNumber],
        after: u64,
        blocks: u32,
    ) -> Result<ToldStretches, StoreError>;

    /// Stretches of a source's stream beyond `after`, in order, that hold amendments about a patient: first and
    /// last seq, at most `limit`. Others may be among them; none is left out up to where the source is
    /// projected.
    async fn seqs_of_patient(
        &self,
        source: OdsCode,
        patient: NhsNumber,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, u64)>, StoreError>;
}
