//! Promises about emergency accesses.

use handfast_proto::{
    emergency::Ground,
    ids::{Holder, NhsNumber},
    v1::{ScrAlertReason, ScrAlertType},
};

use super::{
    backend::Backend,
    kit::{
        HILL, T0, VALE, WARD, add_person, assert_fails, certificate, hash, ods, pair, person_id, turn,
        with_units,
    },
};
use crate::{
    consent::Side,
    store::{
        AccessId, AccessQuery, AccessRow, AccessStore as _, AccessesOf, AlertState, NewAccess, Role, Store,
        StoreError, With,
    },
};

pub(super) const HOUR: i64 = 3_600_000;

fn patient() -> NhsNumber {
    "9990000018".parse().unwrap()
}

/// An access at WARD, for the clinician `cleo`.
pub(super) fn access(sources: &[&str]) -> NewAccess {
    NewAccess {
        recipient: ods(WARD),
        person: person_id("cleo"),
        patient: patient(),
        sources: sources.iter().map(|code| ods(code)).collect(),
        ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency).unwrap(),
        note: "Unconscious".to_owned(),
        at: T0 + 10,
        until: T0 + 10 + HOUR,
    }
}

/// Units, people, and both sources sharing out to WARD.
pub(super) async fn hospital<B: Backend>() -> B {
    let backend: B = with_units().await;
    let store = backend.store();
    for (id, unit, role) in [
        ("cleo", WARD, Role::Clinician),
        ("carl", WARD, Role::Clinician),
        ("pam", WARD, Role::PrivacyOfficer),
        ("pete", HILL, Role::PrivacyOfficer),
    ] {
        add_person(store, id, unit, role).await.unwrap();
    }
    for source in [HILL, VALE] {
        turn(store, pair(source, WARD), Side::ShareOut, true)
            .await
            .unwrap();
    }
    backend
}

pub(super) async fn add(store: &impl Store, access: &NewAccess) -> AccessId {
    store.add_access(access, &With::nothing()).await.unwrap()
}

async fn list(store: &impl Store, of: AccessesOf, open_at: Option<i64>) -> Vec<AccessRow> {
    let query = AccessQuery {
        of,
        open_at,
        before: None,
        limit: 100,
    };
    store.accesses(&query).await.unwrap()
}

pub(super) async fn one(store: &impl Store, id: AccessId) -> AccessRow {
    list(store, AccessesOf::One(id), None).await.pop().unwrap()
}

pub(super) async fn ids(store: &impl Store, of: AccessesOf, open_at: Option<i64>) -> Vec<u64> {
    list(store, of, open_at)
        .await
        .iter()
        .map(|row| row.id.0)
        .collect()
}

pub(crate) async fn a_privacy_officer_is_there_once_enrolled<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let there = async |now| store.has_privacy_officer(ods(WARD), now).await.unwrap();
    assert!(!there(T0).await);
    add_person(store, "pam", WARD, Role::PrivacyOfficer)
        .await
        .unwrap();
    assert!(!there(T0).await, "has a token, not a certificate");
    let issued = certificate(Holder::Person(person_id("pam")), 9);
    let used = store
        .consume_token(&hash("pam"), &issued, T0, &With::nothing())
        .await;
    used.unwrap();
    assert!(there(T0).await);
    assert!(!there(issued.not_after).await, "its certificate has run out");
    assert!(!store.has_privacy_officer(ods(HILL), T0).await.unwrap());
    store
        .set_role(&person_id("pam"), Role::Clinician, T0, &With::nothing())
        .await
        .unwrap();
    assert!(!there(T0).await, "has another role");
    store
        .set_role(&person_id("pam"), Role::PrivacyOfficer, T0, &With::nothing())
        .await
        .unwrap();
    store
        .revoke_person(&person_id("pam"), "left", T0, &With::nothing())
        .await
        .unwrap();
    assert!(!there(T0).await, "was revoked");
}

pub(crate) async fn an_access_is_kept_with_an_alert_a_source<B: Backend>() {
    let backend: B = hospital().await;
    let asked = access(&[HILL, VALE]);
    let id = add(backend.store(), &asked).await;
    let backend = backend.reopen().await;
    let row = one(backend.store(), id).await;
    assert_eq!((&row.access, row.person_name.as_str()), (&asked, "Person cleo"));
    assert_eq!(row.sources.len(), 2);
    for (source, code) in row.sources.iter().zip([HILL, VALE]) {
        assert_eq!(
            (source.source, source.grant, source.state),
            (ods(code), None, AlertState::Open)
        );
        assert_eq!(
            (source.until, source.ended_at, source.removal),
            (asked.until, None, None)
        );
    }
    assert_ne!(row.sources[0].alert, row.sources[1].alert);
}

pub(crate) async fn what_cannot_be_an_access_is_refused<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let refused = async |asked: NewAccess| store.add_access(&asked, &With::nothing()).await;
    assert_fails!(refused(access(&[])).await, StoreError::Conflict(_));
    assert_fails!(refused(access(&[HILL, WARD])).await, StoreError::Conflict(_));
    let over = NewAccess {
        until: T0 + 10,
        ..access(&[HILL])
    };
    assert_fails!(refused(over).await, StoreError::Conflict(_));
    let nobody = NewAccess {
        person: person_id("nobody"),
        ..access(&[HILL])
    };
    assert_fails!(refused(nobody).await, StoreError::Missing(_));
    assert_fails!(refused(access(&[HILL, "Z99999"])).await, StoreError::Missing(_));
    assert!(
        list(store, AccessesOf::Unit(ods(WARD)), None).await.is_empty(),
        "nothing of it was kept"
    );
}

pub(crate) async fn accesses_are_found_by_whom_they_concern<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let first = add(store, &access(&[HILL])).await.0;
    let second = add(
        store,
        &NewAccess {
            person: person_id("carl"),
            ..access(&[VALE, HILL])
        },
    )
    .await
    .0;
    let third = add(store, &access(&[VALE])).await.0;
    let of = async |of| ids(store, of, None).await;
    assert_eq!(of(AccessesOf::Unit(ods(WARD))).await, [third, second, first]);
    assert_eq!(of(AccessesOf::Unit(ods(HILL))).await, [second, first]);
    assert_eq!(of(AccessesOf::Unit(ods(VALE))).await, [third, second]);
    assert_eq!(of(AccessesOf::Person(person_id("cleo"))).await, [third, first]);
    assert_eq!(of(AccessesOf::One(AccessId(second))).await, [second]);
    assert!(of(AccessesOf::One(AccessId(99))).await.is_empty());
    let query = AccessQuery {
        of: AccessesOf::Unit(ods(WARD)),
        open_at: None,
        before: Some(AccessId(third)),
        limit: 1,
    };
    assert_eq!(store.accesses(&query).await.unwrap()[0].id.0, second);
}
