//! Promises about emergency accesses and the grants that carry them.

use super::{
    accesses::{HOUR, access, add, hospital, ids, one},
    backend::Backend,
    kit::{HILL, T0, VALE, WARD, assert_fails, ods, person_id},
};
use crate::{
    consent::GrantId,
    store::{
        AccessId, AccessStore as _, AccessesOf, AlertState, EndAccess, NewAccess, OpenEmergency,
        OpenedSource, ReviewRow, Store, StoreError, With,
    },
};

/// Opens a source for a patient as delivery does.
async fn grant(store: &impl Store, source: &str, access: &NewAccess) -> OpenedSource {
    let open = OpenEmergency {
        recipient: access.recipient,
        patient: access.patient,
        sources: vec![ods(source)],
        at: access.at,
        until: access.until,
    };
    let rows = store.open_emergency(&open, &With::nothing()).await.unwrap();
    OpenedSource {
        source: ods(source),
        grant: rows[0].grant,
        until: rows[0].until,
    }
}

async fn end_grant(store: &impl Store, grant: GrantId, at: i64) {
    store
        .end_emergencies(&[grant], at, &With::nothing())
        .await
        .unwrap();
}

fn end(id: AccessId, sources: &[&str], by: &str, at: i64) -> EndAccess {
    EndAccess {
        id,
        sources: sources.iter().map(|code| ods(code)).collect(),
        by: format!("person {by}"),
        unit: ods(WARD),
        at,
    }
}

async fn are_its_own(store: &impl Store, id: AccessId, hill: GrantId, vale: GrantId) {
    assert_eq!(
        store.own_grants(id, None).await.unwrap(),
        [(ods(HILL), hill), (ods(VALE), vale)]
    );
    assert_eq!(
        store.own_grants(id, Some(ods(VALE))).await.unwrap(),
        [(ods(VALE), vale)]
    );
    assert_fails!(
        store.own_grants(id, Some(ods(WARD))).await,
        StoreError::Missing(_)
    );
    assert_fails!(store.own_grants(AccessId(99), None).await, StoreError::Missing(_));
}

pub(crate) async fn an_access_ends_with_its_grant<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL, VALE]);
    let id = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    let vale = grant(store, VALE, &asked).await;
    store
        .note_opened(id, &[hill, vale], T0 + 11, &With::nothing())
        .await
        .unwrap();
    let later = OpenedSource {
        grant: GrantId(77),
        ..hill
    };
    store
        .note_opened(id, &[later], T0 + 12, &With::nothing())
        .await
        .unwrap();
    let row = one(store, id).await;
    assert_eq!(row.sources[0].grant, Some(hill.grant), "what is noted stays");
    are_its_own(store, id, hill.grant, vale.grant).await;

    end_grant(store, hill.grant, T0 + 20).await;
    let row = one(store, id).await;
    assert_eq!(
        (row.sources[0].ended_at, &row.sources[0].ended_by),
        (Some(T0 + 20), &None)
    );
    assert!(
        row.sources[0].removal.is_some(),
        "nothing else lets the records stay"
    );
    assert_eq!((row.sources[1].ended_at, row.sources[1].removal), (None, None));

    // What was over before stays as it was; the other was ended by whoever did so first.
    end_grant(store, vale.grant, T0 + 30).await;
    store
        .end_access(&end(id, &[VALE], "pam", T0 + 30), &With::nothing())
        .await
        .unwrap();
    store
        .end_access(&end(id, &[VALE], "cleo", T0 + 40), &With::nothing())
        .await
        .unwrap();
    let row = one(store, id).await;
    assert_eq!(
        (row.sources[0].ended_at, &row.sources[0].ended_by),
        (Some(T0 + 20), &None)
    );
    let by = Some(("person pam".to_owned(), ods(WARD)));
    assert_eq!(
        (row.sources[1].ended_at, &row.sources[1].ended_by),
        (Some(T0 + 30), &by)
    );
    assert_eq!(
        store.own_grants(id, Some(ods(VALE))).await.unwrap().len(),
        1,
        "asking again is safe"
    );
    assert_fails!(
        store
            .end_access(&end(AccessId(99), &[VALE], "pam", T0), &With::nothing())
            .await,
        StoreError::Missing(_)
    );
}

pub(crate) async fn accesses_that_share_a_grant_end_one_by_one<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL]);
    let first = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    store
        .note_opened(first, &[hill], T0 + 11, &With::nothing())
        .await
        .unwrap();
    let second = NewAccess {
        person: person_id("carl"),
        until: asked.until + HOUR,
        ..asked
    };
    let second = add(store, &second).await;
    store
        .note_opened(second, &[hill], T0 + 12, &With::nothing())
        .await
        .unwrap();
    assert_eq!(
        one(store, second).await.sources[0].until,
        hill.until,
        "no longer than the grant"
    );

    assert!(
        store.own_grants(first, None).await.unwrap().is_empty(),
        "it carries the other too"
    );
    store
        .end_access(&end(first, &[HILL], "cleo", T0 + 20), &With::nothing())
        .await
        .unwrap();
    assert_eq!(one(store, second).await.sources[0].ended_at, None);
    assert_eq!(
        store.own_grants(second, None).await.unwrap(),
        [(ods(HILL), hill.grant)]
    );
}

pub(crate) async fn open_is_what_holds_or_is_not_reviewed<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL]);
    let id = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    store
        .note_opened(id, &[hill], T0 + 11, &With::nothing())
        .await
        .unwrap();
    let open = async |unit, at| ids(store, AccessesOf::Unit(ods(unit)), Some(at)).await;
    assert_eq!(open(WARD, asked.until + 1).await, [id.0], "not reviewed");
    let review = ReviewRow {
        person: person_id("pete"),
        unit: ods(HILL),
        justified: true,
        note: "seen".to_owned(),
        at: T0 + 15,
    };
    let alert = one(store, id).await.sources[0].alert;
    store.review(&[alert], &review, &With::nothing()).await.unwrap();
    assert_eq!(open(WARD, T0 + 20).await, [id.0], "still holds");
    assert!(open(WARD, asked.until).await.is_empty());
    end_grant(store, hill.grant, T0 + 30).await;
    assert!(open(WARD, T0 + 31).await.is_empty());
    let row = one(store, id).await;
    assert_eq!(
        (row.sources[0].state, &row.sources[0].reviews),
        (AlertState::Reviewed, &vec![review])
    );
}

pub(crate) async fn grants_that_were_not_noted_are_found<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL, VALE]);
    let id = add(store, &asked).await;
    let other = NewAccess {
        patient: "9990000026".parse().unwrap(),
        ..access(&[HILL])
    };
    grant(store, HILL, &other).await;
    assert_eq!(store.adopt_grants().await.unwrap(), 0, "another patient's");
    let hill = grant(store, HILL, &asked).await;
    assert_eq!(store.adopt_grants().await.unwrap(), 1);
    let row = one(store, id).await;
    assert_eq!(
        (row.sources[0].grant, row.sources[1].grant),
        (Some(hill.grant), None)
    );
    end_grant(store, hill.grant, T0 + 20).await;
    let late = add(store, &NewAccess { at: T0 + 30, ..asked }).await;
    assert_eq!(
        store.adopt_grants().await.unwrap(),
        0,
        "ended before it was asked"
    );
    assert_eq!(one(store, late).await.sources[0].grant, None);
}
