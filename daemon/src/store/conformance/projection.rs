//! Promises of the projection.

use handfast_proto::ids::RecordId;

use super::{
    backend::Backend,
    kit::{HILL, VALE, WARD, ods, subject, with_units},
};
use crate::store::{Of, RecordVersion, Store};

fn version(name: &str, seq: u64) -> RecordVersion {
    RecordVersion {
        record: RecordId::new("Observation", name).unwrap(),
        seq,
        subject: Some(subject()),
        retracted: false,
    }
}

fn retraction(name: &str, seq: u64) -> RecordVersion {
    RecordVersion {
        subject: None,
        retracted: true,
        ..version(name, seq)
    }
}

async fn current(store: &impl Store, source: &str) -> Vec<u64> {
    seqs(store, source, 0, u64::MAX / 2, 1000).await
}

async fn seqs(store: &impl Store, source: &str, after: u64, upto: u64, limit: u32) -> Vec<u64> {
    let found = store
        .current_records(ods(source), Of::Everyone, after, upto, limit)
        .await;
    found.unwrap().iter().map(|record| record.seq).collect()
}

pub(crate) async fn it_begins_at_nothing<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 0);
    assert!(current(store, HILL).await.is_empty());
    // Amendments that change no record (all superseded since) still bring it forward.
    store.project(ods(HILL), &[], 12).await.unwrap();
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 12);
}

pub(crate) async fn the_last_version_counts<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let versions = [
        version("a", 1),
        version("b", 2),
        version("a", 3),
        version("c", 4),
        version("b", 5),
    ];
    store.project(ods(HILL), &versions, 5).await.unwrap();
    assert_eq!(current(store, HILL).await, [3, 4, 5]);
    store.project(ods(HILL), &[version("c", 6)], 6).await.unwrap();
    assert_eq!(current(store, HILL).await, [3, 5, 6]);
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 6);
}

pub(crate) async fn retractions_are_not_current<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let versions = [
        version("a", 1),
        version("b", 2),
        retraction("a", 3),
        retraction("never-seen", 4),
    ];
    store.project(ods(HILL), &versions, 4).await.unwrap();
    assert_eq!(current(store, HILL).await, [2]);
    store.project(ods(HILL), &[retraction("b", 5)], 5).await.unwrap();
    assert!(current(store, HILL).await.is_empty());
    store.project(ods(HILL), &[version("a", 6)], 6).await.unwrap();
    assert_eq!(current(store, HILL).await, [6], "recorded again");
}

pub(crate) async fn ranges_and_limits_are_kept<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let versions: Vec<_> = (1..=20)
        .map(|seq| version(&format!("r{}", seq * 7 % 20), seq))
        .collect();
    store.project(ods(HILL), &versions, 20).await.unwrap();
    for (after, upto, limit, expected) in [
        (0, 20, 100, (1..=20).collect::<Vec<u64>>()),
        (0, 3, 100, vec![1, 2, 3]),
        (3, 6, 100, vec![4, 5, 6]),
        (3, 20, 2, vec![4, 5]),
        (20, 20, 100, vec![]),
        (0, 0, 100, vec![]),
        (7, 5, 100, vec![]),
    ] {
        let found = seqs(store, HILL, after, upto, limit).await;
        assert_eq!(found, expected, "after {after}, up to {upto}, at most {limit}");
    }
    // A record whose current version lies beyond `upto` is not among those up to it.
    store.project(ods(HILL), &[version("r7", 21)], 21).await.unwrap();
    assert_eq!(seqs(store, HILL, 0, 3, 100).await, [2, 3]);
}

/// Whatever a crash took of it, projecting what comes behind `projected_through` makes it whole.
pub(crate) async fn it_catches_up_from_behind<B: Backend>() {
    let backend: B = with_units().await;
    let versions: Vec<_> = (1..=30)
        .map(|seq| version(&format!("r{}", seq % 10), seq))
        .collect();
    let upto = |n: usize| &versions[..n];
    backend.store().project(ods(HILL), upto(10), 10).await.unwrap();
    backend
        .store()
        .project(ods(HILL), &versions[10..25], 25)
        .await
        .unwrap();
    let backend = backend.reopen().await;
    let through = backend.store().projected_through(ods(HILL)).await.unwrap();
    assert!(through <= 25);
    let missing = &versions[usize::try_from(through).unwrap()..];
    backend.store().project(ods(HILL), missing, 30).await.unwrap();
    assert_eq!(
        current(backend.store(), HILL).await,
        (21..=30).collect::<Vec<u64>>()
    );
}

pub(crate) async fn it_never_goes_back<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let versions = [version("a", 8), retraction("b", 9), version("c", 10)];
    store.project(ods(HILL), &versions, 10).await.unwrap();
    store
        .project(ods(HILL), &[version("a", 3), version("b", 4), version("d", 5)], 5)
        .await
        .unwrap();
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 10);
    store.project(ods(HILL), &versions, 10).await.unwrap();
    store
        .project(ods(HILL), &[version("a", 8), version("b", 4)], 11)
        .await
        .unwrap();
    assert_eq!(current(store, HILL).await, [8, 10]);
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 11);
}

pub(crate) async fn many_records_are_projected<B: Backend>() {
    const RECORDS: u64 = 5_000;
    let backend: B = with_units().await;
    let store = backend.store();
    let versions: Vec<_> = (1..=RECORDS)
        .map(|seq| version(&format!("r{seq}"), seq))
        .collect();
    store.project(ods(HILL), &versions, RECORDS).await.unwrap();
    let again: Vec<_> = (1..=RECORDS / 2)
        .map(|n| version(&format!("r{n}"), RECORDS + n))
        .collect();
    store
        .project(ods(HILL), &again, RECORDS + RECORDS / 2)
        .await
        .unwrap();
    let mut after = 0;
    let mut found = Vec::new();
    loop {
        let page = seqs(store, HILL, after, u64::MAX / 2, 700).await;
        let Some(last) = page.last() else { break };
        after = *last;
        found.extend(page);
    }
    assert_eq!(
        found,
        (RECORDS / 2 + 1..=RECORDS + RECORDS / 2).collect::<Vec<u64>>()
    );
}

pub(crate) async fn sources_do_not_mix<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    store
        .project(ods(HILL), &[version("1", 1), version("2", 2)], 2)
        .await
        .unwrap();
    store
        .project(ods(VALE), &[version("1", 1), retraction("2", 2)], 2)
        .await
        .unwrap();
    store.project(ods(VALE), &[version("1", 3)], 3).await.unwrap();
    assert_eq!(current(store, HILL).await, [1, 2]);
    assert_eq!(current(store, VALE).await, [3]);
    assert!(current(store, WARD).await.is_empty());
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 2);
}
