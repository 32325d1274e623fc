//! The audit log's tree: a Merkle tree over the leaves of its entries, hashed as RFC 9162 section 2.1 has it,
//! and its signed heads. Pure: the daemon builds with it, the agent and handfastctl verify with it.

mod frontier;
mod hash;
mod head;
mod proof;

pub use frontier::Frontier;
pub use hash::{TREE_HASH_BYTES, TreeHash, empty_root, leaf_hash, node_hash};
pub use head::{HeadError, KEY_ID_BYTES, KeyError, KeyId, PublicKey, SignedHead, SigningKey, TreeHead};
pub use proof::{Node, Plan, ProofError, verify_consistency, verify_inclusion};
