//! What is to be kept of a tree so that leaves can be appended to it: the roots of the perfect subtrees at its
//! right edge, one for each bit that is set in its size.

use super::{
    hash::{TreeHash, empty_root, node_hash},
    proof::Node,
};

/// A tree to which leaves are appended.
///
/// Invariant: there is one peak for each bit set in `size`, the largest subtree's first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<TreeHash>,
}

impl Frontier {
    /// Takes up a tree of which the peaks are known, as [`Frontier::nodes`] names them. `None` where there are
    /// too many or too few.
    pub fn from_peaks(size: u64, peaks: Vec<TreeHash>) -> Option<Self> {
        let fits = peaks.len() == size.count_ones() as usize;
        fits.then_some(Self { size, peaks })
    }

    /// The nodes whose hashes are the peaks of a tree of `size` leaves, the largest first.
    pub fn nodes(size: u64) -> Vec<Node> {
        Node::cover(0, size)
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. `made` is told of every perfect subtree that it completes, the leaf itself first.
    pub fn push(&mut self, leaf: TreeHash, mut made: impl FnMut(Node, TreeHash)) {
        let mut node = Node {
            level: 0,
            index: self.size,
        };
        let mut hash = leaf;
        made(node, hash);
        while node.index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node {
                level: node.level + 1,
                index: node.index >> 1,
            };
            made(node, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The hash of the whole tree.
    pub fn root(&self) -> TreeHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}
