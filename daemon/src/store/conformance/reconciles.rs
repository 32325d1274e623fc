//! Promises about reconcile jobs over less than everything: what is entered, how they go forward, how they end.

use handfast_proto::ids::Holder;

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, T0, VALE, WARD, assert_fails, certificate, group, hello, jobs, join, joined, ods, pair,
        part, person, publish, token, unit_change, with_units,
    },
    patients_kit::{about, ann, ben, followed_by, patient_jobs, patients},
};
use crate::{
    consent::{CategorySet, GrantId, HalfTerms, Pair, Patients, Policy, Scope, Terms},
    store::{
        AppendGroup, CatchUpMove, ConfirmWithdrawal, Job, JobId, JobKind, NewJob, NewUnit, Role, Store,
        StoreError, UnitKind, UnitState, With,
    },
};

fn ours() -> Pair {
    pair(HILL, WARD)
}

fn terms() -> Terms {
    let half = HalfTerms {
        on: true,
        ends_at: Some(T0 + 77),
        scope: Scope {
            categories: CategorySet::from_bits(0b1010),
            patients: Patients::Caseload,
        },
        requires_explicit: true,
    };
    Terms {
        share_out: half,
        share_in: HalfTerms::ON,
        policy: Policy::Explicit,
    }
}

/// Enters jobs, and nothing beside them.
async fn enter(store: &impl Store, jobs: &[NewJob]) {
    let alone = AppendGroup {
        with: followed_by(jobs),
        ..group(Vec::new())
    };
    store.append(&alone).await.unwrap();
}

async fn advance(store: &impl Store, job: JobId, through: u64, complete: bool) {
    let moves = AppendGroup {
        catch_ups: vec![CatchUpMove {
            job,
            through,
            complete,
        }],
        ..group(Vec::new())
    };
    store.append(&moves).await.unwrap();
}

async fn confirm(store: &impl Store, job: JobId, removed: u64, not_removed: u64) {
    let confirmed = ConfirmWithdrawal {
        recipient: ods(WARD),
        job,
        removed,
        not_removed,
        at: T0 + 8,
    };
    store
        .confirm_withdrawal(&confirmed, &With::nothing())
        .await
        .unwrap();
}

/// The jobs that are due beside the catch-up of [`joined`].
async fn beside_catch_up(store: &impl Store) -> Vec<Job> {
    let mut due = jobs(store, WARD).await;
    due.retain(|job| !matches!(job.kind, JobKind::CatchUp { .. }));
    due
}

pub(crate) async fn jobs_are_entered_in_their_order<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(ours()).await;
    let other = join(backend.store(), pair(VALE, WARD)).await;
    let wanted = [
        NewJob::Patient(ours(), ben()),
        NewJob::Patient(pair(VALE, WARD), ann()),
        NewJob::Changes(ours(), terms()),
        NewJob::Patient(ours(), ann()),
        // No grant of this pair is in force.
        NewJob::Patient(pair(HILL, VALE), ann()),
        NewJob::Changes(pair(WARD, HILL), terms()),
    ];
    enter(backend.store(), &wanted).await;
    let backend = backend.reopen().await;
    let due = beside_catch_up(backend.store()).await;
    let found: Vec<_> = due.iter().map(|job| (job.grant, job.kind)).collect();
    let through = 0;
    let expected = [
        (
            grant,
            JobKind::Patient {
                patient: ben(),
                through,
            },
        ),
        (
            other,
            JobKind::Patient {
                patient: ann(),
                through,
            },
        ),
        (
            grant,
            JobKind::Changes {
                before: terms(),
                through,
            },
        ),
        (
            grant,
            JobKind::Patient {
                patient: ann(),
                through,
            },
        ),
    ];
    assert_eq!(found, expected);
    assert!(due.is_sorted_by_key(|job| job.id));
    assert!(jobs(backend.store(), VALE).await.is_empty() && jobs(backend.store(), HILL).await.is_empty());
}

pub(crate) async fn a_patients_job_takes_the_place_of_an_older<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(ours()).await;
    let store = backend.store();
    enter(
        store,
        &[NewJob::Patient(ours(), ann()), NewJob::Patient(ours(), ben())],
    )
    .await;
    let first = beside_catch_up(store).await;
    advance(store, first[0].id, 3, false).await;
    enter(
        store,
        &[NewJob::Patient(ours(), ann()), NewJob::Patient(ours(), ann())],
    )
    .await;
    let due = beside_catch_up(store).await;
    assert_eq!(patient_jobs(&due), [(grant.0, ben()), (grant.0, ann())]);
    assert_eq!(due[0], first[1], "another patient's stands");
    assert!(
        due[1].id > first[1].id,
        "from the beginning, under a number of its own"
    );
    assert_eq!(
        due[1].kind,
        JobKind::Patient {
            patient: ann(),
            through: 0
        }
    );
    // What is late of the older one changes nothing.
    advance(store, first[0].id, 9, true).await;
    confirm(store, first[0].id, 4, 0).await;
    assert_eq!(beside_catch_up(store).await, due);
}

pub(crate) async fn a_reconcile_goes_its_way<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(ours()).await;
    let store = backend.store();
    enter(
        store,
        &[NewJob::Patient(ours(), ann()), NewJob::Changes(ours(), terms())],
    )
    .await;
    let due = beside_catch_up(store).await;
    for (job, through, stands) in [(0, 5, 5), (0, 4, 5), (1, 9, 9)] {
        advance(store, due[job].id, through, false).await;
        let now = beside_catch_up(store).await[job].kind;
        assert!(
            matches!(now, JobKind::Patient { through, .. } | JobKind::Changes { through, .. } if through == stands)
        );
    }
    advance(store, due[0].id, 4, true).await;
    assert_eq!(beside_catch_up(store).await.len(), 2, "it would have gone back");
    advance(store, due[0].id, 8, true).await;
    assert_eq!(
        beside_catch_up(store).await[0].id,
        due[1].id,
        "it is over for the feed"
    );
    advance(store, due[0].id, 20, false).await;
    advance(store, due[1].id, 9, true).await;
    assert!(beside_catch_up(store).await.is_empty());
    // A patient's that the recipient has not confirmed does not stand in the way of the next.
    enter(store, &[NewJob::Patient(ours(), ann())]).await;
    let next = beside_catch_up(store).await;
    assert!(next.len() == 1 && next[0].id > due[1].id);
    assert_eq!(partly(store).await, (3, 0, None));
    confirm(store, due[0].id, 0, 0).await;
    confirm(store, due[1].id, 7, 1).await;
    assert_eq!(partly(store).await, (1, 1, Some((due[1].id, 7, 1))));
    assert_eq!(beside_catch_up(store).await, next);
    // A confirmation may come before its receipt is committed.
    confirm(store, next[0].id, 0, 0).await;
    assert!(beside_catch_up(store).await.is_empty());
    advance(store, next[0].id, 8, true).await;
    assert!(beside_catch_up(store).await.is_empty());
    let agreement = &store.agreements(None).await.unwrap()[0];
    assert_eq!(
        agreement.withdrawal, None,
        "none of them is the agreement's withdrawal"
    );
    enter(store, &[NewJob::Patient(ours(), ben())]).await;
    let newest = beside_catch_up(store).await[0].id;
    confirm(store, newest, 2, 0).await;
    assert_eq!(partly(store).await, (0, 1, Some((newest, 2, 0))));
    part(store, ours()).await;
    assert_eq!(
        partly(store).await,
        (0, 0, None),
        "what was withdrawn of a grant that is over is said no more"
    );
}

/// What is shown of withdrawals in part: open ones, what could not be removed, and the newest.
async fn partly(store: &impl Store) -> (u64, u64, Option<(JobId, u64, u64)>) {
    let partial = store.agreements(None).await.unwrap().swap_remove(0).partial;
    let last = partial.last.map(|w| (w.job, w.removed, w.not_removed));
    (partial.open, partial.not_removed, last)
}

pub(crate) async fn what_ends_with_its_grant_is_dropped<B: Backend>() {
    let (backend, ended): (B, GrantId) = joined(ours()).await;
    let store = backend.store();
    let kept = join(store, pair(VALE, WARD)).await;
    let every = [ours(), pair(VALE, WARD)].map(|pair| NewJob::Patient(pair, ann()));
    enter(store, &every).await;
    enter(store, &[NewJob::Changes(ours(), terms())]).await;
    let withdrawal = part(store, ours()).await;
    let due = beside_catch_up(store).await;
    assert_eq!(patient_jobs(&due), [(kept.0, ann())]);
    assert_eq!((due.len(), due[1].id, due[1].grant), (2, withdrawal, ended));
}

pub(crate) async fn a_new_inbox_is_owed_everything_once<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(ours()).await;
    let store = backend.store();
    publish(store, &mut Outbox::new(HILL), 6).await;
    enter(
        store,
        &[NewJob::Patient(ours(), ann()), NewJob::Changes(ours(), terms())],
    )
    .await;
    let due = beside_catch_up(store).await;
    advance(store, due[0].id, 6, true).await;
    let opened = hello(store, WARD, 1, 0, 0).await;
    assert!(opened.anew);
    let kinds: Vec<_> = opened.jobs.iter().map(|job| job.kind).collect();
    assert_eq!(
        kinds,
        [JobKind::CatchUp { upto: 6, through: 0 }],
        "its catch-up has it all"
    );
    confirm(store, due[0].id, 2, 0).await;
    assert_eq!(hello(store, WARD, 1, 1, 0).await.jobs, opened.jobs);
    // An inbox that goes on is owed what it was owed.
    enter(store, &[NewJob::Patient(ours(), ben())]).await;
    let jobs = hello(store, WARD, 1, 2, 0).await.jobs;
    assert_eq!((jobs.len(), jobs[0].id), (2, opened.jobs[0].id));
}

pub(crate) async fn jobs_go_in_with_every_change<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let grant = join(store, ours()).await;
    let withdrawal = {
        join(store, pair(VALE, WARD)).await;
        part(store, pair(VALE, WARD)).await
    };
    let all = patients(12);
    let with = |n: usize| about(ours(), all[n]);
    let zoe = person("zoe", HILL, Role::Auditor);
    let holder = Holder::Person(zoe.id.clone());
    let (first, second) = (token(holder.clone(), "zoe"), token(holder.clone(), "again"));
    let unit = NewUnit {
        ods: ods("Z00999"),
        name: "Another".to_owned(),
        kind: UnitKind::Gp,
    };
    let of_unit = token(Holder::Unit(unit.ods), "another");
    let (issued, renewed) = (certificate(holder.clone(), 1), certificate(holder, 2));
    let confirmed = ConfirmWithdrawal {
        recipient: ods(WARD),
        job: withdrawal,
        removed: 1,
        not_removed: 0,
        at: T0,
    };
    store.register_unit(&unit, &of_unit, T0, &with(0)).await.unwrap();
    store.add_person(&zoe, &first, T0, &with(1)).await.unwrap();
    store
        .consume_token(&first.hash, &issued, T0, &with(2))
        .await
        .unwrap();
    store.add_certificate(&renewed, T0, &with(3)).await.unwrap();
    store.add_token(&second, T0, &with(4)).await.unwrap();
    store
        .set_role(&zoe.id, Role::Clinician, T0, &with(5))
        .await
        .unwrap();
    store.revoke_person(&zoe.id, "left", T0, &with(6)).await.unwrap();
    let suspended = UnitState::Suspended;
    store
        .set_unit_state(&unit_change(VALE, suspended), &with(7))
        .await
        .unwrap();
    store.end_expired(T0, &with(8)).await.unwrap();
    store.confirm_withdrawal(&confirmed, &with(9)).await.unwrap();
    let expected: Vec<_> = all[..10].iter().map(|patient| (grant.0, *patient)).collect();
    assert_eq!(patient_jobs(&jobs(store, WARD).await), expected);
    // What changes nothing, or fails, is followed by nothing.
    store.confirm_withdrawal(&confirmed, &with(10)).await.unwrap();
    let taken = store.register_unit(&unit, &of_unit, T0, &with(11)).await;
    assert_fails!(taken, StoreError::Exists(_));
    assert_eq!(patient_jobs(&jobs(store, WARD).await), expected);
}
