//! Promises about alerts, their reviews and their hand-off.

use super::{
    accesses::{access, add, hospital, one},
    backend::Backend,
    kit::{HILL, T0, VALE, WARD, assert_fails, ods, person_id},
};
use crate::store::{
    AccessStore as _, AlertId, AlertKind, AlertQuery, AlertRow, AlertState, AlertsOf, HandedOff, NewAlert,
    ReviewRow, Store, StoreError, Target, With,
};

fn alert(kind: AlertKind, unit: &str, at: i64) -> NewAlert {
    NewAlert {
        kind,
        unit: ods(unit),
        source: None,
        patient: None,
        person: Some(person_id("cleo")),
        by: "person cleo".to_owned(),
        note: "why".to_owned(),
        at,
    }
}

async fn raise(store: &impl Store, alerts: &[NewAlert]) -> Vec<AlertId> {
    store.raise_alerts(alerts, &With::nothing()).await.unwrap()
}

async fn list(store: &impl Store, of: AlertsOf, open: bool) -> Vec<AlertRow> {
    let query = AlertQuery {
        of,
        open,
        before: None,
        limit: 100,
    };
    store.alerts(&query).await.unwrap()
}

async fn ids(store: &impl Store, of: AlertsOf, open: bool) -> Vec<AlertId> {
    list(store, of, open).await.iter().map(|row| row.id).collect()
}

fn review(person: &str, unit: &str) -> ReviewRow {
    ReviewRow {
        person: person_id(person),
        unit: ods(unit),
        justified: false,
        note: "not needed".to_owned(),
        at: T0 + 50,
    }
}

pub(crate) async fn alerts_are_found_by_whom_they_concern<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let id = add(store, &access(&[HILL, VALE])).await;
    let (hill, vale) = {
        let row = one(store, id).await;
        (row.sources[0].alert, row.sources[1].alert)
    };
    let kinds = [AlertKind::SelfClaimed, AlertKind::OperatorRecovery];
    let more = raise(store, &kinds.map(|kind| alert(kind, HILL, T0 + 5))).await;
    assert_fails!(
        store
            .raise_alerts(&[alert(AlertKind::SelfClaimed, "Z99999", T0)], &With::nothing())
            .await,
        StoreError::Missing(_)
    );
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(
        ids(store, AlertsOf::Unit(ods(WARD), None), true).await,
        [vale, hill]
    );
    assert_eq!(
        ids(store, AlertsOf::Unit(ods(HILL), None), true).await,
        [more[1], more[0], hill]
    );
    let recovery = AlertsOf::Unit(ods(HILL), Some(AlertKind::OperatorRecovery));
    assert_eq!(ids(store, recovery, false).await, [more[1]]);
    let row = list(store, AlertsOf::One(hill), false).await.pop().unwrap();
    assert_eq!(
        (row.access, row.alert.source, row.state),
        (Some(id), Some(ods(HILL)), AlertState::Open)
    );
    assert_eq!(row.alert.person, Some(person_id("cleo")));
    let query = AlertQuery {
        of: AlertsOf::Unit(ods(HILL), None),
        open: false,
        before: Some(more[1]),
        limit: 1,
    };
    assert_eq!(store.alerts(&query).await.unwrap()[0].id, more[0]);
}

pub(crate) async fn the_first_review_closes_and_further_ones_are_added<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let raised = raise(
        store,
        &[
            alert(AlertKind::SelfClaimed, WARD, T0),
            alert(AlertKind::SelfClaimed, HILL, T0),
        ],
    )
    .await;
    let of = AlertsOf::Unit(ods(WARD), None);
    store
        .review(&raised[..1], &review("pam", WARD), &With::nothing())
        .await
        .unwrap();
    assert!(ids(store, of, true).await.is_empty());
    let second = ReviewRow {
        at: T0 + 60,
        justified: true,
        ..review("pete", HILL)
    };
    store
        .review(&raised[..1], &second, &With::nothing())
        .await
        .unwrap();
    let row = list(store, of, false).await.pop().unwrap();
    assert_eq!(
        (row.state, row.reviewed_at),
        (AlertState::Reviewed, Some(T0 + 50))
    );
    assert_eq!(row.reviews, [review("pam", WARD), second]);

    // Of several, all are reviewed or none.
    let again = store
        .review(&raised, &review("pam", WARD), &With::nothing())
        .await;
    assert_fails!(again, StoreError::Conflict(_));
    let gone = store
        .review(&[raised[1], AlertId(99)], &review("pam", WARD), &With::nothing())
        .await;
    assert_fails!(gone, StoreError::Missing(_));
    assert_eq!(
        ids(store, AlertsOf::Unit(ods(HILL), None), true).await,
        [raised[1]]
    );
}

pub(crate) async fn nobody_reviews_what_they_did<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let raised = raise(store, &[alert(AlertKind::EmergencyAccess, WARD, T0)]).await;
    let own = store
        .review(&raised, &review("cleo", WARD), &With::nothing())
        .await;
    assert_fails!(own, StoreError::Conflict(_));
    assert_eq!(ids(store, AlertsOf::Unit(ods(WARD), None), true).await, raised);
}

pub(crate) async fn what_nobody_reviews_is_escalated_once<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let waiting = async || {
        let rows = store.not_escalated(10).await.unwrap();
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert!(waiting().await.is_empty());
    let at = |at| alert(AlertKind::SelfClaimed, WARD, at);
    let raised = raise(store, &[at(T0), at(T0 + 10), at(T0 + 5)]).await;
    store
        .review(&raised[..1], &review("pam", WARD), &With::nothing())
        .await
        .unwrap();
    assert_eq!(waiting().await, [raised[2], raised[1]], "those raised first");
    assert_eq!(store.not_escalated(1).await.unwrap().len(), 1);
    let escalate = async |ids: &[AlertId]| store.escalate(ids, T0 + 100, &With::nothing()).await;
    assert_fails!(escalate(&[raised[2], raised[0]]).await, StoreError::Conflict(_));
    assert_eq!(waiting().await.len(), 2, "none of them was");
    escalate(&raised[2..]).await.unwrap();
    assert_fails!(escalate(&raised[2..]).await, StoreError::Conflict(_));
    assert_eq!(waiting().await, [raised[1]]);
    assert_eq!(ids(store, AlertsOf::Escalated(None), true).await, raised[2..]);
    assert_eq!(
        ids(store, AlertsOf::Escalated(Some(ods(WARD))), true).await,
        raised[2..]
    );
    assert!(
        ids(store, AlertsOf::Escalated(Some(ods(HILL))), true)
            .await
            .is_empty()
    );
    store
        .review(&raised[2..], &review("pam", WARD), &With::nothing())
        .await
        .unwrap();
    let row = list(store, AlertsOf::Escalated(None), false).await.pop().unwrap();
    assert_eq!(
        (row.state, row.escalated_at),
        (AlertState::Reviewed, Some(T0 + 100))
    );
}

// === Hand-off ===

fn tried(alert: AlertId, state: AlertState, failed: Option<i64>) -> HandedOff {
    HandedOff {
        alert,
        target: Target::Webhook,
        state,
        at: T0 + 200,
        failed: failed.map(|again| (again, "away".to_owned())),
    }
}

async fn owed(store: &impl Store, target: Target, now: i64) -> Vec<(AlertId, AlertState, u32)> {
    let owed = store.owed(target, now, 100).await.unwrap();
    owed.iter().map(|h| (h.alert, h.state, h.tries)).collect()
}

pub(crate) async fn each_target_is_owed_each_alert_until_it_was_told<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let both = [Target::Webhook, Target::Mail];
    assert_eq!(store.set_targets(&both, T0).await.unwrap(), 0);
    let raised = raise(store, &[alert(AlertKind::SelfClaimed, WARD, T0 + 5)]).await;
    let first = raised[0];
    for target in both {
        assert_eq!(store.next_owed(target).await.unwrap(), Some(T0 + 5));
        assert!(
            owed(store, target, T0 + 4).await.is_empty(),
            "not before it is due"
        );
        assert_eq!(owed(store, target, T0 + 5).await, [(first, AlertState::Open, 0)]);
    }
    store
        .handed_off(&tried(first, AlertState::Open, Some(T0 + 500)))
        .await
        .unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.next_owed(Target::Webhook).await.unwrap(), Some(T0 + 500));
    assert_eq!(
        owed(store, Target::Webhook, T0 + 500).await,
        [(first, AlertState::Open, 1)]
    );
    assert_eq!(
        owed(store, Target::Mail, T0 + 5).await.len(),
        1,
        "each for itself"
    );

    // A change while it is being tried again does not make it due earlier, but is what is told then.
    store
        .review(&raised, &review("pam", WARD), &With::nothing())
        .await
        .unwrap();
    assert_eq!(
        owed(store, Target::Webhook, T0 + 500).await,
        [(first, AlertState::Reviewed, 1)]
    );
    store
        .handed_off(&tried(first, AlertState::Open, None))
        .await
        .unwrap();
    assert_eq!(
        owed(store, Target::Webhook, T0 + 200).await,
        [(first, AlertState::Reviewed, 0)]
    );
    store
        .handed_off(&tried(first, AlertState::Reviewed, None))
        .await
        .unwrap();
    assert_eq!(store.next_owed(Target::Webhook).await.unwrap(), None);
    assert_eq!(store.next_owed(Target::Mail).await.unwrap(), Some(T0 + 5));
}

pub(crate) async fn what_was_told_is_owed_again_when_it_changes<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    store.set_targets(&[Target::Webhook], T0).await.unwrap();
    let raised = raise(store, &[alert(AlertKind::SelfClaimed, WARD, T0 + 5)]).await;
    store
        .handed_off(&tried(raised[0], AlertState::Open, None))
        .await
        .unwrap();
    store.escalate(&raised, T0 + 300, &With::nothing()).await.unwrap();
    assert_eq!(
        owed(store, Target::Webhook, T0 + 300).await,
        [(raised[0], AlertState::Escalated, 0)]
    );
    store
        .handed_off(&tried(raised[0], AlertState::Escalated, None))
        .await
        .unwrap();
    let later = ReviewRow {
        at: T0 + 400,
        ..review("pam", WARD)
    };
    store.review(&raised, &later, &With::nothing()).await.unwrap();
    assert_eq!(store.next_owed(Target::Webhook).await.unwrap(), Some(T0 + 400));
    let more = ReviewRow {
        at: T0 + 500,
        ..review("pete", HILL)
    };
    store
        .handed_off(&tried(raised[0], AlertState::Reviewed, None))
        .await
        .unwrap();
    store.review(&raised, &more, &With::nothing()).await.unwrap();
    assert_eq!(
        store.next_owed(Target::Webhook).await.unwrap(),
        None,
        "it stands as it stood"
    );
}

pub(crate) async fn targets_come_and_go<B: Backend>() {
    let backend: B = hospital().await;
    let store = backend.store();
    let raised = raise(
        store,
        &[
            alert(AlertKind::SelfClaimed, WARD, T0),
            alert(AlertKind::SelfClaimed, WARD, T0),
        ],
    )
    .await;
    store
        .review(&raised[..1], &review("pam", WARD), &With::nothing())
        .await
        .unwrap();
    assert_eq!(store.next_owed(Target::Mail).await.unwrap(), None);
    store.set_targets(&[Target::Mail], T0 + 70).await.unwrap();
    assert_eq!(
        owed(store, Target::Mail, T0 + 70).await,
        [(raised[1], AlertState::Open, 0)]
    );
    assert_eq!(store.set_targets(&[Target::Mail], T0 + 80).await.unwrap(), 0);
    assert_eq!(
        store.next_owed(Target::Mail).await.unwrap(),
        Some(T0 + 70),
        "it was there before"
    );
    assert_eq!(
        store.set_targets(&[Target::Webhook], T0 + 90).await.unwrap(),
        1,
        "one was never told"
    );
    assert_eq!(store.next_owed(Target::Mail).await.unwrap(), None);
    assert_eq!(owed(store, Target::Webhook, T0 + 90).await.len(), 1);
}
