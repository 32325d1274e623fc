//! What previewing and setting the policy do, and what scopes, reviews and suspensions show.

use std::sync::atomic::Ordering;

use handfast_proto::{
    amendment::Category,
    v1::{ConsentManner, PatientWordValue},
};
use jiff::civil::date;

use super::{
    ActError, Agreements, DayChange, NoticeKind, PatientConsents, PolicyDesk, SaidWords, ScopeChange,
    SetHalf, StatusBoard, Units,
    testing::{World, half, join, ods, pair, patient},
};
use crate::consent::{CategorySet, Patients, Policy, Side};

#[tokio::test]
async fn a_preview_of_the_policy_counts_pair_by_pair_what_it_would_end() {
    let world = World::new().await;
    world.records("Z00101", patient(0), Category::Problems, 2).await;
    world.records("Z00101", patient(1), Category::Problems, 3).await;
    join(&world).await;
    let yes = SaidWords {
        patients: vec![patient(0)],
        share_out: Some(PatientWordValue::Yes),
        share_in: None,
        said_on: String::new(),
        manner: ConsentManner::Written,
        taken_by: String::new(),
    };
    let consents = PatientConsents::new(world.ctx.clone());
    consents
        .record(&world.caller("cleo").await, None, yes.clone())
        .await
        .unwrap();
    let into = SaidWords {
        share_in: yes.share_out,
        share_out: None,
        ..yes
    };
    consents
        .record(&world.caller("cat").await, None, into)
        .await
        .unwrap();

    let desk = PolicyDesk::new(world.ctx.clone());
    let op = world.caller("op").await;
    let (pairs, next) = desk.preview(&op, Policy::Explicit, None).await.unwrap();
    assert_eq!(next, None);
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].pair, pair("Z00101", "Z00202"));
    assert_eq!((pairs[0].ends.all.patients, pairs[0].ends.all.records), (1, 3));
    assert_eq!(pairs[0].begins.all.records, 0);
    let (same, _) = desk.preview(&op, Policy::UnlessDissented, None).await.unwrap();
    assert_eq!(same, []);
    let (beyond, _) = desk
        .preview(&op, Policy::Explicit, Some(ods("Z00101")))
        .await
        .unwrap();
    assert_eq!(beyond, []);

    world.revoker.pending.store(true, Ordering::Relaxed);
    let silent = desk.set(&op, Policy::Explicit, " ").await;
    assert!(matches!(silent, Err(ActError::Invalid { field: "reason", .. })));
    assert!(
        !desk
            .set(&op, Policy::Explicit, "the board decided")
            .await
            .unwrap()
            .in_force
    );
    assert_eq!(desk.get(&op).policy, Policy::Explicit);
    let (back, _) = desk.preview(&op, Policy::UnlessDissented, None).await.unwrap();
    assert_eq!((back[0].begins.all.records, back[0].ends.all.records), (3, 0));
}

fn scoped(side: Side, scope: ScopeChange) -> SetHalf {
    SetHalf {
        scope,
        ..half("Z00101", "Z00202", side, true)
    }
}

#[tokio::test]
async fn a_half_that_is_turned_on_again_is_as_narrow_as_before() {
    let world = World::made(|deployment| deployment.default_patients = Patients::Caseload).await;
    let agreements = Agreements::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let only = CategorySet::NONE.with(Category::Problems);
    let narrow = ScopeChange {
        categories: Some(only),
        explicit: Some(true),
        reference: Some(" DSA-12 ".to_owned()),
        ..ScopeChange::default()
    };
    let first = agreements
        .set(&ann, scoped(Side::ShareOut, narrow.clone()))
        .await
        .unwrap();
    let scope = first.agreement.row.share_out.scope;
    assert_eq!(
        (scope.categories, scope.patients, scope.explicit),
        (only, Patients::Caseload, true)
    );
    assert_eq!(scope.reference, "DSA-12");
    let off = half("Z00101", "Z00202", Side::ShareOut, false);
    let off = agreements.set(&ann, off).await.unwrap();
    assert_eq!(off.agreement.row.share_out.scope, scope);
    let on = agreements
        .set(&ann, half("Z00101", "Z00202", Side::ShareOut, true))
        .await
        .unwrap();
    assert_eq!(on.agreement.row.share_out.scope, scope);
    let both = SetHalf {
        on: false,
        ..scoped(Side::ShareOut, narrow)
    };
    let refused = agreements.set(&ann, both).await;
    assert!(
        matches!(refused, Err(ActError::Invalid { field: "scope", .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_review_that_is_due_shows_wherever_the_pair_does() {
    let world = World::new().await;
    let agreements = Agreements::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let review = ScopeChange {
        review_on: DayChange::On(date(2026, 12, 1)),
        ..ScopeChange::default()
    };
    let set = agreements
        .set(&ann, scoped(Side::ShareOut, review))
        .await
        .unwrap();
    assert_eq!(set.agreement.notices[0].kind, NoticeKind::ReviewSoon);
    world.clock.advance(20 * 24 * 3_600_000);
    let bob = world.caller("bob").await;
    let listed = agreements.list(&bob, None).await.unwrap();
    assert_eq!(listed[0].notices[0].kind, NoticeKind::ReviewOverdue);
    let board = StatusBoard::new(world.ctx.clone());
    let status = board.status(&bob).await.unwrap();
    assert_eq!(status.pairs[0].notices[0].kind, NoticeKind::ReviewOverdue);
}

#[tokio::test]
async fn what_is_held_of_a_suspended_source_is_stale_and_withdrawn_where_that_is_asked_for() {
    let world = World::new().await;
    join(&world).await;
    let (units, agreements) = (Units::new(world.ctx.clone()), Agreements::new(world.ctx.clone()));
    let (op, bob) = (world.caller("op").await, world.caller("bob").await);
    units.suspend(&op, ods("Z00101"), "moving", false).await.unwrap();
    let board = StatusBoard::new(world.ctx.clone());
    assert!(board.status(&bob).await.unwrap().pairs[0].stale);
    let listed = agreements.list(&bob, None).await.unwrap();
    assert!(listed[0].stale && listed[0].row.share_out.on && listed[0].row.grant.is_some());

    world.revoker.pending.store(true, Ordering::Relaxed);
    assert!(
        !units
            .suspend(&op, ods("Z00101"), "moving", true)
            .await
            .unwrap()
            .in_force
    );
    let listed = agreements.list(&bob, None).await.unwrap();
    assert!(!listed[0].stale && listed[0].row.share_out.on && listed[0].row.share_in.on);
    assert!(listed[0].row.grant.is_none() && listed[0].row.withdrawal.is_some());
    world.revoker.pending.store(false, Ordering::Relaxed);
    assert!(
        units
            .suspend(&op, ods("Z00101"), "moving", true)
            .await
            .unwrap()
            .in_force,
        "asked again"
    );
    units.resume(&op, ods("Z00101")).await.unwrap();
    let listed = agreements.list(&bob, None).await.unwrap();
    assert!(listed[0].row.grant.is_some(), "and it comes back");
}
