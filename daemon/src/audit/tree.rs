//! The tree over the log: signs heads, keeps them, and makes proofs.
//!
//! Invariants: a head is published only once it is durable; every head continues the one before, because the
//! tree is only ever taken up from what is under the newest head and grown by what the store has behind it; what
//! does not lead to the newest head's root is never signed over.

use std::{collections::HashMap, sync::Arc, time::Duration};

use handfast_proto::merkle::{
    Frontier, Node, Plan, ProofError, PublicKey, SignedHead, SigningKey, TreeHash, TreeHead, leaf_hash,
    node_hash,
};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{Store, StoreError},
};

/// How long entries wait for a signed head over them, unless one is asked for. Below a minute, because signing
/// takes its time too.
const SIGN_INTERVAL: Duration = Duration::from_secs(50);

/// The lowest level of which the hashes of subtrees are kept: 256 leaves.
pub(super) const KEPT_LEVEL: u32 = 8;

/// Leaf hashes read at once while the tree grows.
const LEAVES_AT_ONCE: u32 = 8192;

/// Why there is no head or no proof.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// What was asked for is not under a signed head.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The entries in the store do not lead to the head that was signed over them.
    #[error(
        "the audit log in the store is not the one that was signed: up to entry {0} something was changed. \
         Nothing more is signed; compare with an export, or restore a backup"
    )]
    NotAsSigned(u64),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was broken off.
    #[error("the work on the audit log's tree broke off: ask again")]
    BrokenOff,
}

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    key: SigningKey,
    trust_domain: String,
    heads: watch::Sender<Option<SignedHead>>,
    /// The tree under the newest head; `None` until it was taken up.
    tree: Mutex<Option<Frontier>>,
}

/// The tree over the log. Cheap to clone.
#[derive(Clone)]
pub struct AuditTree {
    inner: Arc<Inner>,
}

impl AuditTree {
    /// Takes up the log of a deployment; heads are signed with `key`.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        key: SigningKey,
        trust_domain: String,
    ) -> Result<Self, StoreError> {
        let newest = store.newest_head().await?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                clock,
                key,
                trust_domain,
                heads: watch::Sender::new(newest),
                tree: Mutex::new(None),
            }),
        })
    }

    /// The newest head, now and whenever there is another.
    pub fn heads(&self) -> watch::Receiver<Option<SignedHead>> {
        self.inner.heads.subscribe()
    }

    /// The newest head; `None` only before the first.
    pub fn newest(&self) -> Option<SignedHead> {
        *self.inner.heads.borrow()
    }

    /// What heads are checked with.
    pub fn public_key(&self) -> PublicKey {
        self.inner.key.public()
    }

    /// Signs a log as a file, by the SHA-256 of what stands before the signature.
    pub fn key(&self) -> &SigningKey {
        &self.inner.key
    }

    /// For whom heads are signed.
    pub fn trust_domain(&self) -> &str {
        &self.inner.trust_domain
    }

    /// A head over every entry that is there; the newest one where there is none beyond it. `None` only while
    /// the log is empty. Goes on where the caller stops waiting.
    pub async fn head_now(&self) -> Result<Option<SignedHead>, TreeError> {
        let inner = Arc::clone(&self.inner);
        let signing = tokio::spawn(async move { inner.sign().await });
        signing.await.map_err(|_| TreeError::BrokenOff)?
    }

    /// Signs a head whenever there are new entries, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.head_now().await {
                tracing::error!(%error, "no head of the audit log can be signed; it is tried again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SIGN_INTERVAL) => {}
            }
        }
    }

    /// A proof that the tree of `new` entries continues that of `old` (RFC 9162 section 2.1.4). `new` is at most
    /// what is under the newest head.
    pub async fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<TreeHash>, TreeError> {
        self.prove(Plan::consistency(old, new)?, new).await
    }

    /// A proof that an entry is in the tree of `size` entries (RFC 9162 section 2.1.3), and its leaf's hash.
    pub async fn prove_inclusion(
        &self,
        index: u64,
        size: u64,
    ) -> Result<(TreeHash, Vec<TreeHash>), TreeError> {
        let proof = self.prove(Plan::inclusion(index, size)?, size).await?;
        let leaf = self.inner.store.leaf_hashes(index, 1).await?;
        let leaf = leaf.first().copied().ok_or(ProofError::Range)?;
        Ok((leaf, proof))
    }

    async fn prove(&self, plan: Plan, size: u64) -> Result<Vec<TreeHash>, TreeError> {
        if size > self.newest().map_or(0, |signed| signed.head.size) {
            return Err(ProofError::Range.into());
        }
        let nodes: Vec<Node> = plan.nodes().collect();
        let hashes = hashes(self.inner.store.as_ref(), &nodes).await?;
        let missing = || StoreError::Corrupt("a hash of the audit log's tree is missing".to_owned());
        Ok(plan.proof(|node| hashes.get(&node).copied().ok_or_else(missing))?)
    }
}

impl Inner {
    /// Not cancellation-safe: runs in a task of its own.
    async fn sign(&self) -> Result<Option<SignedHead>, TreeError> {
        let mut tree = self.tree.lock().await;
        let mut grown = match tree.take() {
            Some(known) => known,
            None => self.take_up().await?,
        };
        let before = grown.size();
        let size = self.store.audit_size().await?;
        if size <= before {
            *tree = Some(grown);
            return Ok(*self.heads.borrow());
        }
        let nodes = self.grow(&mut grown, size).await?;
        let head = TreeHead {
            size: grown.size(),
            root: grown.root(),
            signed_at: self.clock.now_ms(),
        };
        let signed = self.key.sign(&self.trust_domain, head);
        // Where this fails the tree is taken up again next time, from whatever was kept.
        self.store.keep_head(&signed, &nodes).await?;
        *tree = Some(grown);
        self.heads.send_replace(Some(signed));
        publish(&signed, &self.trust_domain);
        Ok(Some(signed))
    }

    /// The tree under the newest head, held against that head.
    async fn take_up(&self) -> Result<Frontier, TreeError> {
        let Some(signed) = self.store.newest_head().await? else {
            return Ok(Frontier::default());
        };
        let size = signed.head.size;
        let nodes = Frontier::nodes(size);
        let hashes = hashes(self.store.as_ref(), &nodes).await?;
        let peaks = nodes
            .iter()
            .filter_map(|node| hashes.get(node).copied())
            .collect();
        let tree = Frontier::from_peaks(size, peaks).filter(|tree| tree.root() == signed.head.root);
        let tree = tree.ok_or(TreeError::NotAsSigned(size))?;
        self.heads.send_replace(Some(signed));
        Ok(tree)
    }

    /// Appends what the store has up to `size`; the larger subtrees that this completes.
    async fn grow(&self, tree: &mut Frontier, size: u64) -> Result<Vec<(Node, TreeHash)>, StoreError> {
        let mut made = Vec::new();
        while tree.size() < size {
            let at_most = u32::try_from(size - tree.size())
                .unwrap_or(u32::MAX)
                .min(LEAVES_AT_ONCE);
            let leaves = self.store.leaf_hashes(tree.size(), at_most).await?;
            if leaves.is_empty() {
                return Err(StoreError::Corrupt(
                    "the audit log ends before its size".to_owned(),
                ));
            }
            for leaf in leaves {
                tree.push(leaf, |node, hash| {
                    if node.level >= KEPT_LEVEL {
                        made.push((node, hash));
                    }
                });
            }
        }
        Ok(made)
    }
}

/// Publishes a head in the daemon's own log, with all that it takes to verify it: whoever keeps the line can hold the
/// audit log against it.
fn publish(signed: &SignedHead, trust_domain: &str) {
    let SignedHead { head, signature, key } = signed;
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    tracing::info!(
        size = head.size,
        root = %head.root,
        signed_at = head.signed_at,
        %trust_domain,
        %key,
        %signature,
        "signed a head of the audit log"
    );
}

/// The hashes of perfect subtrees, all of them under a signed head: the larger ones are kept, the smaller ones
/// are made from their leaves.
async fn hashes(store: &dyn Store, nodes: &[Node]) -> Result<HashMap<Node, TreeHash>, StoreError> {
    let (large, small): (Vec<Node>, Vec<Node>) = nodes.iter().partition(|node| node.level >= KEPT_LEVEL);
    let mut all: HashMap<Node, TreeHash> = HashMap::with_capacity(nodes.len());
    if !large.is_empty() {
        all.extend(store.tree_nodes(&large).await?);
    }
    for node in small {
        let leaves = store
            .leaf_hashes(node.index << node.level, 1 << node.level)
            .await?;
        if leaves.len() == 1 << node.level {
            all.insert(node, perfect(leaves));
        }
    }
    Ok(all)
}

/// The hash over leaves of which there are a power of two, at least one.
fn perfect(mut level: Vec<TreeHash>) -> TreeHash {
    while level.len() > 1 {
        level = level
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    level.first().copied().unwrap_or_else(|| leaf_hash(&[]))
}
