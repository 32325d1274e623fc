//! Promises about units.

use handfast_proto::ids::Holder;

use super::{
    backend::Backend,
    kit::{
        HILL, T0, TOKEN_MS, VALE, WARD, add_person, assert_fails, certificate, empty, hash, join, ods, pair,
        person_id, register, token, turn, unit_change, with_units,
    },
};
use crate::{
    consent::Side,
    store::{NewUnit, Role, Store, StoreError, UnitKind, UnitRow, UnitState, UnitStateOutcome, With},
};

/// A unit as it is listed; what is said of it alone is the same.
async fn unit(store: &impl Store, code: &str, now: i64) -> UnitRow {
    let units = store.units(now).await.unwrap();
    let found = units.into_iter().find(|unit| unit.ods == ods(code)).unwrap();
    assert_eq!(store.unit_state(ods(code)).await.unwrap(), Some(found.state));
    found
}

async fn set_state(store: &impl Store, code: &str, state: UnitState) -> Result<UnitStateOutcome, StoreError> {
    store
        .set_unit_state(&unit_change(code, state), &With::nothing())
        .await
}

pub(crate) async fn units_are_registered_and_listed<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    assert!(store.units(T0).await.unwrap().is_empty());
    assert_eq!(store.unit_state(ods(WARD)).await.unwrap(), None);
    register(store, WARD).await.unwrap();
    let new = NewUnit {
        ods: ods(HILL),
        name: "St. Mary's – “Hill” surgery".to_owned(),
        kind: UnitKind::Hospice,
    };
    let made = store
        .register_unit(&new, &token(Holder::Unit(new.ods), "t"), T0 + 9, &With::nothing())
        .await
        .unwrap();
    let expected = UnitRow {
        ods: new.ods,
        name: new.name,
        kind: UnitKind::Hospice,
        state: UnitState::Enrolled,
        registered_at: T0 + 9,
        agent_enrolled: false,
        has_administrator: false,
    };
    assert_eq!(made, expected);
    let backend = backend.reopen().await;
    let units = backend.store().units(T0).await.unwrap();
    assert_eq!(units.len(), 2);
    assert_eq!(units[0], expected, "by ODS code");
    assert_eq!(units[1].ods, ods(WARD));
    let token = backend.store().find_token(&hash("t"), T0).await.unwrap();
    assert_eq!(token.holder, Holder::Unit(ods(HILL)));
}

pub(crate) async fn a_unit_is_there_once<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let again = NewUnit {
        ods: ods(HILL),
        name: "Another".to_owned(),
        kind: UnitKind::Acute,
    };
    let result = store
        .register_unit(
            &again,
            &token(Holder::Unit(again.ods), "second"),
            T0,
            &With::nothing(),
        )
        .await;
    assert_fails!(result, StoreError::Exists(_));
    assert_eq!(unit(store, HILL, T0).await.kind, UnitKind::Gp);
    assert_fails!(
        store.find_token(&hash("second"), T0).await,
        StoreError::TokenRefused
    );
    assert!(
        store.find_token(&hash("first of Z00101"), T0).await.is_ok(),
        "the first still holds"
    );
}

pub(crate) async fn a_unit_is_suspended_and_resumed<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let grant = join(store, pair(HILL, WARD)).await;
    for state in [UnitState::Suspended, UnitState::Suspended, UnitState::Enrolled] {
        let outcome = set_state(store, HILL, state).await.unwrap();
        assert_eq!(outcome.unit.state, state);
        assert!(outcome.pairs.is_empty(), "its grants stand");
        assert_eq!(unit(store, HILL, T0).await, outcome.unit);
    }
    assert_eq!(store.agreements(None).await.unwrap()[0].grant, Some(grant));
    assert_fails!(
        set_state(store, "Z99999", UnitState::Suspended).await,
        StoreError::Missing(_)
    );
}

pub(crate) async fn a_retired_unit_stays_so<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    set_state(store, HILL, UnitState::Suspended).await.unwrap();
    set_state(store, HILL, UnitState::Retired).await.unwrap();
    for state in [UnitState::Enrolled, UnitState::Suspended, UnitState::Retired] {
        assert_fails!(set_state(store, HILL, state).await, StoreError::Conflict(_));
    }
    let backend = backend.reopen().await;
    assert_eq!(unit(backend.store(), HILL, T0).await.state, UnitState::Retired);
    assert_fails!(register(backend.store(), HILL).await, StoreError::Exists(_));
}

pub(crate) async fn retiring_turns_off_its_own_halves<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (out, back, other) = (pair(HILL, WARD), pair(WARD, HILL), pair(VALE, WARD));
    let grants = [join(store, out).await, join(store, back).await];
    let untouched = join(store, other).await;
    turn(store, pair(HILL, VALE), Side::ShareOut, true).await.unwrap();

    let outcome = set_state(store, HILL, UnitState::Retired).await.unwrap();
    assert_eq!(outcome.unit.state, UnitState::Retired);
    let ended: Vec<_> = outcome
        .pairs
        .iter()
        .map(|o| (o.agreement.pair, o.ended.unwrap().0))
        .collect();
    assert_eq!(ended, [(out, grants[0]), (back, grants[1])]);
    for agreement in store.agreements(Some(ods(HILL))).await.unwrap() {
        let (own, theirs) = if agreement.pair.source == ods(HILL) {
            (agreement.share_out, agreement.share_in)
        } else {
            (agreement.share_in, agreement.share_out)
        };
        assert!(!own.on);
        assert_eq!(
            (own.set_by.as_str(), own.reason.as_str(), own.set_at),
            ("operator", "a reason", T0 + 5)
        );
        assert_ne!(theirs.set_by, "operator", "another unit's half is its own");
        assert_eq!(agreement.grant, None);
        assert_eq!(agreement.withdrawal.is_some(), agreement.pair != pair(HILL, VALE));
    }
    let agreements = store.agreements(Some(ods(VALE))).await.unwrap();
    assert_eq!(
        agreements.iter().find(|a| a.pair == other).unwrap().grant,
        Some(untouched)
    );
}

pub(crate) async fn an_agent_enrols<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let holder = Holder::Unit(ods(HILL));
    store
        .consume_token(
            &hash("first of Z00101"),
            &certificate(holder, 1),
            T0,
            &With::nothing(),
        )
        .await
        .unwrap();
    assert!(unit(store, HILL, T0).await.agent_enrolled);
    assert!(!unit(store, VALE, T0).await.agent_enrolled);
}

pub(crate) async fn a_unit_has_an_administrator_while_one_may_come<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let has = async |now| unit(store, HILL, now).await.has_administrator;
    add_person(store, "nurse", HILL, Role::Clinician).await.unwrap();
    add_person(store, "elsewhere", VALE, Role::UnitAdmin)
        .await
        .unwrap();
    assert!(!has(T0).await);

    add_person(store, "ann", HILL, Role::UnitAdmin).await.unwrap();
    assert!(has(T0).await, "her token is good");
    assert!(!has(T0 + TOKEN_MS).await, "her token has expired");
    let ann = Holder::Person(person_id("ann"));
    store
        .consume_token(&hash("ann"), &certificate(ann, 1), T0, &With::nothing())
        .await
        .unwrap();
    assert!(has(T0 + TOKEN_MS).await, "she has enrolled");
    store
        .set_role(&person_id("ann"), Role::Auditor, T0, &With::nothing())
        .await
        .unwrap();
    assert!(!has(T0).await, "she has another role");
    store
        .set_role(&person_id("ann"), Role::UnitAdmin, T0, &With::nothing())
        .await
        .unwrap();
    assert!(has(T0).await);
    store
        .revoke_person(&person_id("ann"), "left", T0, &With::nothing())
        .await
        .unwrap();
    assert!(!has(T0).await, "she was revoked");
}
