//! Promises about emergency accesses and the grants that carry them.

use super::{
    accesses::{HOUR, access, add, hospital, ids, one},
    backend::Backend,
    kit::{HILL, T0, VALE, WARD, assert_fails, ods, pair, person_id},
};
use crate::{
    consent::{GrantId, Side},
    store::{
        AccessEnded, AccessId, AccessStore as _, AccessesOf, AlertState, EmergencyGrants as _, EmergencyRow,
        EndAccess, HalfChange, NewAccess, OpenEmergency, OpenedSource, ReviewRow, Store, StoreError, With,
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
    }
}

/// Ends the grants of HILL's records by what they rest on.
async fn end_grant(store: &impl Store, at: i64) {
    let off = HalfChange {
        pair: pair(HILL, WARD),
        side: Side::ShareOut,
        on: false,
        by: "somebody".to_owned(),
        reason: String::new(),
        scope: None,
        at,
    };
    store.set_half(&off, &With::nothing()).await.unwrap();
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

async fn note(store: &impl Store, id: AccessId, opened: &[OpenedSource]) -> Vec<EmergencyRow> {
    store
        .note_opened(id, opened, T0 + 11, &With::nothing())
        .await
        .unwrap()
}

async fn ended(store: &impl Store, end: &EndAccess) -> AccessEnded {
    store.end_access(end, &With::nothing()).await.unwrap()
}

/// Until when each grant in force holds.
async fn in_force(store: &impl Store) -> Vec<(GrantId, i64)> {
    let rows = store.emergencies().await.unwrap();
    rows.iter().map(|row| (row.grant, row.until)).collect()
}

pub(crate) async fn an_access_ends_with_its_grant<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL, VALE]);
    let id = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    let vale = grant(store, VALE, &asked).await;
    let noted = note(store, id, &[hill, vale]).await;
    assert_eq!(noted, store.emergencies().await.unwrap());
    let later = OpenedSource {
        grant: GrantId(77),
        ..hill
    };
    assert!(note(store, id, &[later]).await.is_empty());
    let row = one(store, id).await;
    assert_eq!(row.sources[0].grant, Some(hill.grant), "what is noted stays");

    end_grant(store, T0 + 20).await;
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
    let by_pam = ended(store, &end(id, &[HILL, VALE], "pam", T0 + 30)).await;
    assert_eq!(by_pam.over, [hill.grant, vale.grant]);
    assert_eq!(by_pam.outcomes.len(), 1, "one of them had ended");
    assert_eq!(by_pam.outcomes[0].emergencies_ended[0].0, vale.grant);
    let again = ended(store, &end(id, &[VALE], "cleo", T0 + 40)).await;
    assert_eq!(
        (again.over, again.outcomes, again.go_on),
        (vec![vale.grant], vec![], vec![]),
        "asking again is safe"
    );
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
    assert!(row.sources[1].removal.is_some());
    assert_fails!(
        store
            .end_access(&end(AccessId(99), &[VALE], "pam", T0), &With::nothing())
            .await,
        StoreError::Missing(_)
    );
}

/// Two accesses that one grant carries: the first lasts an hour, the second as long as is said. The grant.
async fn two<B: Backend>(lasts: i64) -> (B, [AccessId; 2], GrantId) {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL]);
    let first = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    note(store, first, &[hill]).await;
    let second = NewAccess {
        person: person_id("carl"),
        until: asked.at + lasts,
        ..asked
    };
    let second = add(store, &second).await;
    let held = note(store, second, &[hill]).await;
    assert_eq!(held, store.emergencies().await.unwrap());
    (backend, [first, second], hill.grant)
}

pub(crate) async fn a_grant_holds_as_long_as_the_longest_access_that_it_carries<B: Backend>() {
    let (backend, [first, second], hill): (B, _, _) = two(2 * HOUR).await;
    let store = backend.store();
    let began = T0 + 10;
    assert_eq!(in_force(store).await, [(hill, began + 2 * HOUR)]);
    assert_eq!(one(store, second).await.sources[0].until, began + 2 * HOUR);
    assert_eq!(one(store, first).await.sources[0].until, began + HOUR);

    // The longer one ends: no longer than the other.
    let early = ended(store, &end(second, &[HILL], "carl", T0 + 20)).await;
    assert_eq!((early.over, early.outcomes), (vec![], vec![]));
    assert_eq!(early.go_on, store.emergencies().await.unwrap());
    assert_eq!(in_force(store).await, [(hill, began + HOUR)]);
    assert_eq!(one(store, first).await.sources[0].ended_at, None);
    let last = ended(store, &end(first, &[HILL], "cleo", T0 + 30)).await;
    assert_eq!((last.over, last.go_on), (vec![hill], vec![]));
    assert_eq!(last.outcomes[0].emergencies_ended[0].0, hill);
    assert!(in_force(store).await.is_empty());
}

pub(crate) async fn an_access_of_which_the_time_is_over_holds_no_grant<B: Backend>() {
    let (backend, [first, _], hill): (B, _, _) = two(HOUR / 4).await;
    let store = backend.store();
    assert_eq!(in_force(store).await, [(hill, T0 + 10 + HOUR)], "never shorter");
    let early = ended(store, &end(first, &[HILL], "cleo", T0 + 10 + HOUR / 4)).await;
    assert_eq!((early.over, early.go_on), (vec![hill], vec![]));
    assert!(in_force(store).await.is_empty());
}

pub(crate) async fn a_grant_that_is_over_carries_no_further_access<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL]);
    let hill = grant(store, HILL, &asked).await;
    let late = add(store, &asked).await;
    let over = store
        .note_opened(late, &[hill], asked.until, &With::nothing())
        .await;
    assert_fails!(over, StoreError::Conflict(_));
    end_grant(store, T0 + 20).await;
    let ended = store.note_opened(late, &[hill], T0 + 21, &With::nothing()).await;
    assert_fails!(ended, StoreError::Conflict(_));
    assert_eq!(one(store, late).await.sources[0].grant, None);
}

pub(crate) async fn open_is_what_holds_or_is_not_reviewed<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let asked = access(&[HILL]);
    let id = add(store, &asked).await;
    let hill = grant(store, HILL, &asked).await;
    note(store, id, &[hill]).await;
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
    end_grant(store, T0 + 30).await;
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
    end_grant(store, T0 + 20).await;
    let late = add(store, &NewAccess { at: T0 + 30, ..asked }).await;
    assert_eq!(
        store.adopt_grants().await.unwrap(),
        0,
        "ended before it was asked"
    );
    assert_eq!(one(store, late).await.sources[0].grant, None);
}
