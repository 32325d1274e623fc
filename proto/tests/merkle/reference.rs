//! Leaves, nodes, roots and proofs of the certificate-transparency reference implementation
//! (github.com/transparency-dev/merkle: testonly/constants.go, rfc6962/rfc6962_test.go, proof/verify_test.go,
//! compact/range_test.go).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use handfast_proto::merkle::{
    Frontier, Plan, ProofError, TreeHash, empty_root, leaf_hash, verify_consistency, verify_inclusion,
};

use crate::kit::{Tree, hash, unhex};

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Of the tree of eight leaves, level by level.
const NODES: [&[&str]; 3] = [
    &[
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
        "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
    ],
    &[
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    ],
    &[
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
];

/// Index, size, and which nodes of the reference tree the proof is made of; by (level, index).
type Published = (u64, u64, &'static [(usize, usize)]);

const INCLUSION: [Published; 5] = [
    (0, 1, &[]),
    (0, 8, &[(0, 1), (1, 1), (2, 1)]),
    (5, 8, &[(0, 4), (1, 3), (2, 0)]),
    (2, 3, &[(1, 0)]),
    (1, 5, &[(0, 0), (1, 1), (0, 4)]),
];

const CONSISTENCY: [Published; 5] = [
    (1, 1, &[]),
    (1, 8, &[(0, 1), (1, 1), (2, 1)]),
    (6, 8, &[(1, 2), (1, 3), (2, 0)]),
    (2, 5, &[(1, 1), (0, 4)]),
    (6, 7, &[(1, 2), (0, 6), (2, 0)]),
];

/// Roots over leaves of two bytes, the number in little-endian order, in base64.
const LARGER: [(u32, &str); 11] = [
    (10, "VjWMPSYNtCuCNlF/RLnQy6HcwSk6CIipfxm+hettA+4="),
    (15, "j4SulYmocFuxdeyp12xXCIgK6PekBcxzAIj4zbQzNEI="),
    (16, "c+4Uc6BCMOZf/v3NZK1kqTUJe+bBoFtOhP+P3SayKRE="),
    (100, "dUh9hYH88p0CMoHkdr1wC2szbhcLAXOejWpINIooKUY="),
    (255, "SmdsuKUqiod3RX2jyF2M6JnbdE4QuTwwipfAowI4/i0="),
    (256, "qFI0t/tZ1MdOYgyPpPzHFiZVw86koScXy9q3FU5casA="),
    (1000, "RXrgb8xHd55Y48FbfotJwCbV82Kx22LZfEbmBGAvwlQ="),
    (4095, "cWRFdQhPcjn9WyBXE/r1f04ejxIm5lvg40DEpRBVS0w="),
    (4096, "6uU/phfHg1n/GksYT6TO9aN8EauMCCJRl3dIK0HDs2M="),
    (10000, "VZcav65F9haHVRk3wre2axFoBXRNeUh/1d9d5FQfxIg="),
    (65535, "iPuVYJhP6SEE4gUFp8qbafd2rYv9YTCDYqAxCj8HdLM="),
];

fn reference() -> Tree {
    Tree::of(&LEAVES.map(unhex))
}

fn named(nodes: &[(usize, usize)]) -> Vec<TreeHash> {
    nodes
        .iter()
        .map(|(level, index)| hash(NODES[*level][*index]))
        .collect()
}

#[test]
fn leaves_and_nodes_hash_as_the_reference_says() {
    assert_eq!(empty_root(), hash(ROOTS[0]));
    assert_eq!(leaf_hash(b""), hash(ROOTS[1]));
    let of_leaf = hash("395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
    assert_eq!(leaf_hash(b"L123456"), of_leaf);
    let tree = reference();
    for (level, hashes) in NODES.iter().enumerate() {
        let want: Vec<TreeHash> = hashes.iter().map(|text| hash(text)).collect();
        assert_eq!(tree.levels[level], want, "level {level}");
    }
}

#[test]
fn roots_are_those_of_the_reference() {
    for (size, root) in ROOTS.iter().enumerate() {
        let leaves: Vec<Vec<u8>> = LEAVES[..size].iter().map(|leaf| unhex(leaf)).collect();
        assert_eq!(Tree::of(&leaves).frontier.root(), hash(root), "size {size}");
    }
    let mut frontier = Frontier::default();
    let mut wanted = LARGER.into_iter();
    let mut next = wanted.next();
    for leaf in 0..65_535_u16 {
        frontier.push(leaf_hash(&leaf.to_le_bytes()), |_, _| {});
        if let Some((size, root)) = next.filter(|(size, _)| u64::from(*size) == frontier.size()) {
            assert_eq!(
                frontier.root().as_bytes().as_slice(),
                STANDARD.decode(root).unwrap(),
                "size {size}"
            );
            next = wanted.next();
        }
    }
    assert_eq!(next, None, "all were met");
}

#[test]
fn proofs_are_those_of_the_reference() {
    let tree = reference();
    for (index, size, nodes) in INCLUSION {
        assert_eq!(
            tree.inclusion(index, size),
            named(nodes),
            "leaf {index} of {size}"
        );
    }
    for (old, new, nodes) in CONSISTENCY {
        assert_eq!(tree.consistency(old, new), named(nodes), "from {old} to {new}");
    }
}

#[test]
fn the_references_proofs_hold_and_changed_ones_do_not() {
    let tree = reference();
    let root = |size: u64| hash(ROOTS[usize::try_from(size).unwrap()]);
    for (index, size, nodes) in INCLUSION {
        let leaf = tree.leaves[usize::try_from(index).unwrap()];
        let holds = |index, size, proof: &[TreeHash], of: &TreeHash| {
            verify_inclusion(&leaf, index, size, proof, of).is_ok()
        };
        let proof = named(nodes);
        assert!(holds(index, size, &proof, &root(size)));
        for (other_index, other_size) in [
            (index.wrapping_sub(1), size),
            (index + 1, size),
            (index ^ 2, size),
            (index, size * 2),
            (index, size / 2),
        ] {
            assert!(
                !holds(other_index, other_size, &proof, &root(size)),
                "leaf {index} of {size}"
            );
        }
        assert!(!holds(index, size, &proof, &empty_root()));
        for changed in changed(&proof, &root(size)) {
            assert!(
                !holds(index, size, &changed, &root(size)),
                "leaf {index} of {size}: {changed:?}"
            );
        }
    }
    for (old, new, nodes) in CONSISTENCY {
        let holds = |old, new, from: &TreeHash, to: &TreeHash, proof: &[TreeHash]| {
            verify_consistency((old, from), (new, to), proof).is_ok()
        };
        let (proof, from, to) = (named(nodes), root(old), root(new));
        assert!(holds(old, new, &from, &to, &proof));
        if old == new {
            continue;
        }
        for (other_old, other_new) in [
            (old.wrapping_sub(1), new),
            (old + 1, new),
            (old ^ 2, new),
            (old, new * 2),
            (old, new / 2),
        ] {
            assert!(
                !holds(other_old, other_new, &from, &to, &proof),
                "from {old} to {new}"
            );
        }
        assert!(!holds(old, new, &to, &from, &proof), "swapped");
        for changed in changed(&proof, &from).into_iter().chain(changed(&proof, &to)) {
            assert!(
                !holds(old, new, &from, &to, &changed),
                "from {old} to {new}: {changed:?}"
            );
        }
    }
}

/// A proof with something added, taken away, or changed in one bit.
fn changed(proof: &[TreeHash], with: &TreeHash) -> Vec<Vec<TreeHash>> {
    let mut out = vec![[proof, &[*with]].concat(), [&[*with], proof].concat()];
    if !proof.is_empty() {
        out.extend([proof[1..].to_vec(), proof[..proof.len() - 1].to_vec(), Vec::new()]);
    }
    for at in 0..proof.len() {
        let mut other = proof.to_vec();
        let mut bytes = *other[at].as_bytes();
        bytes[at] ^= 8;
        other[at] = TreeHash::new(bytes);
        out.push(other);
    }
    out
}

#[test]
fn a_tree_of_the_same_size_or_of_none_needs_no_proof() {
    let (one, other) = (hash(ROOTS[3]), hash(ROOTS[4]));
    assert_eq!(verify_consistency((3, &one), (3, &one), &[]), Ok(()));
    assert_eq!(
        verify_consistency((3, &one), (3, &other), &[]),
        Err(ProofError::Mismatch)
    );
    assert_eq!(verify_consistency((0, &one), (3, &other), &[]), Ok(()));
    assert_eq!(
        verify_consistency((0, &one), (0, &other), &[]),
        Err(ProofError::Mismatch)
    );
    assert_eq!(
        verify_consistency((0, &one), (3, &other), &[one]),
        Err(ProofError::Length)
    );
    assert_eq!(
        verify_consistency((4, &other), (3, &one), &[]),
        Err(ProofError::Range)
    );
    assert_eq!(
        verify_consistency((3, &one), (4, &other), &[]),
        Err(ProofError::Length)
    );
    assert_eq!(Plan::consistency(4, 3), Err(ProofError::Range));
    assert_eq!(Plan::inclusion(3, 3), Err(ProofError::Range));
    assert_eq!(verify_inclusion(&one, 0, 0, &[], &one), Err(ProofError::Range));
}
