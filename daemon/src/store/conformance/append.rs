//! Promises of `append` and `heads`.

use handfast_proto::chain::Chain;

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, VALE, WARD, assert_fails, assert_log, cursor, group, head, join, joined, ods, pair,
        publish, rechained, register, store_id, with_units,
    },
};
use crate::{
    consent::GrantId,
    store::{CursorMove, Store, StoreError},
};

pub(crate) async fn a_group_is_kept_whole<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (mut hill, mut vale) = (Outbox::new(HILL), Outbox::new(VALE));
    let first = [hill.batch(3, 50), hill.batch(64, 1024)];
    let second = [vale.batch(1, 1)];
    store
        .append(&group([first.as_slice(), second.as_slice()].concat()))
        .await
        .unwrap();
    let third = hill.batch(2, 10);
    store.append(&group(vec![third.clone()])).await.unwrap();

    assert_log(store, HILL, &[first[0].clone(), first[1].clone(), third.clone()]).await;
    assert_log(store, VALE, &second).await;
    let heads = store.heads().await.unwrap();
    let of = |code| {
        heads
            .iter()
            .find(|(unit, _)| *unit == ods(code))
            .map(|(_, head)| *head)
            .unwrap()
    };
    assert_eq!((of(HILL).seq, of(HILL).chain), (69, Some(third.chain_after)));
    assert_eq!((of(VALE).seq, of(VALE).store), (1, Some(store_id(7))));
    assert_eq!((of(WARD).seq, of(WARD).chain, of(WARD).store), (0, None, None));
}

pub(crate) async fn a_group_is_durable<B: Backend>() {
    let backend: B = with_units().await;
    let mut hill = Outbox::new(HILL);
    let batches = [hill.batch(5, 100), hill.batch(5, 100)];
    for batch in &batches {
        backend.store().append(&group(vec![batch.clone()])).await.unwrap();
    }
    let heads = backend.store().heads().await.unwrap();
    let backend = backend.reopen().await;
    assert_eq!(backend.store().heads().await.unwrap(), heads);
    assert_log(backend.store(), HILL, &batches).await;
    publish(backend.store(), &mut hill, 1).await;
}

pub(crate) async fn an_empty_group_changes_nothing<B: Backend>() {
    let backend: B = with_units().await;
    let heads = backend.store().heads().await.unwrap();
    backend.store().append(&group(Vec::new())).await.unwrap();
    assert_eq!(backend.store().heads().await.unwrap(), heads);
}

pub(crate) async fn what_does_not_follow_the_head_is_a_conflict<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let first = hill.batch(2, 10);
    store.append(&group(vec![first.clone()])).await.unwrap();
    let heads = store.heads().await.unwrap();

    let second = hill.batch(2, 10);
    let third = hill.batch(2, 10);
    let strange = Chain::start(store_id(99));
    let mut unknown = Outbox::new("Z99999");
    for wrong in [
        vec![first.clone()],
        vec![third.clone()],
        vec![second.clone(), second.clone()],
        vec![third.clone(), second.clone()],
        vec![rechained(&second, Some(strange), second.chain_after)],
        vec![rechained(&second, None, second.chain_after)],
        vec![
            second.clone(),
            rechained(&third, Some(strange), third.chain_after),
        ],
        vec![second.clone(), rechained(&third, None, third.chain_after)],
        vec![unknown.batch(1, 10)],
    ] {
        assert_fails!(store.append(&group(wrong)).await, StoreError::Conflict(_));
        assert_eq!(store.heads().await.unwrap(), heads, "nothing was kept");
    }
    store
        .append(&group(vec![second.clone(), third.clone()]))
        .await
        .unwrap();
    assert_log(store, HILL, &[first, second, third]).await;
}

pub(crate) async fn the_first_batch_may_name_any_chain<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (mut hill, mut vale) = (Outbox::new(HILL), Outbox::new(VALE));
    let (first, other) = (hill.batch(2, 10), vale.batch(2, 10));
    let without = rechained(&first, None, first.chain_after);
    let strange = rechained(&other, Some(Chain::start(store_id(99))), other.chain_after);
    store
        .append(&group(vec![without, hill.batch(1, 10), strange]))
        .await
        .unwrap();
    assert_eq!((head(store, HILL).await, head(store, VALE).await), (3, 2));
    publish(store, &mut hill, 1).await;
    // But it begins at 1.
    let mut ward = Outbox::new(WARD);
    ward.batch(1, 10);
    assert_fails!(
        store.append(&group(vec![ward.batch(1, 10)])).await,
        StoreError::Conflict(_)
    );
}

pub(crate) async fn one_bad_batch_keeps_nothing_of_its_group<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let (mut hill, mut vale) = (Outbox::new(HILL), Outbox::new(VALE));
    publish(store, &mut hill, 5).await;
    let good = [hill.batch(3, 100), hill.batch(3, 100)];
    vale.batch(1, 100);
    let mut bad = group([good.to_vec(), vec![vale.batch(1, 100)]].concat());
    bad.cursors.push(CursorMove {
        pair: pair(HILL, WARD),
        grant,
        seq: 5,
    });
    assert_fails!(store.append(&bad).await, StoreError::Conflict(_));
    assert_eq!((head(store, HILL).await, head(store, VALE).await), (5, 0));
    assert_eq!(cursor(store, pair(HILL, WARD)).await, Some(0));
    assert!(store.read_log(ods(HILL), 5, usize::MAX).await.unwrap().is_empty());
    store.append(&group(good.to_vec())).await.unwrap();
    assert_eq!(head(store, HILL).await, 11);
}

pub(crate) async fn a_group_takes_many_sources<B: Backend>() {
    const SOURCES: usize = 60;
    let backend: B = with_units().await;
    let store = backend.store();
    let codes: Vec<String> = (0..SOURCES).map(|n| format!("Y{n:05}")).collect();
    for code in &codes {
        register(store, code).await.unwrap();
    }
    let mut outboxes: Vec<Outbox> = codes.iter().map(|code| Outbox::new(code)).collect();
    let mut kept = vec![Vec::new(); SOURCES];
    for round in 1..=3 {
        let mut batches = Vec::new();
        for (outbox, kept) in outboxes.iter_mut().zip(&mut kept) {
            for _ in 0..round {
                let batch = outbox.batch(2, 30);
                kept.push(batch.clone());
                batches.push(batch);
            }
        }
        store.append(&group(batches)).await.unwrap();
    }
    for (code, batches) in codes.iter().zip(&kept) {
        assert_eq!(head(store, code).await, 12);
        assert_log(store, code, batches).await;
    }
}

pub(crate) async fn a_group_takes_hundreds_of_batches<B: Backend>() {
    let backend: B = with_units().await;
    let mut hill = Outbox::new(HILL);
    let batches: Vec<_> = (0..301).map(|_| hill.batch(4, 200)).collect();
    backend.store().append(&group(batches.clone())).await.unwrap();
    assert_log(backend.store(), HILL, &batches).await;
}

pub(crate) async fn another_outbox_goes_on_from_the_head<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    publish(store, &mut hill, 3).await;
    let mut again = hill.reinstalled(8);
    publish(store, &mut again, 2).await;
    let heads = store.heads().await.unwrap();
    let head = heads.iter().find(|(unit, _)| *unit == ods(HILL)).unwrap().1;
    assert_eq!((head.seq, head.store), (5, Some(store_id(8))));
    assert_fails!(
        store.append(&group(vec![hill.batch(1, 10)])).await,
        StoreError::Conflict(_)
    );
}

pub(crate) async fn large_bodies_are_kept<B: Backend>() {
    const LARGE_BYTES: usize = 16 * 1024 * 1024;
    let backend: B = with_units().await;
    let mut hill = Outbox::new(HILL);
    let batches = [
        hill.batch(1, 10),
        hill.batch(1, LARGE_BYTES),
        hill.batch(1, 10),
        hill.batch(1, LARGE_BYTES),
        hill.batch(1, LARGE_BYTES),
    ];
    backend.store().append(&group(batches.to_vec())).await.unwrap();
    assert_log(backend.store(), HILL, &batches).await;
    let backend = backend.reopen().await;
    assert_log(backend.store(), HILL, &batches).await;
    let small_large_small = backend
        .store()
        .read_log(ods(HILL), 0, LARGE_BYTES + 4096)
        .await
        .unwrap();
    assert_eq!(small_large_small.len(), 3);
}

pub(crate) async fn numbers_that_cannot_be_are_refused<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let grant = join(store, pair(HILL, WARD)).await;
    let mut hill = Outbox::new(HILL);
    let mut wrong = group(vec![hill.batch(1, 10)]);
    wrong.cursors.push(CursorMove {
        pair: pair(HILL, WARD),
        grant,
        seq: u64::MAX,
    });
    assert_fails!(store.append(&wrong).await, StoreError::Conflict(_));
    assert_eq!(head(store, HILL).await, 0);
}
