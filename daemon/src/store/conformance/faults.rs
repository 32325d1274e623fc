//! Promises that hold when something goes wrong: a full disk, a caller that is gone.
//!
//! Faults: no room for one more page; a future that is dropped at any of its waits. Not here: power cuts
//! and kills, which need a process and a disk of their own.

use std::{future::Future, pin::pin, time::Duration};

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, T0, VALE, WARD, assert_fails, assert_log, deployment, group, head, joined, ods, pair,
        publish, turn, with_units,
    },
};
use crate::{
    consent::{GrantId, Side},
    store::{Store, StoreError},
};

pub(crate) async fn the_deployment_is_kept<B: Backend>() {
    let backend: B = with_units().await;
    assert_eq!(backend.store().deployment().await.unwrap(), deployment());
    backend.store().touch(T0 + 1).await.unwrap();
    let backend = backend.reopen().await;
    assert_eq!(backend.store().deployment().await.unwrap(), deployment());
}

pub(crate) async fn a_full_store_keeps_nothing_and_recovers<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let first = hill.batch(64, 1024);
    store.append(&group(vec![first.clone()])).await.unwrap();
    backend.fill().await;
    let later: Vec<_> = (0..80).map(|_| hill.batch(64, 1024)).collect();
    for _ in 0..3 {
        assert_fails!(store.append(&group(later.clone())).await, StoreError::Full);
        assert_eq!(head(store, HILL).await, 64);
        assert_log(store, HILL, std::slice::from_ref(&first)).await;
        assert_eq!(
            store.agreements(None).await.unwrap()[0].grant,
            Some(grant),
            "it still reads"
        );
    }
    backend.relieve().await;
    store.append(&group(later.clone())).await.unwrap();
    turn(store, pair(HILL, WARD), Side::ShareIn, false).await.unwrap();
    let backend = backend.reopen().await;
    assert_log(backend.store(), HILL, &[vec![first], later].concat()).await;
    assert_eq!(backend.store().agreements(None).await.unwrap()[0].grant, None);
}

/// Lets a future run until it has waited `waits` times, then drops it. Whether it was done by then.
async fn drop_after<F: Future>(waits: u32, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..waits {
        let turn = tokio::time::timeout(Duration::from_micros(200), future.as_mut()).await;
        if turn.is_ok() {
            return true;
        }
    }
    false
}

pub(crate) async fn a_write_that_is_dropped_is_kept_whole_or_not_at_all<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let mut kept = Vec::new();
    let mut dropped = 0;
    for round in 0..40 {
        let before = hill.clone();
        let batches: Vec<_> = (0..12).map(|_| hill.batch(8, 1024)).collect();
        let done = drop_after(round % 20, store.append(&group(batches.clone()))).await;
        dropped += u32::from(!done);
        // The next write finds the store in order, and all of the last or nothing of it.
        store.touch(T0 + i64::from(round)).await.unwrap();
        let head = head(store, HILL).await;
        if head == batches[11].batch.last_seq() {
            kept.extend(batches);
        } else {
            assert!(!done && head + 1 == batches[0].batch.first_seq(), "nothing of it");
            hill = before;
        }
    }
    assert!(dropped > 0, "some were dropped half-way");
    assert_log(store, HILL, &kept).await;
    for round in 0..20 {
        drop_after(
            round,
            turn(store, pair(HILL, WARD), Side::ShareOut, round % 2 == 0),
        )
        .await;
        drop_after(round, store.read_log(ods(HILL), 0, usize::MAX)).await;
    }
    turn(store, pair(HILL, WARD), Side::ShareOut, true).await.unwrap();
    publish(store, &mut hill, 3).await;
}

pub(crate) async fn writers_and_readers_do_not_wait_for_one_another<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let write = async |code| {
        let mut outbox = Outbox::new(code);
        for _ in 0..30 {
            store
                .append(&group(vec![outbox.batch(8, 512), outbox.batch(8, 512)]))
                .await
                .unwrap();
        }
    };
    let read = async || {
        let mut seen = 0;
        while seen < 480 {
            let rows = store.read_log(ods(HILL), seen, 64 * 1024).await.unwrap();
            for row in &rows {
                assert_eq!(row.first_seq, seen + 1, "in order and without a gap");
                seen = row.last_seq;
            }
            tokio::task::yield_now().await;
        }
    };
    let turn_often = async || {
        for n in 0..30 {
            turn(store, pair(VALE, WARD), Side::ShareOut, n % 2 == 0)
                .await
                .unwrap();
        }
    };
    tokio::join!(
        write(HILL),
        write(VALE),
        read(),
        read(),
        read(),
        read(),
        read(),
        turn_often()
    );
    assert_eq!((head(store, HILL).await, head(store, VALE).await), (480, 480));
}
