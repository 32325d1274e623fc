//! What turning, listing and watching halves do beyond asking who may, and what the status shows.

use std::{
    pin::{Pin, pin},
    sync::atomic::Ordering,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::{
    ActError, AgreementView, Agreements, People, StatusBoard,
    testing::{World, half, join, ods, pair, pid},
};
use crate::{
    consent::{Reason, Side},
    delivery::{DeliveryStatus, PairCounts},
    store::WithdrawalState,
};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_half_that_is_turned_off_gives_its_receipt() {
    let world = World::new().await;
    let grant = join(&world).await;
    let agreements = Agreements::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    world.revoker.pending.store(true, Ordering::Relaxed);
    let off = half("Z00101", "Z00202", Side::ShareOut, false);
    let set = agreements.set(&ann, off).await.unwrap();
    assert!(!set.in_force, "pending is passed on");
    assert_eq!(set.receipt.unwrap().ended, grant);
    let withdrawal = set.agreement.row.withdrawal.unwrap();
    assert_eq!(
        (withdrawal.ended_grant, withdrawal.state),
        (grant, WithdrawalState::Pending)
    );
    let itself = agreements
        .set(&ann, half("Z00101", "Z00101", Side::ShareOut, true))
        .await;
    assert!(matches!(
        itself,
        Err(ActError::Invalid {
            field: "recipient",
            ..
        })
    ));
    let nowhere = agreements
        .set(&ann, half("Z00101", "Z99999", Side::ShareOut, true))
        .await;
    assert!(matches!(nowhere, Err(ActError::Missing(_))), "{nowhere:?}");
}

#[tokio::test]
async fn i1_a_list_holds_only_what_is_the_callers() {
    let world = World::new().await;
    join(&world).await;
    let agreements = Agreements::new(world.ctx.clone());
    let bob = world.caller("bob").await;
    agreements
        .set(&bob, half("Z00202", "Z00303", Side::ShareOut, true))
        .await
        .unwrap();
    let pairs = async |who: &str, unit: Option<&str>| {
        let rows = agreements
            .list(&world.caller(who).await, unit.map(ods))
            .await
            .unwrap();
        rows.iter().map(|a| a.row.pair).collect::<Vec<_>>()
    };
    let (first, second) = (pair("Z00101", "Z00202"), pair("Z00202", "Z00303"));
    assert_eq!(pairs("op", None).await, [first, second]);
    assert_eq!(pairs("op", Some("Z00303")).await, [second]);
    for who in ["ann", "cleo", "Z00101"] {
        assert_eq!(pairs(who, None).await, [first], "{who}");
        assert_eq!(pairs(who, Some("Z00202")).await, [first], "{who}");
        assert_eq!(pairs(who, Some("Z00303")).await, [], "{who}");
        assert_eq!(pairs(who, Some("Z99999")).await, [], "{who}");
    }
    let seen = agreements.list(&bob, Some(ods("Z00101"))).await.unwrap();
    let seen = &seen[0].row;
    assert_eq!((seen.share_out.set_by.as_str(), seen.share_out.on), ("", true));
    assert_eq!(seen.share_in.set_by, "person bob");
}

type Lists = Pin<Box<dyn Stream<Item = Result<Vec<AgreementView>, ActError>> + Send>>;

async fn next(lists: &mut Lists) -> Result<Vec<AgreementView>, ActError> {
    timeout(SOON, lists.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn i1_watchers_hear_of_their_own_changes_and_of_no_others() {
    let world = World::new().await;
    let agreements = Agreements::new(world.ctx.clone());
    let (ann, bob) = (world.caller("ann").await, world.caller("bob").await);
    let mut lists: Lists = Box::pin(agreements.watch(&ann, None));
    assert_eq!(next(&mut lists).await.unwrap(), []);
    agreements
        .set(&bob, half("Z00202", "Z00303", Side::ShareOut, true))
        .await
        .unwrap();
    assert!(timeout(A_WHILE, lists.next()).await.is_err(), "not hers");
    agreements
        .set(&bob, half("Z00101", "Z00202", Side::ShareIn, true))
        .await
        .unwrap();
    assert_eq!(next(&mut lists).await.unwrap().len(), 1);

    let people = People::new(world.ctx.clone());
    let op = world.caller("op").await;
    people.revoke(&op, pid("ann"), "left").await.unwrap();
    assert!(matches!(next(&mut lists).await, Err(ActError::Denied)));
    assert!(
        timeout(SOON, lists.next()).await.unwrap().is_none(),
        "and then it is over"
    );
}

#[tokio::test]
async fn an_act_runs_to_its_end_though_nobody_waits() {
    let world = World::new().await;
    let agreements = Agreements::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let mut changes = world.ctx.changes.subscribe();
    {
        let mut set = pin!(agreements.set(&ann, half("Z00101", "Z00202", Side::ShareOut, true)));
        let mut task = TaskContext::from_waker(Waker::noop());
        assert!(matches!(set.as_mut().poll(&mut task), Poll::Pending));
    }
    timeout(SOON, changes.changed()).await.unwrap().unwrap();
    let rows = world.ctx.store.agreements(None).await.unwrap();
    assert!(rows[0].share_out.on);
}

// === Status ===

#[tokio::test]
async fn i1_the_status_shows_each_their_own() {
    let world = World::new().await;
    let grant = join(&world).await;
    let counts = |source, recipient, grant| PairCounts {
        pair: pair(source, recipient),
        grant,
        cursor: 5,
        forwarded: 4,
        withheld: vec![(Reason::PrivateEntry, 3)],
    };
    *world.revoker.status.lock() = DeliveryStatus {
        publishing: vec![ods("Z00101")],
        subscribed: vec![ods("Z00202")],
        heads: vec![(ods("Z00101"), 9), (ods("Z00303"), 2)],
        pairs: vec![
            counts("Z00101", "Z00202", Some(grant)),
            counts("Z00303", "Z00202", None),
        ],
    };
    let board = StatusBoard::new(world.ctx.clone());
    let all = board.status(&world.caller("op").await).await.unwrap();
    assert_eq!(all.units.len(), 3);
    assert!(all.units[0].publishing && !all.units[0].subscribed && all.units[0].head == 9);
    assert_eq!(all.pairs.len(), 2);
    assert_eq!((all.pairs[0].forwarded, all.pairs[1].cursor), (4, 5));

    let source = board.status(&world.caller("cleo").await).await.unwrap();
    assert_eq!(source.units.len(), 1);
    assert_eq!(source.pairs.len(), 1);
    assert_eq!(source.pairs[0].withheld, [(Reason::PrivateEntry, 3)]);

    let recipient = board.status(&world.caller("Z00202").await).await.unwrap();
    assert_eq!(recipient.pairs.len(), 2);
    let granted = &recipient.pairs[0];
    assert_eq!((granted.forwarded, granted.head, granted.cursor), (0, 9, 5));
    assert!(granted.withheld.is_empty());
    let without = &recipient.pairs[1];
    assert_eq!((without.forwarded, without.head, without.cursor), (0, 0, 0));
}

#[tokio::test]
async fn a_grant_whose_recipient_never_came_stands_in_the_status() {
    let world = World::new().await;
    let grant = join(&world).await;
    let board = StatusBoard::new(world.ctx.clone());
    let status = board.status(&world.caller("op").await).await.unwrap();
    assert_eq!(status.pairs.len(), 1);
    assert_eq!(
        (status.pairs[0].grant, status.pairs[0].forwarded),
        (Some(grant), 0)
    );
}
