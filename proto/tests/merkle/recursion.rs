//! Trees and proofs of random leaves against the recursion of RFC 9162 sections 2.1.1, 2.1.3.1 and 2.1.4.1.

use handfast_proto::merkle::{
    Frontier, Plan, TreeHash, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

use crate::kit::Tree;

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_path(m: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = if m < left.len() {
        (naive_path(m, left), naive_root(right))
    } else {
        (naive_path(m - left.len(), right), naive_root(left))
    };
    path.push(other);
    path
}

fn naive_proof(m: usize, leaves: &[TreeHash], whole: bool) -> Vec<TreeHash> {
    if m == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if m <= left.len() {
        (naive_proof(m, left, whole), naive_root(right))
    } else {
        (naive_proof(m - left.len(), right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

fn leaves() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..200)
}

proptest! {
    #[test]
    fn a_frontier_and_its_proofs_are_those_of_the_recursion(
        leaves in leaves(),
        old in any::<prop::sample::Index>(),
        size in any::<prop::sample::Index>(),
        index in any::<prop::sample::Index>(),
    ) {
        let tree = Tree::of(&leaves);
        let all = &tree.leaves;
        prop_assert_eq!(tree.frontier.root(), naive_root(all));
        let size = size.index(all.len()) + 1;
        let (old, index) = (old.index(size) + 1, index.index(size));
        let (root, old_root) = (naive_root(&all[..size]), naive_root(&all[..old]));
        let (wide, at, from) = (size as u64, index as u64, old as u64);

        let path = tree.inclusion(at, wide);
        prop_assert_eq!(&path, &naive_path(index, &all[..size]));
        prop_assert_eq!(verify_inclusion(&all[index], at, wide, &path, &root), Ok(()));
        let proof = tree.consistency(from, wide);
        prop_assert_eq!(&proof, &naive_proof(old, &all[..size], true));
        prop_assert_eq!(verify_consistency((from, &old_root), (wide, &root), &proof), Ok(()));

        let peaks: Vec<TreeHash> = Frontier::nodes(wide).into_iter().map(|n| tree.node(n).unwrap()).collect();
        let mut again = Frontier::from_peaks(wide, peaks).unwrap();
        prop_assert_eq!(again.root(), root);
        all[size..].iter().for_each(|leaf| again.push(*leaf, |_, _| {}));
        prop_assert_eq!(&again, &tree.frontier, "taken up where it was left");
    }

    #[test]
    fn a_log_of_which_one_leaf_was_changed_does_not_continue_the_old_one(
        mut leaves in leaves(),
        old in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(),
    ) {
        let honest = Tree::of(&leaves);
        let old = old.index(leaves.len()) + 1;
        let old_root = naive_root(&honest.leaves[..old]);
        leaves[which.index(old)].push(1);
        let rewritten = Tree::of(&leaves);
        let (from, to) = (old as u64, leaves.len() as u64);
        for proof in [rewritten.consistency(from, to), honest.consistency(from, to)] {
            let held = verify_consistency((from, &old_root), (to, &rewritten.frontier.root()), &proof);
            prop_assert!(held.is_err());
        }
    }

    #[test]
    fn no_proof_whatever_makes_a_verifier_panic(
        index in any::<u64>(),
        old in any::<u64>(),
        size in any::<u64>(),
        proof in proptest::collection::vec(any::<[u8; 32]>().prop_map(TreeHash::new), 0..70),
    ) {
        let some = leaf_hash(b"some");
        prop_assert!(verify_inclusion(&some, index, size, &proof, &some).is_err() || size == 1);
        let _ = verify_consistency((old, &some), (size, &some), &proof);
        let _ = (Plan::inclusion(index, size), Plan::consistency(old, size));
    }
}
