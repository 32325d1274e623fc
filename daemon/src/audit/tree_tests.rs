//! The tree over a real store: heads that continue one another, proofs of all sizes, and a log that was changed
//! behind the daemon's back.
//!
//! Detects: a head over something that is not durable, a tree taken up at another place than it was left, a
//! proof from the wrong subtrees, and signing over a log that is not the one signed before.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    merkle::{SignedHead, SigningKey, verify_consistency, verify_inclusion},
    v1::DaemonChange,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    Actor, AuditIndex, AuditTree, Scribe, TreeError, events::DaemonChanged, new_audit_key, read_audit_key,
};
use crate::{
    clock::ManualClock,
    random::OsRandom,
    store::{AuditStore as _, EntryQuery, NewEntry, SqliteStore, Store, StoreError, conformance::kit},
};

const SEED: &[u8] = &[7; 32];

struct World {
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    tree: AuditTree,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(dir.path(), &kit::deployment()).await.unwrap();
        Self::over(store, dir).await
    }

    async fn over(store: SqliteStore, dir: TempDir) -> Self {
        let (store, clock) = (Arc::new(store), Arc::new(ManualClock::at(kit::T0)));
        let key = SigningKey::from_seed(SEED).unwrap();
        let dynamic = Arc::clone(&store) as Arc<dyn Store>;
        let tree = AuditTree::start(dynamic, Arc::clone(&clock) as _, key, "care.example".to_owned());
        Self {
            store,
            clock,
            tree: tree.await.unwrap(),
            dir,
        }
    }

    async fn reopen(self) -> Self {
        let Self { store, tree, dir, .. } = self;
        drop(tree);
        Arc::into_inner(store).unwrap().close().await;
        Self::over(SqliteStore::open(dir.path()).await.unwrap(), dir).await
    }

    async fn enter(&self, n: usize) {
        let scribe = Scribe::new(Arc::new(OsRandom));
        let event = DaemonChanged {
            change: DaemonChange::Started,
            version: "test",
        };
        let entries = (0..n).map(|_| scribe.entry(kit::T0, &Actor::Daemon, &event).unwrap());
        self.store
            .enter(&entries.collect::<Vec<NewEntry>>())
            .await
            .unwrap();
    }

    async fn signed(&self) -> SignedHead {
        let signed = self.tree.head_now().await.unwrap().unwrap();
        self.tree.public_key().verify("care.example", &signed).unwrap();
        signed
    }

    async fn continues(&self, old: &SignedHead, new: &SignedHead) {
        let (from, to) = (old.head, new.head);
        let proof = self.tree.prove_consistency(from.size, to.size).await.unwrap();
        verify_consistency((from.size, &from.root), (to.size, &to.root), &proof).unwrap();
    }
}

#[tokio::test]
async fn heads_continue_one_another_across_restarts_and_prove_every_entry() {
    let mut world = World::new().await;
    assert_eq!(world.tree.head_now().await.unwrap(), None);
    let mut heads = Vec::new();
    for n in [1, 1, 5, 249, 1, 255, 300, 2000] {
        world.enter(n).await;
        let signed = world.signed().await;
        assert_eq!(world.signed().await, signed, "nothing was entered: the same head");
        assert_eq!(world.tree.newest(), Some(signed));
        heads.push(signed);
        world = world.reopen().await;
        assert_eq!(world.tree.newest(), Some(signed), "it was kept");
    }
    for (at, new) in heads.iter().enumerate() {
        for old in &heads[..=at] {
            world.continues(old, new).await;
        }
        for index in [0, new.head.size / 2, new.head.size - 1] {
            let (leaf, proof) = world.tree.prove_inclusion(index, new.head.size).await.unwrap();
            verify_inclusion(&leaf, index, new.head.size, &proof, &new.head.root).unwrap();
        }
    }
    let beyond = world.tree.prove_consistency(1, 1_000_000).await;
    assert!(matches!(beyond, Err(TreeError::Proof(_))));
}

#[tokio::test]
async fn watchers_hear_of_a_head_once_it_is_kept() {
    let world = World::new().await;
    let mut heads = world.tree.heads();
    assert_eq!(*heads.borrow_and_update(), None);
    world.enter(3).await;
    let signed = world.signed().await;
    heads.changed().await.unwrap();
    assert_eq!(*heads.borrow_and_update(), Some(signed));
    assert_eq!(world.store.newest_head().await.unwrap(), Some(signed));
    assert_eq!(signed.head.signed_at, kit::T0);
    world.clock.advance(60_000);
    world.enter(1).await;
    assert_eq!(world.signed().await.head.signed_at, kit::T0 + 60_000);
}

#[tokio::test]
async fn nothing_is_signed_over_a_log_that_is_not_the_one_signed_before() {
    let world = World::new().await;
    world.enter(300).await;
    let before = world.signed().await;
    let sql = "UPDATE audit_entry SET hash = randomblob(32) WHERE idx = 290";
    world.store.tamper(&[sql.to_owned()]).await;
    let world = world.reopen().await;
    world.enter(1).await;
    for _ in 0..2 {
        let refused = world.tree.head_now().await;
        assert!(matches!(refused, Err(TreeError::NotAsSigned(300))), "{refused:?}");
    }
    assert_eq!(world.tree.newest(), Some(before));
    assert_eq!(world.store.newest_head().await.unwrap(), Some(before));
}

#[tokio::test]
async fn a_head_whose_keeping_failed_is_made_again() {
    let world = World::new().await;
    world.enter(10).await;
    let first = world.signed().await;
    world.enter(10).await;
    // As where the store had kept it, and could not say so.
    let second = SqliteStore::open(world.dir.path()).await.unwrap();
    let other = World::over(second, tempfile::tempdir().unwrap()).await;
    let kept = other.signed().await;
    assert_eq!(kept.head.size, 20);
    assert!(matches!(
        world.tree.head_now().await,
        Err(TreeError::Store(StoreError::Exists(_)))
    ));
    assert_eq!(world.signed().await, kept);
    world.continues(&first, &kept).await;
}

#[tokio::test]
async fn entries_are_found_once_the_index_has_caught_up() {
    let world = World::new().await;
    let index = AuditIndex::new(Arc::clone(&world.store) as _);
    world.enter(5000).await;
    index.caught_up().await.unwrap();
    world.enter(1).await;
    let all = EntryQuery {
        unit: None,
        other: None,
        kinds: Vec::new(),
        from: 0,
        to: i64::MAX,
        before: u64::MAX,
        limit: 10_000,
    };
    assert_eq!(world.store.find_entries(&all).await.unwrap().len(), 5000);
    index.caught_up().await.unwrap();
    let found = world.store.find_entries(&all).await.unwrap();
    assert_eq!(found, (0..5001).rev().collect::<Vec<u64>>());
}

#[test]
fn a_key_is_read_from_the_file_it_was_written_to() {
    let pem = new_audit_key(&OsRandom).unwrap();
    let key = read_audit_key(&pem).unwrap();
    assert_eq!(read_audit_key(&pem).unwrap().public(), key.public());
    assert_ne!(
        read_audit_key(&new_audit_key(&OsRandom).unwrap())
            .unwrap()
            .public(),
        key.public()
    );
    assert!(read_audit_key("").is_err() && read_audit_key(&pem.replace("MC4", "MC5")).is_err());
}

/// Fails where heads are signed only when somebody asks, or less often than each minute.
#[tokio::test]
async fn new_entries_are_under_a_signed_head_within_a_minute_and_nobody_asks() {
    let world = World::new().await;
    let mut heads = world.tree.heads();
    world.enter(1).await;
    let stop = CancellationToken::new();
    tokio::spawn(world.tree.clone().run(stop.clone()));
    let size = |head: &Option<SignedHead>| head.map_or(0, |signed| signed.head.size);
    heads.wait_for(|head| size(head) == 1).await.unwrap();
    for entries in 2..5 {
        world.enter(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(59)).await;
        // The store has threads of its own, which no paused clock waits for.
        tokio::time::resume();
        let signed = tokio::time::timeout(
            Duration::from_secs(20),
            heads.wait_for(|head| size(head) == entries),
        );
        signed.await.expect("signed within a minute").unwrap();
    }
    stop.cancel();
}
