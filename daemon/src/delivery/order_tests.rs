//! Jobs are taken up only once the book was swapped for them.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{doubt::Doubts, fence::Fence, ledger::Ledger, order::Order, subscriber::Subscriber, walk::Wire};
use crate::{consent::Book, store::JobId};

fn subscriber(fence: &Fence) -> Arc<Subscriber> {
    let recipient = "Z00202".parse().unwrap();
    let subscriber = Arc::new(Subscriber {
        recipient,
        store: handfast_proto::ids::StoreId::from_random([1; 16]),
        ledger: Ledger::new(recipient, 1, 100),
        connection: Arc::new(Wire::default()),
        wake: Arc::new(Notify::new()),
        stale: false.into(),
        waits_for_swap: false.into(),
        dropped: parking_lot::Mutex::default(),
        over: CancellationToken::new(),
    });
    fence.list(&subscriber);
    subscriber
}

#[tokio::test]
async fn a_job_of_a_change_that_is_under_way_waits_for_its_swap() {
    let fence = Arc::new(Fence::new(
        Book::default(),
        Doubts::new(&[], Vec::new()),
        Duration::from_millis(1),
    ));
    let subscriber = subscriber(&fence);
    let order = Order::new(Arc::clone(&fence));
    assert_eq!(fence.settled(JobId(3), &subscriber), JobId(3));
    let turn = order.turn().await;
    assert_eq!(
        fence.settled(JobId(4), &subscriber),
        JobId(3),
        "it may have committed"
    );
    assert!(!subscriber.take_stale());
    drop(turn);
    assert!(subscriber.take_stale(), "it reads again");
    assert_eq!(fence.settled(JobId(4), &subscriber), JobId(4));
    assert_eq!(
        fence.settled(JobId(2), &subscriber),
        JobId(4),
        "what was settled stays so"
    );
}
