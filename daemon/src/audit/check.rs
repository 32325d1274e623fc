//! Checks the log in the store against itself and against the heads that were signed over it: every value of
//! every row. What an exported file cannot show (the patient an entry is found by, and the kept subtrees) is checked
//! here alone; what else entries are found by, beside it.
//!
//! The log may grow and be erased in meanwhile: what was there at the beginning must be there, and reads to its
//! end, where the entry about an erasure stands behind what it erased.
//!
//! Bounded in memory: one page of entries, one of heads, and the runs of entries of which something was erased.

use std::collections::{HashMap, VecDeque};

use handfast_proto::{
    audit::{Runs, check_values, decode_leaf, kind_of},
    ids::{NhsNumber, OdsCode},
    merkle::{Frontier, Node, PublicKey, SignedHead, TreeHash, leaf_hash},
    v1::{AuditField, AuditLeaf, AuditPersonal, AuditValue, audit_leaf::Event},
};
use prost::Message as _;

use super::tree::KEPT_LEVEL;
use crate::store::{EntryRow, Store, StoreError};

/// Bytes of entries read at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// Heads read at once.
const PAGE_HEADS: u32 = 256;

/// What was found.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// An entry is not as it was entered.
    #[error("audit entry {index} is not as it was entered: {what}")]
    Entry {
        /// Which.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// A signed head does not fit the entries under it.
    #[error("the signed head over {size} audit entries does not fit: {what}")]
    Head {
        /// Which.
        size: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A kept hash is not that of its entries.
    #[error("a kept hash over audit entries {from} to {to} is not theirs")]
    Subtree {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What entries are found by is not what they say.
    #[error(
        "what audit entries from {from} to {to} are found by is not what they say: take records.db away while the \
         daemon is stopped, and it is made anew"
    )]
    Index {
        /// The first that may be meant.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What amendments about a patient are found by is not what the log says.
    #[error(
        "whom the amendments from {from} to {to} of {unit}'s stream are about is not what the log says where they \
         are found by it: take records.db away while the daemon is stopped, and it is made anew"
    )]
    Stretch {
        /// Whose stream.
        unit: OdsCode,
        /// The first seq.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks every entry and every head that was signed with `key` for `trust_domain`; what there is.
pub async fn check_log(
    store: &dyn Store,
    key: &PublicKey,
    trust_domain: &str,
) -> Result<Checked, CheckError> {
    let all = store.audit_size().await?;
    let mut check = Check {
        tree: Frontier::default(),
        heads: VecDeque::new(),
        heads_read: 0,
        erased: Runs::default(),
        explained: Runs::default(),
        made: Vec::new(),
        signed: store.newest_head().await?.map_or(0, |head| head.head.size),
    };
    loop {
        let rows = store.audit_entries(check.tree.size(), PAGE_BYTES).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            check.entry(row)?;
            check.head(store, key, trust_domain).await?;
        }
        check.subtrees(store).await?;
    }
    check.finish(all)
}

/// What was found to be in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Entries.
    pub entries: u64,
    /// Of those, the ones under a signed head.
    pub signed: u64,
}

struct Check {
    tree: Frontier,
    heads: VecDeque<SignedHead>,
    heads_read: u64,
    /// Of which something was erased, and of which an entry says so; indexes from 1.
    erased: Runs,
    explained: Runs,
    made: Vec<(Node, TreeHash)>,
    signed: u64,
}

impl Check {
    fn entry(&mut self, row: &EntryRow) -> Result<(), CheckError> {
        let index = self.tree.size();
        let wrong = |what: String| CheckError::Entry { index, what };
        if row.index != index {
            return Err(wrong("it is missing".to_owned()));
        }
        let entry = &row.entry;
        if leaf_hash(&entry.leaf) != entry.hash {
            return Err(wrong("it does not have its hash".to_owned()));
        }
        let leaf = decode_leaf(&entry.leaf).map_err(|error| wrong(error.to_string()))?;
        if (kind_of(&leaf), leaf.at) != (entry.kind, entry.at) {
            return Err(wrong("it is kept under another kind or time".to_owned()));
        }
        let personal = AuditPersonal::decode(entry.personal.clone());
        let personal = personal.map_err(|error| wrong(error.to_string()))?;
        if personal.encode_to_vec() != entry.personal {
            return Err(wrong(
                "its personal values are not written as they must be".to_owned(),
            ));
        }
        let gone = missing(&leaf, &personal.values);
        check_values(&leaf, &personal.values, &gone, &[]).map_err(|error| wrong(error.to_string()))?;
        if !gone.is_empty() {
            self.erased.insert(index + 1, index + 1);
        }
        if patient_of(&personal.values) != entry.patient {
            return Err(wrong("it is kept under another patient".to_owned()));
        }
        if let Some(Event::PersonalErased(event)) = &leaf.event {
            let named = Runs::from_wire(&event.entries).map_err(|error| wrong(error.to_string()))?;
            self.explained.extend(&named);
        }
        let made = &mut self.made;
        self.tree.push(entry.hash, |node, hash| {
            if node.level >= KEPT_LEVEL {
                made.push((node, hash));
            }
        });
        Ok(())
    }

    /// Checks the head over the entries so far, where there is one.
    async fn head(
        &mut self,
        store: &dyn Store,
        key: &PublicKey,
        trust_domain: &str,
    ) -> Result<(), CheckError> {
        if self.heads.is_empty() && self.heads_read < self.signed {
            let page = store.heads_over(self.heads_read, PAGE_HEADS).await?;
            self.heads_read = page.last().map_or(self.signed, |head| head.head.size);
            let signed = self.signed;
            self.heads
                .extend(page.into_iter().filter(|head| head.head.size <= signed));
        }
        let size = self.tree.size();
        let Some(signed) = self.heads.pop_front_if(|head| head.head.size <= size) else {
            return Ok(());
        };
        let wrong = |what| CheckError::Head {
            size: signed.head.size,
            what,
        };
        if key.verify(trust_domain, &signed).is_err() {
            return Err(wrong("it was not signed with the log's key"));
        }
        if signed.head.root != self.tree.root() {
            return Err(wrong("an entry under it was changed, moved, added or left out"));
        }
        Ok(())
    }

    /// Checks the kept hashes of the subtrees that were completed under a head.
    async fn subtrees(&mut self, store: &dyn Store) -> Result<(), CheckError> {
        let signed = self.signed;
        let (under, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.made)
            .into_iter()
            .partition(|(node, _)| end_of(*node) <= signed);
        self.made = later;
        let nodes: Vec<Node> = under.iter().map(|(node, _)| *node).collect();
        let kept: HashMap<Node, TreeHash> = store.tree_nodes(&nodes).await?.into_iter().collect();
        for (node, hash) in under {
            if kept.get(&node) != Some(&hash) {
                let (from, to) = (node.index << node.level, end_of(node) - 1);
                return Err(CheckError::Subtree { from, to });
            }
        }
        Ok(())
    }

    fn finish(self, all: u64) -> Result<Checked, CheckError> {
        let size = self.tree.size();
        if size < self.signed || !self.heads.is_empty() {
            let what = "entries under it are missing";
            return Err(CheckError::Head {
                size: self.signed,
                what,
            });
        }
        if size < all {
            let what = "it is missing".to_owned();
            return Err(CheckError::Entry { index: size, what });
        }
        let mut erased = self.erased.iter().flat_map(|(first, last)| first..=last);
        match erased.find(|entry| !self.explained.contains(*entry)) {
            None => Ok(Checked {
                entries: size,
                signed: self.signed,
            }),
            Some(entry) => Err(CheckError::Entry {
                index: entry - 1,
                what: "personal values are missing, and no entry says that they were erased".to_owned(),
            }),
        }
    }
}

/// Behind the last leaf of a subtree.
fn end_of(node: Node) -> u64 {
    (node.index + 1) << node.level
}

/// The reduced fields of which no value is there.
fn missing(leaf: &AuditLeaf, values: &[AuditValue]) -> Vec<AuditField> {
    let gone = leaf
        .reduced
        .iter()
        .filter(|reduced| values.iter().all(|v| v.field != reduced.field));
    gone.map(handfast_proto::v1::AuditReduced::field).collect()
}

fn patient_of(values: &[AuditValue]) -> Option<NhsNumber> {
    let value = values.iter().find(|value| value.field() == AuditField::Patient)?;
    value.value.parse().ok()
}
