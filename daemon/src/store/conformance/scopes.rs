//! Promises about how halves are narrowed, and when they end.

use handfast_proto::amendment::Category;

use super::{
    backend::Backend,
    kit::{HILL, Outbox, T0, VALE, WARD, assert_fails, cursor, jobs, join, pair, publish, turn, with_units},
    patients_kit::{ann, followed_by},
};
use crate::{
    consent::{CategorySet, HalfTerms, Pair, Patients, Policy, Scope, Side, Terms},
    store::{
        AgreementRow, HalfChange, HalfOutcome, HalfRow, HalfScope, JobKind, NewJob, Store, StoreError, With,
        WithdrawalState,
    },
};

/// Narrowed in every way.
fn narrow() -> HalfScope {
    HalfScope {
        categories: CategorySet::NONE.with(Category::Allergies).with(Category::Other),
        patients: Patients::Caseload,
        explicit: true,
        ends_on: Some("2027-03-31".parse().unwrap()),
        ends_at: Some(T0 + 100),
        review_on: Some("2026-12-01".parse().unwrap()),
        reference: "DSA 17".to_owned(),
        legal_basis: "direct care".to_owned(),
    }
}

fn ending(ends_at: i64) -> HalfScope {
    HalfScope {
        ends_on: Some("2027-03-31".parse().unwrap()),
        ends_at: Some(ends_at),
        ..HalfScope::EVERYTHING
    }
}

async fn set(
    store: &impl Store,
    pair: Pair,
    side: Side,
    on: bool,
    scope: Option<HalfScope>,
    at: i64,
) -> HalfOutcome {
    let change = HalfChange {
        pair,
        side,
        on,
        by: "an administrator".to_owned(),
        reason: "agreed".to_owned(),
        scope,
        at,
    };
    store.set_half(&change, &With::nothing()).await.unwrap()
}

async fn only(store: &impl Store) -> AgreementRow {
    let mut all = store.agreements(None).await.unwrap();
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

pub(crate) async fn a_half_is_narrowed_and_stays_so<B: Backend>() {
    let backend: B = with_units().await;
    let ours = pair(HILL, WARD);
    let first = turn(backend.store(), ours, Side::ShareOut, true).await.unwrap();
    assert_eq!(
        first.agreement.share_out.scope,
        HalfScope::EVERYTHING,
        "never narrowed"
    );
    set(backend.store(), ours, Side::ShareIn, true, Some(narrow()), T0).await;
    let backend = backend.reopen().await;
    let store = backend.store();
    let found = only(store).await;
    assert_eq!(
        (&found.share_in.scope, &found.share_out.scope),
        (&narrow(), &HalfScope::EVERYTHING)
    );
    let terms = HalfTerms {
        on: true,
        ends_at: Some(T0 + 100),
        scope: Scope {
            categories: narrow().categories,
            patients: Patients::Caseload,
        },
        requires_explicit: true,
    };
    assert_eq!(found.share_in.terms(), terms);
    // What is not said stays, through off and on.
    for on in [false, true] {
        let outcome = set(store, ours, Side::ShareIn, on, None, T0).await;
        assert_eq!(outcome.agreement.share_in.scope, narrow());
    }
    let outcome = set(store, ours, Side::ShareIn, true, Some(HalfScope::EVERYTHING), T0).await;
    assert_eq!(
        outcome.agreement.share_in.scope,
        HalfScope::EVERYTHING,
        "widened again"
    );
    assert_eq!(
        outcome.agreement.share_out, first.agreement.share_out,
        "the other half is its owner's"
    );
    assert_eq!(only(store).await, outcome.agreement);
}

pub(crate) async fn an_end_has_a_day_and_a_moment<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let without_day = HalfScope {
        ends_on: None,
        ..narrow()
    };
    let without_moment = HalfScope {
        ends_at: None,
        ..narrow()
    };
    for scope in [without_day, without_moment] {
        let change = HalfChange {
            pair: pair(HILL, WARD),
            side: Side::ShareOut,
            on: true,
            by: "an administrator".to_owned(),
            reason: String::new(),
            scope: Some(scope),
            at: T0,
        };
        assert_fails!(
            store.set_half(&change, &With::nothing()).await,
            StoreError::Conflict(_)
        );
    }
    assert!(
        store.agreements(None).await.unwrap().is_empty(),
        "nothing was kept"
    );
}

pub(crate) async fn a_scope_changes_under_a_grant_that_stays<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let ours = pair(HILL, WARD);
    publish(store, &mut Outbox::new(HILL), 5).await;
    let grant = join(store, ours).await;
    let before = Terms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        policy: Policy::UnlessDissented,
    };
    let change = HalfChange {
        pair: ours,
        side: Side::ShareOut,
        on: true,
        by: "an administrator".to_owned(),
        reason: "narrowed".to_owned(),
        scope: Some(narrow()),
        at: T0 + 7,
    };
    let catch_up = jobs(store, WARD).await;
    let with = followed_by(&[NewJob::Changes(ours, before)]);
    let outcome = store.set_half(&change, &with).await.unwrap();
    assert_eq!(
        (outcome.started, outcome.ended, outcome.agreement.grant),
        (None, None, Some(grant))
    );
    assert!(!outcome.ends_anything());
    assert_eq!(cursor(store, ours).await, Some(5), "the cursor stands");
    let due = jobs(store, WARD).await;
    assert_eq!(due[..1], catch_up, "behind the catch-up");
    assert_eq!((due.len(), due[1].grant), (2, grant));
    assert_eq!(due[1].kind, JobKind::Changes { before, through: 0 });
    // Where the change ends the grant, what was to follow has nothing to follow.
    let off = HalfChange {
        on: false,
        scope: None,
        ..change
    };
    store.set_half(&off, &with).await.unwrap();
    let kinds: Vec<_> = jobs(store, WARD).await.iter().map(|job| job.kind).collect();
    assert_eq!(
        kinds,
        [JobKind::Withdraw { patient: None }],
        "and what was due is dropped"
    );
}

pub(crate) async fn a_half_that_has_ended_counts_as_off<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let ours = pair(HILL, WARD);
    let end = T0 + 100;
    set(store, ours, Side::ShareOut, true, None, T0).await;
    let late = set(store, ours, Side::ShareIn, true, Some(ending(end)), end).await;
    assert_eq!(
        (late.started, late.agreement.grant),
        (None, None),
        "it has ended at its first moment"
    );
    assert!(late.agreement.share_in.on && !late.agreement.share_in.holds(end));
    let grant = set(store, ours, Side::ShareIn, true, None, end - 1)
        .await
        .started
        .unwrap();
    // Any change of the pair finds it ended.
    let found = set(store, ours, Side::ShareOut, true, None, end).await;
    assert_eq!((found.ended, found.agreement.grant), (Some((grant, 0)), None));
    let again = set(store, ours, Side::ShareIn, true, Some(ending(end + 50)), end).await;
    assert!(
        again.started.is_some_and(|next| next > grant),
        "a later end begins it anew"
    );
}

pub(crate) async fn what_has_run_out_is_ended<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (by_out, by_in, stays) = (pair(HILL, WARD), pair(VALE, WARD), pair(HILL, VALE));
    let mut grants = Vec::new();
    for (pair, out, into) in [
        (by_out, ending(T0 + 100), HalfScope::EVERYTHING),
        (by_in, HalfScope::EVERYTHING, ending(T0 + 90)),
        (stays, ending(T0 + 101), ending(T0 + 101)),
    ] {
        set(store, pair, Side::ShareOut, true, Some(out), T0).await;
        let outcome = set(store, pair, Side::ShareIn, true, Some(into), T0).await;
        grants.push(outcome.started.unwrap());
    }
    let before = store.agreements(None).await.unwrap();
    assert!(
        store
            .end_expired(T0 + 89, &With::nothing())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.agreements(None).await.unwrap(), before);

    let follows = followed_by(&[NewJob::Patient(stays, ann())]);
    let ended = store.end_expired(T0 + 100, &follows).await.unwrap();
    let found: Vec<_> = ended
        .iter()
        .map(|outcome| (outcome.agreement.pair, outcome.ended))
        .collect();
    assert_eq!(
        found,
        [(by_out, Some((grants[0], 0))), (by_in, Some((grants[1], 0)))]
    );
    for outcome in &ended {
        assert_eq!((outcome.started, outcome.agreement.grant), (None, None));
        let withdrawal = outcome.agreement.withdrawal.unwrap();
        assert_eq!(
            (withdrawal.state, withdrawal.since),
            (WithdrawalState::Pending, T0 + 100)
        );
    }
    let backend = backend.reopen().await;
    let store = backend.store();
    let kinds: Vec<_> = jobs(store, WARD).await.iter().map(|job| job.kind).collect();
    assert_eq!(kinds, [JobKind::Withdraw { patient: None }; 2]);
    assert_eq!(
        jobs(store, VALE).await.len(),
        2,
        "what goes in beside it, and the catch-up"
    );
    let after = store.agreements(None).await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        let halves = |row: &AgreementRow| -> [HalfRow; 2] { [row.share_out.clone(), row.share_in.clone()] };
        assert_eq!(halves(before), halves(after), "the halves stay as they were set");
    }
    assert!(
        store
            .end_expired(T0 + 100, &With::nothing())
            .await
            .unwrap()
            .is_empty(),
        "once"
    );
    let last = store.end_expired(T0 + 500, &With::nothing()).await.unwrap();
    assert_eq!((last.len(), last[0].ended), (1, Some((grants[2], 0))));
}
