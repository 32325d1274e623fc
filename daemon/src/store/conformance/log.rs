//! Promises of `read_log`.

use super::{
    backend::Backend,
    kit::{HILL, Outbox, VALE, WARD, group, ods, publish, with_units},
};
use crate::store::{LogRow, Store};

fn seqs(rows: &[LogRow]) -> Vec<(u64, u64)> {
    rows.iter().map(|row| (row.first_seq, row.last_seq)).collect()
}

pub(crate) async fn reading_begins_with_the_batch_that_holds_the_next<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    for amendments in [3, 1, 4] {
        publish(store, &mut hill, amendments).await;
    }
    let all = [(1, 3), (4, 4), (5, 8)];
    for (after, from) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (7, 2), (8, 3), (100, 3)] {
        let rows = store.read_log(ods(HILL), after, usize::MAX).await.unwrap();
        assert_eq!(seqs(&rows), all[from..], "after {after}");
    }
}

pub(crate) async fn reading_stops_at_its_bound<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let batches: Vec<_> = (0..200).map(|_| hill.batch(1, 1000)).collect();
    let weight = batches[0].batch.weight();
    store.append(&group(batches)).await.unwrap();
    for (max_bytes, rows) in [
        (0, 1),
        (1, 1),
        (weight, 1),
        (weight + 1, 1),
        (weight * 50 + 50, 50),
    ] {
        let read = store.read_log(ods(HILL), 0, max_bytes).await.unwrap();
        assert!(
            read.len().abs_diff(rows) <= rows / 20,
            "{} rows for {max_bytes} bytes",
            read.len()
        );
        let bytes: usize = read.iter().map(|row| row.header.len() + row.body.len()).sum();
        assert!(read.len() == 1 || bytes <= max_bytes);
    }
    assert_eq!(store.read_log(ods(HILL), 0, usize::MAX).await.unwrap().len(), 200);
}

pub(crate) async fn reading_is_per_source<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (mut hill, mut vale) = (Outbox::new(HILL), Outbox::new(VALE));
    publish(store, &mut hill, 2).await;
    publish(store, &mut vale, 3).await;
    publish(store, &mut hill, 2).await;
    let hill = store.read_log(ods(HILL), 0, usize::MAX).await.unwrap();
    let vale = store.read_log(ods(VALE), 0, usize::MAX).await.unwrap();
    assert_eq!((seqs(&hill), seqs(&vale)), (vec![(1, 2), (3, 4)], vec![(1, 3)]));
    for none in [WARD, "Z99999"] {
        assert!(store.read_log(ods(none), 0, usize::MAX).await.unwrap().is_empty());
    }
}
