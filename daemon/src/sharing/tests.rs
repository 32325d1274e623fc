//! What the acts do beyond asking who may.

use std::{
    pin::{Pin, pin},
    sync::atomic::Ordering,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::{
    ActError, AddPerson, Agreements, Caller, People, SetHalf, StatusBoard, Units,
    testing::{LIFETIME_MS, World, ods, pair, pid},
};
use crate::{
    consent::{GrantId, Reason, Side},
    delivery::{DeliveryStatus, PairCounts},
    store::{AgreementRow, Role, UnitKind, UnitState, WithdrawalState},
};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(300);

fn half(source: &str, recipient: &str, side: Side, on: bool) -> SetHalf {
    SetHalf {
        pair: pair(source, recipient),
        side,
        on,
        reason: "agreed".to_owned(),
    }
}

fn new_person(unit: &str, role: Role) -> AddPerson {
    AddPerson {
        name: "  Zoë O'Hara ".to_owned(),
        unit: Some(ods(unit)),
        role,
    }
}

/// Both halves of Z00101 → Z00202, by their administrators.
async fn join(world: &World) -> GrantId {
    let agreements = Agreements::new(world.ctx.clone());
    let (ann, bob) = (world.caller("ann").await, world.caller("bob").await);
    let out = half("Z00101", "Z00202", Side::ShareOut, true);
    agreements.set(&ann, out).await.unwrap();
    let into = half("Z00101", "Z00202", Side::ShareIn, true);
    let set = agreements.set(&bob, into).await.unwrap();
    set.outcome.started.unwrap()
}

// === Units and people ===

#[tokio::test]
async fn a_unit_without_an_administrator_is_the_operators_to_staff_and_then_not() {
    let world = World::new().await;
    let (units, people) = (Units::new(world.ctx.clone()), People::new(world.ctx.clone()));
    let op = world.caller("op").await;
    let (row, secret) = units
        .register(&op, ods("Z00404"), "New", UnitKind::Hospice)
        .await
        .unwrap();
    assert!(!row.has_administrator && row.state == UnitState::Enrolled);
    assert_eq!(secret.token.ca_fingerprint(), &[7; 32]);
    let again = units.register(&op, ods("Z00404"), "New", UnitKind::Hospice).await;
    assert!(matches!(again, Err(ActError::Exists("unit"))));

    people
        .add(&op, new_person("Z00404", Role::UnitAdmin))
        .await
        .unwrap();
    let second = people.add(&op, new_person("Z00404", Role::Clinician)).await;
    assert!(matches!(second, Err(ActError::Refused(_))), "{second:?}");
    assert!(matches!(
        units.create_token(&op, ods("Z00404")).await,
        Err(ActError::Refused(_))
    ));

    // Whoever never used the token is no administrator any more once it has expired.
    world.clock.advance(LIFETIME_MS);
    units.create_token(&op, ods("Z00404")).await.unwrap();
    people
        .add(&op, new_person("Z00404", Role::UnitAdmin))
        .await
        .unwrap();
}

#[tokio::test]
async fn ids_are_readable_and_never_twice_the_same() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let (one, _) = people
        .add(&ann, new_person("Z00101", Role::Clinician))
        .await
        .unwrap();
    let (two, _) = people
        .add(&ann, new_person("Z00101", Role::Clinician))
        .await
        .unwrap();
    assert!(one.id.as_str().starts_with("zo-o-hara-"), "{}", one.id);
    assert_eq!(one.name, "Zoë O'Hara");
    assert_ne!(one.id, two.id);
}

#[tokio::test]
async fn there_is_always_an_operator() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let op = world.caller("op").await;
    let last = people.revoke(&op, pid("op"), "left").await;
    assert!(matches!(last, Err(ActError::Conflict(_))), "{last:?}");
    world.person("eve", None, Role::Operator).await;
    let eve = world.caller("eve").await;
    // Each revokes the other at the same moment: one of them stays.
    let (one, two) = tokio::join!(
        people.revoke(&op, pid("eve"), "left"),
        people.revoke(&eve, pid("op"), "left")
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let left = people.list(&op, None).await.unwrap();
    let operators = left.iter().filter(|p| p.role == Role::Operator && !p.revoked);
    assert_eq!(operators.count(), 1);
}

#[tokio::test]
async fn the_last_administrator_keeps_the_role() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let down = people.set_role(&ann, pid("ann"), Role::Auditor).await;
    assert!(matches!(down, Err(ActError::Conflict(_))), "{down:?}");
    assert!(matches!(
        people.revoke(&ann, pid("ann"), "").await,
        Err(ActError::Conflict(_))
    ));
    people.set_role(&ann, pid("cleo"), Role::UnitAdmin).await.unwrap();
    let row = people.set_role(&ann, pid("ann"), Role::Auditor).await.unwrap();
    assert_eq!(row.role, Role::Auditor);
    // With the role goes what it allowed, at once.
    let ann = world.caller("ann").await;
    assert!(matches!(
        people.revoke(&ann, pid("pam"), "").await,
        Err(ActError::Denied)
    ));
}

#[tokio::test]
async fn a_role_stays_within_its_unit() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let (op, ann) = (world.caller("op").await, world.caller("ann").await);
    let up = people.set_role(&ann, pid("cleo"), Role::Operator).await;
    assert!(matches!(up, Err(ActError::Invalid { field: "role", .. })));
    let down = people.set_role(&op, pid("op"), Role::Clinician).await;
    assert!(matches!(down, Err(ActError::Invalid { field: "id", .. })));
    let mut nowhere = new_person("Z00101", Role::Clinician);
    nowhere.unit = None;
    let nowhere = people.add(&ann, nowhere).await;
    assert!(matches!(nowhere, Err(ActError::Invalid { field: "unit", .. })));
    let both = people.add(&op, new_person("Z00101", Role::Operator)).await;
    assert!(matches!(both, Err(ActError::Invalid { field: "unit", .. })));
}

#[tokio::test]
async fn the_operator_recovers_a_unit_with_a_reason() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let op = world.caller("op").await;
    let silent = people.revoke(&op, pid("bob"), " ").await;
    assert!(matches!(silent, Err(ActError::Invalid { field: "reason", .. })));
    assert!(
        people
            .revoke(&op, pid("bob"), "lost the key")
            .await
            .unwrap()
            .revoked
    );
    people
        .add(&op, new_person("Z00202", Role::UnitAdmin))
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_is_revoked_is_cut_off_at_once() {
    let world = World::new().await;
    let (units, people) = (Units::new(world.ctx.clone()), People::new(world.ctx.clone()));
    let (op, ann) = (world.caller("op").await, world.caller("ann").await);
    people.revoke(&ann, pid("cleo"), "").await.unwrap();
    assert!(
        people.revoke(&ann, pid("cleo"), "").await.unwrap().revoked,
        "again is harmless"
    );
    assert_eq!(*world.closed.0.lock(), ["person cleo"]);
    let holder = handfast_proto::ids::Holder::Person(pid("cleo"));
    let found = Caller::resolve(&holder, &*world.ctx.store, 0).await.unwrap();
    assert_eq!(found, None);

    units.retire(&op, ods("Z00202"), "closed").await.unwrap();
    assert_eq!(world.closed.0.lock()[1..], ["unit Z00202", "person bob"]);
    let holder = handfast_proto::ids::Holder::Person(pid("bob"));
    assert_eq!(
        Caller::resolve(&holder, &*world.ctx.store, 0).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn retiring_again_asks_again() {
    let world = World::new().await;
    join(&world).await;
    let units = Units::new(world.ctx.clone());
    let op = world.caller("op").await;
    assert!(matches!(
        units.retire(&op, ods("Z00101"), "").await,
        Err(ActError::Invalid { .. })
    ));
    world.revoker.pending.store(true, Ordering::Relaxed);
    let first = units.retire(&op, ods("Z00101"), "closed").await.unwrap();
    assert!(!first.in_force);
    assert_eq!(first.outcome.ended.len(), 1);
    assert!(!units.retire(&op, ods("Z00101"), "closed").await.unwrap().in_force);
    world.revoker.pending.store(false, Ordering::Relaxed);
    assert!(units.retire(&op, ods("Z00101"), "closed").await.unwrap().in_force);
    let back = units.resume(&op, ods("Z00101")).await;
    assert!(matches!(back, Err(ActError::Conflict(_))), "{back:?}");
}

#[tokio::test]
async fn texts_are_bounded() {
    let world = World::new().await;
    let units = Units::new(world.ctx.clone());
    let op = world.caller("op").await;
    for name in ["", " \t", &"x".repeat(201), "two\nlines"] {
        let made = units.register(&op, ods("Z00404"), name, UnitKind::Gp).await;
        assert!(
            matches!(made, Err(ActError::Invalid { field: "name", .. })),
            "{name:?}"
        );
    }
    let kind = units
        .register(&op, ods("Z00404"), "New", UnitKind::Unspecified)
        .await;
    assert!(matches!(kind, Err(ActError::Invalid { field: "kind", .. })));
    let reason = units.suspend(&op, ods("Z00101"), &"x".repeat(201)).await;
    assert!(matches!(reason, Err(ActError::Invalid { field: "reason", .. })));
}

// === Agreements ===

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
    let withdrawal = set.outcome.agreement.withdrawal.unwrap();
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
        rows.iter().map(|a| a.pair).collect::<Vec<_>>()
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
    assert_eq!(
        (seen[0].share_out.set_by.as_str(), seen[0].share_out.on),
        ("", true)
    );
    assert_eq!(seen[0].share_in.set_by, "person bob");
}

type Lists = Pin<Box<dyn Stream<Item = Result<Vec<AgreementRow>, ActError>> + Send>>;

async fn next(lists: &mut Lists) -> Result<Vec<AgreementRow>, ActError> {
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
