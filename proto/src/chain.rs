//! The chain of an outbox: a running digest over its amendments, by which daemon and agent tell whether
//! a store still continues what the daemon has (a restored or copied one does not).
//!
//! The agent computes it; the daemon only keeps and compares it. It is never forwarded: over a batch of
//! which a recipient knows all but one amendment, it would let that one be guessed.

use sha2::{Digest as _, Sha256};

use crate::{amendment::Amendment, ids::StoreId};

/// The digest after an amendment: the first 16 bytes of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain([u8; 16]);

impl Chain {
    /// Where the chain of the first store of a unit begins: the daemon has nothing yet.
    pub fn start(store: StoreId) -> Self {
        Self::truncate(
            Sha256::new()
                .chain_update(b"handfast chain 1")
                .chain_update(store.as_bytes()),
        )
    }

    /// As it travels. `None` if it is not 16 bytes.
    pub fn from_slice(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The chain after one more amendment.
    #[must_use]
    pub fn extend(self, seq: u64, amendment: &Amendment) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(seq.to_be_bytes());
        hash.update([amendment.op as u8]);
        let record = amendment.record.as_bytes();
        hash.update((record.len() as u64).to_be_bytes());
        hash.update(record);
        for subject in [amendment.subject, amendment.former] {
            hash.update(subject.map_or(0, |s| s.patient.as_u64()).to_be_bytes());
            hash.update([
                subject.map_or(0, |s| s.category as u8),
                subject.map_or(0, |s| s.confidentiality.bits()),
            ]);
        }
        hash.update(amendment.recorded_at.to_be_bytes());
        hash.update((amendment.payload.len() as u64).to_be_bytes());
        hash.update(&amendment.payload);
        Self::truncate(hash)
    }

    fn truncate(hash: Sha256) -> Self {
        let mut out = [0; 16];
        out.copy_from_slice(&hash.finalize()[..16]);
        Self(out)
    }
}
