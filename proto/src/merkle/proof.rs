//! Proofs that a leaf is in a tree, and that a tree continues an older one (RFC 9162 sections 2.1.3, 2.1.4).
//!
//! Making one is two steps, so that whoever holds the hashes may be slow: a [`Plan`] names the perfect subtrees
//! that it needs, and puts the proof together from their hashes.

use std::ops::Range;

use super::hash::{TreeHash, node_hash};

/// A perfect subtree: the leaves from `index << level` to `(index + 1) << level`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Node {
    /// How high: 0 is a leaf.
    pub level: u32,
    /// Which one of its level, from the left.
    pub index: u64,
}

impl Node {
    /// The perfect subtrees that make up `begin..end`, from the left. `begin` must be a multiple of the largest
    /// power of two that is not above the length, as it is of every part of a tree that a proof names.
    pub(super) fn cover(begin: u64, end: u64) -> Vec<Self> {
        let mut at = begin;
        let mut out = Vec::new();
        while at < end {
            let level = (end - at).ilog2();
            out.push(Self {
                level,
                index: at >> level,
            });
            at += 1 << level;
        }
        out
    }
}

/// Why there is no proof, or a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// What was asked for is not in the tree.
    #[error("the tree has no such leaf, or is smaller than the older one")]
    Range,
    /// It has another number of hashes than it must have.
    #[error("the proof is too long or too short")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// What a proof is made of: for each of its hashes, the perfect subtrees under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan(Vec<Vec<Node>>);

impl Plan {
    /// For a proof that leaf `index` is in the tree of `size` leaves.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::Range);
        }
        // PATH(m, D_n), from the root down; the proof begins at the leaf.
        let mut parts = Vec::new();
        let (mut begin, mut end) = (0, size);
        while end - begin > 1 {
            let middle = begin + split(end - begin);
            let other: Range<u64>;
            if index < middle {
                (other, end) = (middle..end, middle);
            } else {
                (other, begin) = (begin..middle, middle);
            }
            parts.push(other);
        }
        Ok(Self::of(parts))
    }

    /// For a proof that the tree of `new` leaves begins with that of `old`. Nothing is needed where one of them
    /// has no leaves, or both are one.
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        if old > new {
            return Err(ProofError::Range);
        }
        if old == 0 || old == new {
            return Ok(Self(Vec::new()));
        }
        // SUBPROOF(m, D_n, b), from the root down. `whole`: what is left began as the whole of the old tree.
        let mut parts = Vec::new();
        let (mut begin, mut end, mut whole) = (0, new, true);
        while old < end {
            let middle = begin + split(end - begin);
            let other: Range<u64>;
            if old <= middle {
                (other, end) = (middle..end, middle);
            } else {
                (other, begin) = (begin..middle, middle);
                whole = false;
            }
            parts.push(other);
        }
        if !whole {
            parts.push(begin..end);
        }
        Ok(Self::of(parts))
    }

    fn of(parts: Vec<Range<u64>>) -> Self {
        let from_below = parts.into_iter().rev();
        Self(from_below.map(|part| Node::cover(part.start, part.end)).collect())
    }

    /// The subtrees whose hashes it needs.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.0.iter().flatten().copied()
    }

    /// The proof, from the hash of each subtree.
    pub fn proof<E>(&self, mut hash_of: impl FnMut(Node) -> Result<TreeHash, E>) -> Result<Vec<TreeHash>, E> {
        let mut proof = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let mut whole: Option<TreeHash> = None;
            for node in part.iter().rev() {
                let left = hash_of(*node)?;
                whole = Some(whole.map_or(left, |right| node_hash(&left, &right)));
            }
            proof.extend(whole);
        }
        Ok(proof)
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Checks that a leaf with this hash stands at `index` of the tree with this size and root
/// (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    proof: &[TreeHash],
    root: &TreeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for part in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(part, &hash);
            // Levels at which the node is the last one and has no sibling.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, part);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    (hash == *root).then_some(()).ok_or(ProofError::Mismatch)
}

/// Checks that the tree with the new size and root begins with the one with the old size and root
/// (RFC 9162 section 2.1.4.2). Every tree begins with the empty one, whatever root is given for that.
pub fn verify_consistency(
    old: (u64, &TreeHash),
    new: (u64, &TreeHash),
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(ProofError::Range);
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let same = old_size == 0 && new_size > 0 || old_root == new_root;
        return same.then_some(()).ok_or(ProofError::Mismatch);
    }
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length)?;
        (*first, rest)
    };
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    let levels = at.trailing_ones();
    (at, last) = (at >> levels, last >> levels);
    let (mut old_hash, mut new_hash) = (first, first);
    for part in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(part, &old_hash);
            new_hash = node_hash(part, &new_hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, part);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    let holds = old_hash == *old_root && new_hash == *new_root;
    holds.then_some(()).ok_or(ProofError::Mismatch)
}
