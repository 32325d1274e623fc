//! What a receipt says of a grant that an earlier process served.
//!
//! Detects (S1): a receipt that says less than what may have left before the process began.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::ManualClock,
    consent::{Pair, Side},
    delivery::{
        Delivery, Revoker as _,
        walk::{data_path, make_deployment},
    },
    store::{
        AppendGroup, HalfChange, ReachMove, SqliteStore, Store as _,
        conformance::kit::{HILL, Outbox, group, join, publish},
    },
};

const NOW: i64 = 1_000;

/// What the source has.
const HEAD: u64 = 9;

fn pair() -> Pair {
    Pair {
        source: HILL.parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

/// What may have been received, where a process that reached so far has ended and the next ends the grant.
async fn may_have_received(reach: u64) -> Option<(u64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    make_deployment(dir.path()).await;
    let store = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
    let grant = join(&*store, pair()).await;
    publish(&*store, &mut Outbox::new(HILL), HEAD).await;
    let reached = AppendGroup {
        reaches: vec![ReachMove {
            grant,
            job: None,
            from: 0,
            upto: reach,
        }],
        ..group(Vec::new())
    };
    store.append(&reached).await.unwrap();

    let clock = Arc::new(ManualClock::at(NOW));
    let made = data_path(&store, clock, Duration::from_millis(1)).await;
    let delivery = Delivery::start(made.parts).await.unwrap();
    let off = HalfChange {
        pair: pair(),
        side: Side::ShareOut,
        on: false,
        by: "a test".to_owned(),
        reason: String::new(),
        scope: None,
        at: NOW,
    };
    let ended = delivery.set_half(off, Vec::new()).await.unwrap();
    let receipt = ended.receipt.unwrap();
    assert_eq!((receipt.ended, receipt.received_through), (grant, 0));
    receipt.may_have_received
}

#[tokio::test]
async fn a_receipt_after_a_start_says_how_far_the_stream_may_have_been_before_it() {
    assert_eq!(may_have_received(0).await, None);
    assert_eq!(may_have_received(5).await, Some((1, 5)));
    assert_eq!(may_have_received(HEAD + 100).await, Some((1, HEAD)));
}
