//! What is counted as withheld from a pair whose grant has ended, by the process that ended it and by the next.
//!
//! Detects: what came while the grant was in force, or before it, counted as withheld since it ended.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    clock::ManualClock,
    consent::{Pair, Reason, Side},
    delivery::{
        Delivery, Revoker as _,
        walk::{data_path, make_deployment},
    },
    store::{
        HalfChange, SqliteStore,
        conformance::kit::{HILL, Outbox, publish},
    },
};

const NOW: i64 = 1_000;

fn pair() -> Pair {
    Pair {
        source: HILL.parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

async fn open(dir: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(dir).await.unwrap())
}

async fn start(store: &Arc<SqliteStore>) -> Delivery {
    let clock = Arc::new(ManualClock::at(NOW));
    let made = data_path(store, clock, Duration::from_millis(1)).await;
    Delivery::start(made.parts).await.unwrap()
}

async fn turn(delivery: &Delivery, side: Side, on: bool) {
    let change = HalfChange {
        pair: pair(),
        side,
        on,
        by: "a test".to_owned(),
        reason: String::new(),
        scope: None,
        at: NOW,
    };
    delivery.set_half(change, Vec::new()).await.unwrap();
}

/// What is withheld, and why.
fn withheld(delivery: &Delivery) -> Vec<(Reason, u64)> {
    let status = delivery.status();
    let counts = status.pairs.iter().find(|counts| counts.pair == pair());
    let all = counts.unwrap().withheld.iter().copied();
    all.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn only_what_came_since_a_grant_ended_is_withheld_whoever_counts() {
    let dir = tempfile::tempdir().unwrap();
    make_deployment(dir.path()).await;
    let mut outbox = Outbox::new(HILL);
    let store = open(dir.path()).await;
    publish(&*store, &mut outbox, 4).await;
    let delivery = start(&store).await;
    turn(&delivery, Side::ShareOut, true).await;
    assert_eq!(
        withheld(&delivery),
        [(Reason::ShareInOff, 4)],
        "there never was one"
    );
    turn(&delivery, Side::ShareIn, true).await;
    turn(&delivery, Side::ShareIn, false).await;
    assert_eq!(withheld(&delivery), [], "nothing came since");
    drop(delivery);
    publish(&*store, &mut outbox, 3).await;
    drop(store);

    let store = open(dir.path()).await;
    let delivery = start(&store).await;
    assert_eq!(withheld(&delivery), [(Reason::ShareInOff, 3)]);
    turn(&delivery, Side::ShareOut, false).await;
    assert_eq!(withheld(&delivery), [(Reason::ShareOutOff, 3)]);
}
