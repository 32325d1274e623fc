//! Promises about emergency accesses as grants of their own.

use handfast_proto::ids::NhsNumber;

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, T0, VALE, WARD, assert_fails, catch_up, group, hello, jobs, join, ods, pair, part,
        publish, turn, unit_change, with_units,
    },
    patients_kit::{ann, ben, cleo, followed_by, patient_jobs},
};
use crate::{
    consent::{GrantId, Pair, Side},
    store::{
        AppendGroup, CursorMove, EmergencyGrants as _, JobKind, JoinedNumbers, NewJob, OpenEmergency,
        PairState, Stated, Store, StoreError, UnitChange, UnitState, With,
    },
};

/// When the accesses of these tests are over.
const UNTIL: i64 = T0 + 4_000;

fn ours() -> Pair {
    pair(HILL, WARD)
}

/// Only the source's half on, and an access in force for [`ann`].
async fn opened<B: Backend>() -> (B, GrantId) {
    let backend: B = with_units().await;
    publish(backend.store(), &mut Outbox::new(HILL), 9).await;
    turn(backend.store(), ours(), Side::ShareOut, true).await.unwrap();
    let grant = backend
        .open_emergency(ours(), ann(), UNTIL, T0 + 2)
        .await
        .unwrap();
    (backend, grant)
}

async fn state(store: &impl Store) -> Vec<PairState> {
    store.recipient_jobs(ods(WARD)).await.unwrap().0
}

async fn kinds(store: &impl Store) -> Vec<(GrantId, JobKind)> {
    jobs(store, WARD)
        .await
        .iter()
        .map(|job| (job.grant, job.kind))
        .collect()
}

fn of(patient: NhsNumber) -> JobKind {
    JobKind::Patient { patient, through: 0 }
}

fn withdraw(patient: Option<NhsNumber>) -> JobKind {
    JobKind::Withdraw { patient }
}

pub(crate) async fn an_access_is_a_grant_of_its_own<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let alone = PairState {
        pair: ours(),
        grant: access,
        patient: Some(ann()),
        cursor: 9,
    };
    assert_eq!(state(store).await, [alone]);
    assert_eq!(kinds(store).await, [(access, of(ann()))]);
    assert_eq!(
        store.agreements(None).await.unwrap()[0].grant,
        None,
        "the agreement has none"
    );
    let again = backend.open_emergency(ours(), ann(), UNTIL, T0 + 3).await;
    assert_fails!(again, StoreError::Conflict(_));
    let unshared = backend
        .open_emergency(pair(VALE, WARD), ann(), UNTIL, T0 + 3)
        .await;
    assert_fails!(unshared, StoreError::Conflict(_));
    // Beside it the agreement's grant begins and catches up, each with a cursor of its own.
    let grant = join(store, ours()).await;
    assert!(grant > access);
    let both = [
        alone,
        PairState {
            grant,
            patient: None,
            ..alone
        },
    ];
    assert_eq!(state(store).await, both);
    assert_eq!(catch_up(store, WARD).await.1, 9);
    let moves = AppendGroup {
        cursors: vec![
            CursorMove {
                pair: ours(),
                grant: access,
                seq: 11,
            },
            CursorMove {
                pair: ours(),
                grant,
                seq: 10,
            },
        ],
        ..group(Vec::new())
    };
    store.append(&moves).await.unwrap();
    let cursors: Vec<_> = state(store).await.iter().map(|pair| pair.cursor).collect();
    assert_eq!(cursors, [11, 10]);
    // What follows for its patient follows under both; for others under the agreement's alone.
    let follows = [NewJob::Patient(ours(), ann()), NewJob::Patient(ours(), ben())];
    store.end_expired(T0 + 4, &followed_by(&follows)).await.unwrap();
    let due = patient_jobs(&jobs(store, WARD).await);
    assert_eq!(due, [(access.0, ann()), (grant.0, ann()), (grant.0, ben())]);
}

pub(crate) async fn an_access_that_is_over_is_withdrawn<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    assert!(
        store
            .end_expired(UNTIL - 1, &With::nothing())
            .await
            .unwrap()
            .is_empty()
    );
    let ended = store.end_expired(UNTIL, &With::nothing()).await.unwrap();
    assert_eq!(
        (ended.len(), ended[0].ended),
        (1, None),
        "no agreement's grant ended"
    );
    assert_eq!(ended[0].emergencies_ended, [(access, 9)]);
    assert!(ended[0].ends_anything());
    assert!(state(store).await.is_empty());
    assert_eq!(kinds(store).await, [(access, withdraw(Some(ann())))]);
    let agreement = &store.agreements(None).await.unwrap()[0];
    assert_eq!(
        agreement.withdrawal, None,
        "the agreement's grants have their own"
    );
    // Another one may be opened.
    let next = backend
        .open_emergency(ours(), ann(), UNTIL + 9, UNTIL)
        .await
        .unwrap();
    assert!(next > access);
    assert_eq!(kinds(store).await[1], (next, of(ann())));
}

pub(crate) async fn an_access_that_is_over_leaves_what_the_agreement_carries<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let grant = join(store, ours()).await;
    let ended = store.end_expired(UNTIL, &With::nothing()).await.unwrap();
    assert_eq!(ended[0].agreement.grant, Some(grant));
    assert_eq!(ended[0].emergencies_ended, [(access, 9)]);
    let catch_up = JobKind::CatchUp { upto: 9, through: 0 };
    assert_eq!(kinds(store).await, [(grant, catch_up), (grant, of(ann()))]);
}

pub(crate) async fn an_access_outlives_the_recipients_half<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let grant = join(store, ours()).await;
    let outcome = turn(store, ours(), Side::ShareIn, false).await.unwrap();
    assert_eq!(
        (outcome.ended, outcome.emergencies_ended.len()),
        (Some((grant, 9)), 0)
    );
    let expected = [(grant, withdraw(None)), (access, of(ann()))];
    assert_eq!(
        kinds(store).await,
        expected,
        "everything goes, then its patient comes back"
    );
    // But not the source's.
    let outcome = turn(store, ours(), Side::ShareOut, false).await.unwrap();
    assert_eq!(
        (outcome.ended, outcome.emergencies_ended),
        (None, vec![(access, 9)])
    );
    let expected = [(grant, withdraw(None)), (access, withdraw(Some(ann())))];
    assert_eq!(kinds(store).await, expected);
}

pub(crate) async fn both_grants_end_with_the_sources_half<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let grant = join(store, ours()).await;
    part(store, ours()).await;
    assert!(state(store).await.is_empty());
    let expected = [(grant, withdraw(None)), (access, withdraw(Some(ann())))];
    assert_eq!(kinds(store).await, expected);
    let newest = store.agreements(None).await.unwrap()[0].withdrawal.unwrap();
    assert_eq!(newest.ended_grant, grant);
}

pub(crate) async fn a_unit_that_retires_loses_its_accesses<B: Backend>() {
    for retired in [HILL, WARD] {
        let (backend, access): (B, GrantId) = opened().await;
        let store = backend.store();
        let outcome = store
            .set_unit_state(&unit_change(retired, UnitState::Retired), &With::nothing())
            .await
            .unwrap();
        let ended: Vec<_> = outcome
            .pairs
            .iter()
            .map(|half| half.emergencies_ended.clone())
            .collect();
        assert_eq!(ended, [[(access, 9)]], "{retired}");
        assert!(state(store).await.is_empty());
    }
}

pub(crate) async fn an_access_carries_every_number_of_its_patient<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let joined = |unit, former, current| {
        Stated::Joined(JoinedNumbers {
            unit: ods(unit),
            former,
            current,
        })
    };
    let said = AppendGroup {
        stated: vec![
            joined(HILL, ben(), ann()),
            joined(HILL, ben(), cleo()),
            joined(VALE, ann(), other()),
        ],
        ..group(Vec::new())
    };
    store.append(&said).await.unwrap();
    let follows = [ann(), cleo(), other()].map(|patient| NewJob::Patient(ours(), patient));
    store.end_expired(T0 + 4, &followed_by(&follows)).await.unwrap();
    let due = patient_jobs(&jobs(store, WARD).await);
    assert_eq!(
        due,
        [(access.0, ann()), (access.0, cleo())],
        "as its source said, and nobody else"
    );
    let opened = hello(store, WARD, 1, 0, 0).await;
    assert!(opened.anew && opened.pairs.len() == 1);
    let all = [(access.0, ann()), (access.0, ben()), (access.0, cleo())];
    assert_eq!(
        patient_jobs(&opened.jobs),
        all,
        "a new inbox has it from the beginning"
    );
    store.end_expired(UNTIL, &With::nothing()).await.unwrap();
    let expected = [ann(), ben(), cleo()].map(|patient| (access, withdraw(Some(patient))));
    assert_eq!(kinds(store).await, expected);
}

fn other() -> NhsNumber {
    *super::patients_kit::patients(9).last().unwrap()
}

pub(crate) async fn accesses_to_several_sources_are_opened_together_or_not_at_all<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    turn(store, ours(), Side::ShareOut, true).await.unwrap();
    let open = OpenEmergency {
        recipient: ods(WARD),
        patient: ann(),
        sources: vec![ods(HILL), ods(VALE)],
        at: T0 + 2,
        until: UNTIL,
    };
    let refused = store.open_emergency(&open, &With::nothing()).await;
    assert_fails!(refused, StoreError::Conflict(_));
    assert!(store.emergencies().await.unwrap().is_empty());
    turn(store, pair(VALE, WARD), Side::ShareOut, true).await.unwrap();
    let opened = store.open_emergency(&open, &With::nothing()).await.unwrap();
    assert_eq!(
        opened.iter().map(|row| row.pair.source).collect::<Vec<_>>(),
        open.sources
    );
    assert_eq!(store.emergencies().await.unwrap(), opened);
}

pub(crate) async fn a_suspension_that_withdraws_ends_grants_until_it_is_over<B: Backend>() {
    let (backend, access): (B, GrantId) = opened().await;
    let store = backend.store();
    let (grant, other) = (join(store, ours()).await, join(store, pair(WARD, HILL)).await);
    let suspend = UnitChange {
        withdraw: true,
        ..unit_change(HILL, UnitState::Suspended)
    };
    let outcome = store.set_unit_state(&suspend, &With::nothing()).await.unwrap();
    assert_eq!(outcome.pairs.len(), 1, "only what the unit shares out");
    assert_eq!(outcome.pairs[0].ended.unwrap().0, grant);
    assert_eq!(outcome.pairs[0].emergencies_ended[0].0, access);
    for side in [Side::ShareOut, Side::ShareIn] {
        let turned = turn(store, ours(), side, true).await.unwrap();
        assert_eq!((turned.started, turned.agreement.grant), (None, None));
    }
    let again = unit_change(HILL, UnitState::Suspended);
    store.set_unit_state(&again, &With::nothing()).await.unwrap();
    let open = backend.open_emergency(ours(), ann(), UNTIL, T0 + 3).await;
    assert_fails!(open, StoreError::Conflict(_));
    let resume = unit_change(HILL, UnitState::Enrolled);
    let outcome = store.set_unit_state(&resume, &With::nothing()).await.unwrap();
    assert!(outcome.pairs[0].started.is_some_and(|started| started > grant));
    let untouched = store.agreements(Some(ods(HILL))).await.unwrap();
    assert!(untouched.iter().any(|row| row.grant == Some(other)));
}
