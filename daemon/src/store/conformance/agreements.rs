//! Promises about halves, grants and what starts and ends with them.

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, T0, VALE, WARD, assert_fails, catch_up, cursor, group, jobs, join, ods, pair, part,
        publish, turn, unit_change, with_units,
    },
};
use crate::{
    consent::{GrantId, Side},
    store::{
        AppendGroup, CursorMove, HalfChange, HalfRow, JobKind, Store, StoreError, UnitState, With,
        WithdrawalState,
    },
};

pub(crate) async fn one_half_alone_starts_nothing<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    assert!(store.agreements(None).await.unwrap().is_empty());
    for (to, side) in [(VALE, Side::ShareOut), (WARD, Side::ShareIn)] {
        let outcome = turn(store, pair(HILL, to), side, true).await.unwrap();
        let agreement = outcome.agreement;
        assert_eq!((outcome.started, outcome.ended), (None, None));
        assert_eq!((agreement.grant, agreement.withdrawal), (None, None));
        assert_eq!(agreement.share_out.on, side == Side::ShareOut);
        assert_eq!(agreement.share_in.on, side == Side::ShareIn);
        let other = if side == Side::ShareOut {
            agreement.share_in
        } else {
            agreement.share_out
        };
        assert_eq!(other, HalfRow::default(), "never set");
        assert!(jobs(store, to).await.is_empty());
        let off = turn(store, pair(HILL, to), side, false).await.unwrap();
        assert_eq!(
            (off.started, off.ended, off.agreement.withdrawal),
            (None, None, None)
        );
    }
    // The halves of the two directions are not those of one pair.
    turn(store, pair(VALE, WARD), Side::ShareOut, true).await.unwrap();
    let outcome = turn(store, pair(WARD, VALE), Side::ShareIn, true).await.unwrap();
    assert_eq!(outcome.started, None);
}

pub(crate) async fn both_halves_start_a_grant<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let pair = pair(HILL, WARD);
    turn(store, pair, Side::ShareIn, true).await.unwrap();
    let outcome = turn(store, pair, Side::ShareOut, true).await.unwrap();
    let grant = outcome.started.unwrap();
    assert_eq!((outcome.ended, outcome.agreement.grant), (None, Some(grant)));
    let (pairs, jobs) = store.recipient_jobs(ods(WARD)).await.unwrap();
    assert_eq!(
        (pairs.len(), pairs[0].pair, pairs[0].grant, pairs[0].cursor),
        (1, pair, grant, 0)
    );
    assert_eq!((jobs.len(), jobs[0].pair, jobs[0].grant), (1, pair, grant));
    assert_eq!(
        jobs[0].kind,
        JobKind::CatchUp { upto: 0, through: 0 },
        "due even with nothing to send"
    );
}

pub(crate) async fn a_grant_starts_at_the_head<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    publish(store, &mut Outbox::new(HILL), 33).await;
    publish(store, &mut Outbox::new(VALE), 2).await;
    join(store, pair(HILL, WARD)).await;
    assert_eq!(cursor(store, pair(HILL, WARD)).await, Some(33));
    let (_, upto, through) = catch_up(store, WARD).await;
    assert_eq!((upto, through), (33, 0));
}

pub(crate) async fn either_half_off_ends_the_grant<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let pair = pair(HILL, WARD);
    publish(store, &mut Outbox::new(HILL), 9).await;
    for side in [Side::ShareOut, Side::ShareIn] {
        let grant = join(store, pair).await;
        let move_on = AppendGroup {
            cursors: vec![CursorMove { pair, grant, seq: 11 }],
            ..group(Vec::new())
        };
        store.append(&move_on).await.unwrap();
        let outcome = turn(store, pair, side, false).await.unwrap();
        assert_eq!((outcome.ended, outcome.started), (Some((grant, 11)), None));
        assert_eq!(outcome.agreement.grant, None);
        let withdrawal = outcome.agreement.withdrawal.unwrap();
        assert_eq!(
            (withdrawal.ended_grant, withdrawal.state),
            (grant, WithdrawalState::Pending)
        );
        assert_eq!((withdrawal.since, withdrawal.confirmed_at), (T0 + 1, None));
        let (pairs, jobs) = store.recipient_jobs(ods(WARD)).await.unwrap();
        assert!(pairs.is_empty());
        let last = jobs.last().unwrap();
        assert_eq!(
            (last.id, last.grant, last.kind),
            (withdrawal.job, grant, JobKind::Withdraw { patient: None })
        );
        assert!(
            jobs.iter()
                .all(|job| job.kind == JobKind::Withdraw { patient: None }),
            "the catch-up was dropped"
        );
        // The other half off too, or the same again, ends nothing more.
        for side in [Side::ShareOut, Side::ShareIn] {
            let outcome = turn(store, pair, side, false).await.unwrap();
            assert_eq!(
                (outcome.ended, outcome.agreement.withdrawal),
                (None, Some(withdrawal))
            );
        }
    }
}

pub(crate) async fn numbers_are_never_used_twice<B: Backend>() {
    let mut backend: B = with_units().await;
    let pair = pair(HILL, WARD);
    let (mut last_grant, mut last_job) = (GrantId(0), 0);
    for _ in 0..3 {
        let store = backend.store();
        let grant = join(store, pair).await;
        assert!(grant > last_grant);
        let (job, ..) = catch_up(store, WARD).await;
        assert!(job.0 > last_job);
        last_job = part(store, pair).await.0;
        assert!(
            last_job > job.0,
            "the dropped catch-up's number is not given again"
        );
        last_grant = grant;
        backend = backend.reopen().await;
    }
    let ids: Vec<_> = jobs(backend.store(), WARD)
        .await
        .iter()
        .map(|job| job.id)
        .collect();
    assert!(ids.len() == 3 && ids.is_sorted(), "in the order of their numbers");
}

pub(crate) async fn the_same_again_changes_only_by_whom<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let pair = pair(HILL, WARD);
    let grant = join(store, pair).await;
    let before = jobs(store, WARD).await;
    let again = HalfChange {
        pair,
        side: Side::ShareOut,
        on: true,
        by: "a colleague".to_owned(),
        reason: "reviewed".to_owned(),
        scope: None,
        at: T0 + 77,
    };
    let outcome = store.set_half(&again, &With::nothing()).await.unwrap();
    assert_eq!(
        (outcome.started, outcome.ended, outcome.agreement.grant),
        (None, None, Some(grant))
    );
    let half = &outcome.agreement.share_out;
    assert_eq!(
        (half.on, half.set_by.as_str(), half.set_at),
        (true, "a colleague", T0 + 77)
    );
    assert_eq!(half.reason, "reviewed");
    assert_eq!(
        outcome.agreement.share_in.set_by,
        format!("administrator of {WARD}")
    );
    assert_eq!(jobs(store, WARD).await, before);
}

pub(crate) async fn agreements_are_listed_by_pair<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    for (source, recipient) in [(WARD, HILL), (VALE, WARD), (HILL, WARD), (HILL, VALE)] {
        turn(store, pair(source, recipient), Side::ShareIn, true)
            .await
            .unwrap();
    }
    let listed = async |unit: Option<&str>| {
        let agreements = store.agreements(unit.map(ods)).await.unwrap();
        agreements.into_iter().map(|a| a.pair).collect::<Vec<_>>()
    };
    let all = [
        pair(HILL, VALE),
        pair(HILL, WARD),
        pair(VALE, WARD),
        pair(WARD, HILL),
    ];
    assert_eq!(listed(None).await, all);
    assert_eq!(listed(Some(VALE)).await, [all[0], all[2]]);
    assert_eq!(listed(Some(HILL)).await, [all[0], all[1], all[3]]);
    assert!(listed(Some("Z99999")).await.is_empty());
}

pub(crate) async fn halves_need_units_that_take_part<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    for (source, recipient) in [(HILL, "Z99999"), ("Z99999", HILL)] {
        let result = turn(store, pair(source, recipient), Side::ShareOut, true).await;
        assert_fails!(result, StoreError::Missing(_));
    }
    let own = turn(store, pair(HILL, HILL), Side::ShareOut, true).await;
    assert_fails!(own, StoreError::Conflict(_));
    store
        .set_unit_state(&unit_change(VALE, UnitState::Suspended), &With::nothing())
        .await
        .unwrap();
    turn(store, pair(HILL, VALE), Side::ShareIn, true).await.unwrap();
    store
        .set_unit_state(&unit_change(VALE, UnitState::Retired), &With::nothing())
        .await
        .unwrap();
    for (source, recipient) in [(HILL, VALE), (VALE, HILL)] {
        for side in [Side::ShareOut, Side::ShareIn] {
            let on = turn(store, pair(source, recipient), side, true).await;
            assert_fails!(on, StoreError::Conflict(_));
            assert!(
                turn(store, pair(source, recipient), side, false).await.is_ok(),
                "off is always possible"
            );
        }
    }
}

pub(crate) async fn agreements_are_durable<B: Backend>() {
    let backend: B = with_units().await;
    join(backend.store(), pair(HILL, WARD)).await;
    join(backend.store(), pair(VALE, WARD)).await;
    part(backend.store(), pair(VALE, WARD)).await;
    let agreements = backend.store().agreements(None).await.unwrap();
    let owed = backend.store().recipient_jobs(ods(WARD)).await.unwrap();
    let backend = backend.reopen().await;
    assert_eq!(backend.store().agreements(None).await.unwrap(), agreements);
    assert_eq!(backend.store().recipient_jobs(ods(WARD)).await.unwrap(), owed);
}
