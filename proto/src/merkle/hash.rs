//! The hashes of a tree's leaves and nodes (RFC 9162 section 2.1.1, SHA-256).
//!
//! Invariant: a leaf and a node never hash alike, because each begins with a byte of its own.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Bytes of a hash.
pub const TREE_HASH_BYTES: usize = 32;

const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// The hash of a leaf, of a node, or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHash([u8; TREE_HASH_BYTES]);

impl TreeHash {
    /// From its bytes.
    pub fn new(bytes: [u8; TREE_HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// As it travels. `None` if it is not 32 bytes.
    pub fn from_slice(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8; TREE_HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The root of a tree without leaves: the hash of nothing.
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> TreeHash {
    TreeHash(
        Sha256::new()
            .chain_update(LEAF)
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

/// The hash of a node over its two children.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let hash = Sha256::new()
        .chain_update(NODE)
        .chain_update(left.0)
        .chain_update(right.0);
    TreeHash(hash.finalize().into())
}
