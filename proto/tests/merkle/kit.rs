//! A tree of which every node is kept.

use std::convert::Infallible;

use handfast_proto::merkle::{Frontier, Node, Plan, TreeHash, leaf_hash};

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|b| char::from(b).to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

pub(crate) fn hash(text: &str) -> TreeHash {
    TreeHash::from_slice(&unhex(text)).unwrap()
}

/// A tree with the hash of every perfect subtree.
pub(crate) struct Tree {
    pub(crate) levels: Vec<Vec<TreeHash>>,
    pub(crate) leaves: Vec<TreeHash>,
    pub(crate) frontier: Frontier,
}

impl Tree {
    pub(crate) fn of<L: AsRef<[u8]>>(leaves: &[L]) -> Self {
        let mut tree = Self {
            levels: Vec::new(),
            leaves: leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect(),
            frontier: Frontier::default(),
        };
        for leaf in &tree.leaves {
            tree.frontier.push(*leaf, |node, hash| {
                let level = node.level as usize;
                tree.levels.resize(tree.levels.len().max(level + 1), Vec::new());
                assert_eq!(tree.levels[level].len() as u64, node.index, "made in order, once");
                tree.levels[level].push(hash);
            });
        }
        tree
    }

    pub(crate) fn node(&self, node: Node) -> Result<TreeHash, Infallible> {
        Ok(self.levels[node.level as usize][usize::try_from(node.index).unwrap()])
    }

    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Vec<TreeHash> {
        let Ok(proof) = Plan::inclusion(index, size).unwrap().proof(|n| self.node(n));
        proof
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<TreeHash> {
        let Ok(proof) = Plan::consistency(old, new).unwrap().proof(|n| self.node(n));
        proof
    }
}
