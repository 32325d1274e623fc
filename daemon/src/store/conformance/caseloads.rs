//! Promises about caseloads by name, numbers that are one patient's, and what is asked of patients.

use super::{
    backend::Backend,
    kit::{HILL, T0, VALE, WARD, assert_fails, deployment, jobs, joined, ods, pair, with_units},
    patients_kit::{about, ann, ben, claim, cleo, followed_by, patient_jobs, patients},
};
use crate::{
    consent::{GrantId, HalfTerms, Policy, Terms},
    store::{Deployment, JobKind, NewJob, PatientStore as _, Store, StoreError, With},
};

pub(crate) async fn patients_are_put_on_caseloads_and_taken_off<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let changes = [
        claim(HILL, ben(), true),
        claim(HILL, ann(), true),
        claim(VALE, cleo(), true),
        claim(HILL, cleo(), false),
    ];
    store.set_claims(&changes, &With::nothing()).await.unwrap();
    let mut again = claim(HILL, ann(), true);
    again.by = "a colleague".to_owned();
    store.set_claims(&[again], &With::nothing()).await.unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    let claims = store.claims(ods(HILL), None, 10).await.unwrap();
    let found: Vec<_> = claims.iter().map(|row| row.patient).collect();
    assert_eq!(found, [ann(), ben()], "by number");
    assert_eq!(
        (claims[0].by.as_str(), claims[0].reason.as_str(), claims[0].at),
        ("a clinician", "referred by telephone", T0 + 5),
        "what is so already changes nothing"
    );
    assert_eq!(store.claims(ods(HILL), None, 1).await.unwrap(), claims[..1]);
    assert_eq!(
        store.claims(ods(HILL), Some(ann()), 9).await.unwrap(),
        claims[1..]
    );
    let off = [claim(HILL, ann(), false), claim(HILL, ann(), false)];
    store.set_claims(&off, &With::nothing()).await.unwrap();
    assert_eq!(store.claims(ods(HILL), None, 9).await.unwrap(), claims[1..]);
    assert_eq!(store.claims(ods(VALE), None, 9).await.unwrap().len(), 1);
    assert_eq!(store.claiming_units().await.unwrap(), [ods(HILL), ods(VALE)]);
    store
        .set_claims(&[claim(VALE, cleo(), false)], &With::nothing())
        .await
        .unwrap();
    assert_eq!(store.claiming_units().await.unwrap(), [ods(HILL)], "each once");
}

pub(crate) async fn claimed_patients_are_read_in_pages<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let all = patients(40);
    let changes: Vec<_> = all
        .iter()
        .rev()
        .map(|patient| claim(HILL, *patient, true))
        .collect();
    store.set_claims(&changes, &With::nothing()).await.unwrap();
    store
        .set_claims(&[claim(VALE, all[0], true)], &With::nothing())
        .await
        .unwrap();
    for limit in [1, 7, 40, 1000] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.claimed_patients(ods(HILL), after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= usize::try_from(limit).unwrap());
            after = Some(*last);
            read.extend(page);
        }
        assert_eq!(read, all, "pages of {limit}");
    }
    assert_eq!(
        store.claimed_patients(ods(VALE), None, 9).await.unwrap(),
        all[..1]
    );
    assert!(
        store
            .claimed_patients(ods(WARD), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn a_caseload_needs_its_unit<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let with = about(pair(HILL, WARD), ann());
    let changes = [claim(WARD, ann(), true), claim("Z99999", ann(), true)];
    assert_fails!(store.set_claims(&changes, &with).await, StoreError::Missing(_));
    assert!(store.claims(ods(WARD), None, 9).await.unwrap().is_empty());
    assert!(
        patient_jobs(&jobs(store, WARD).await).is_empty(),
        "nothing was kept"
    );
    store.set_claims(&changes[..1], &with).await.unwrap();
    assert_eq!(patient_jobs(&jobs(store, WARD).await), [(grant.0, ann())]);
}

pub(crate) async fn the_policy_is_changed_with_what_follows<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let before = Terms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        policy: Policy::Explicit,
    };
    let follows = [
        NewJob::Changes(pair(HILL, WARD), before),
        NewJob::Changes(pair(VALE, WARD), before),
    ];
    let policy = Policy::UnlessDissented;
    backend
        .store()
        .set_policy(policy, T0 + 9, &followed_by(&follows))
        .await
        .unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    let expected = Deployment {
        policy,
        ..deployment()
    };
    assert_eq!(store.deployment().await.unwrap(), expected);
    let due = jobs(store, WARD).await;
    let last = due.last().unwrap();
    assert_eq!((last.pair, last.grant), (pair(HILL, WARD), grant));
    assert_eq!(last.kind, JobKind::Changes { before, through: 0 });
    assert_eq!(due.len(), 2, "a pair without a grant is owed nothing");
}
