//! Promises about one-time tokens and certificates.

use handfast_proto::ids::Holder;

use super::{
    backend::Backend,
    kit::{
        HILL, T0, TOKEN_MS, VALE, add_person, assert_fails, certificate, hash, ods, person_id, token,
        unit_change, with_units,
    },
};
use crate::store::{Role, Store, StoreError, UnitState, With};

const FIRST: &str = "first of Z00101";

fn hill() -> Holder {
    Holder::Unit(ods(HILL))
}

pub(crate) async fn a_token_is_used_once<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    for _ in 0..2 {
        assert_eq!(
            store.find_token(&hash(FIRST), T0).await.unwrap().holder,
            hill(),
            "looking does not use it"
        );
    }
    store
        .consume_token(&hash(FIRST), &certificate(hill(), 1), T0, &With::nothing())
        .await
        .unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_fails!(store.find_token(&hash(FIRST), T0).await, StoreError::TokenRefused);
    let again = store
        .consume_token(&hash(FIRST), &certificate(hill(), 2), T0, &With::nothing())
        .await;
    assert_fails!(again, StoreError::TokenRefused);
    assert_fails!(
        store.find_token(&hash("never was"), T0).await,
        StoreError::TokenRefused
    );
    let never = store
        .consume_token(&hash("never was"), &certificate(hill(), 2), T0, &With::nothing())
        .await;
    assert_fails!(never, StoreError::TokenRefused);
}

pub(crate) async fn a_token_used_twice_at_once_holds_once<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let certificates: Vec<_> = (1..=8).map(|serial| certificate(hill(), serial)).collect();
    let token = hash(FIRST);
    let nothing = With::nothing();
    let attempts = certificates
        .iter()
        .map(|c| store.consume_token(&token, c, T0, &nothing));
    let results = futures::future::join_all(attempts).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .all(|r| matches!(r, Ok(()) | Err(StoreError::TokenRefused)))
    );
}

pub(crate) async fn a_token_expires<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let last = T0 + TOKEN_MS - 1;
    assert!(store.find_token(&hash(FIRST), last).await.is_ok());
    assert_fails!(
        store.find_token(&hash(FIRST), last + 1).await,
        StoreError::TokenRefused
    );
    let late = store
        .consume_token(&hash(FIRST), &certificate(hill(), 1), last + 1, &With::nothing())
        .await;
    assert_fails!(late, StoreError::TokenRefused);
    store
        .consume_token(&hash(FIRST), &certificate(hill(), 1), last, &With::nothing())
        .await
        .unwrap();
}

pub(crate) async fn a_newer_token_voids_the_older<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    store
        .add_token(&token(hill(), "second"), T0, &With::nothing())
        .await
        .unwrap();
    assert_fails!(store.find_token(&hash(FIRST), T0).await, StoreError::TokenRefused);
    assert!(store.find_token(&hash("second"), T0).await.is_ok());
    assert!(
        store.find_token(&hash("first of Z00102"), T0).await.is_ok(),
        "another holder's stands"
    );
    // The same secret twice cannot be.
    assert_fails!(
        store.add_token(&token(hill(), FIRST), T0, &With::nothing()).await,
        StoreError::Exists(_)
    );
    assert!(
        store.find_token(&hash("second"), T0).await.is_ok(),
        "nothing was kept of it"
    );
}

pub(crate) async fn expired_tokens_are_forgotten_with_the_next<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let vale = || token(Holder::Unit(ods(VALE)), "second of Z00102");
    let last = T0 + TOKEN_MS - 1;
    store.add_token(&vale(), last, &With::nothing()).await.unwrap();
    assert!(
        store.find_token(&hash(FIRST), last).await.is_ok(),
        "it still holds"
    );
    let mut newer = vale();
    newer.hash = hash("third of Z00102");
    newer.expires_at += TOKEN_MS;
    store.add_token(&newer, last + 1, &With::nothing()).await.unwrap();
    // Asked as of a time when it held: only what is forgotten is refused.
    assert_fails!(store.find_token(&hash(FIRST), T0).await, StoreError::TokenRefused);
    assert!(store.find_token(&newer.hash, last + 1).await.is_ok());
}

pub(crate) async fn token_and_certificate_go_together<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    store
        .add_certificate(&certificate(Holder::Unit(ods(VALE)), 1), T0, &With::nothing())
        .await
        .unwrap();
    let taken = store
        .consume_token(&hash(FIRST), &certificate(hill(), 1), T0, &With::nothing())
        .await;
    assert_fails!(taken, StoreError::Exists(_));
    let stranger = certificate(Holder::Unit(ods(VALE)), 2);
    let other = store
        .consume_token(&hash(FIRST), &stranger, T0, &With::nothing())
        .await;
    assert_fails!(other, StoreError::Conflict(_));
    assert!(
        store.find_token(&hash(FIRST), T0).await.is_ok(),
        "the token is still unused"
    );
    let units = store.units(T0).await.unwrap();
    assert!(!units[0].agent_enrolled && units[1].agent_enrolled);
    store
        .consume_token(&hash(FIRST), &certificate(hill(), 2), T0, &With::nothing())
        .await
        .unwrap();
}

pub(crate) async fn those_who_left_enrol_no_more<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    add_person(store, "ann", HILL, Role::Clinician).await.unwrap();
    store
        .revoke_person(&person_id("ann"), "left", T0, &With::nothing())
        .await
        .unwrap();
    store
        .set_unit_state(&unit_change(HILL, UnitState::Retired), &With::nothing())
        .await
        .unwrap();
    for (holder, name) in [(hill(), FIRST), (Holder::Person(person_id("ann")), "ann")] {
        assert_fails!(store.find_token(&hash(name), T0).await, StoreError::TokenRefused);
        let used = store
            .consume_token(&hash(name), &certificate(holder.clone(), 1), T0, &With::nothing())
            .await;
        assert_fails!(used, StoreError::TokenRefused);
        let another = store
            .add_token(&token(holder.clone(), "another"), T0, &With::nothing())
            .await;
        assert_fails!(another, StoreError::Conflict(_));
        let renewed = store
            .add_certificate(&certificate(holder, 1), T0, &With::nothing())
            .await;
        assert_fails!(renewed, StoreError::Conflict(_));
    }
}

pub(crate) async fn certificates_are_renewed<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    for serial in 1..=3 {
        store
            .add_certificate(&certificate(hill(), serial), T0, &With::nothing())
            .await
            .unwrap();
    }
    assert_fails!(
        store
            .add_certificate(&certificate(hill(), 3), T0, &With::nothing())
            .await,
        StoreError::Exists(_)
    );
    for nobody in [Holder::Unit(ods("Z99999")), Holder::Person(person_id("nobody"))] {
        let result = store
            .add_certificate(&certificate(nobody.clone(), 9), T0, &With::nothing())
            .await;
        assert_fails!(result, StoreError::Missing(_));
        assert_fails!(
            store.add_token(&token(nobody, "x"), T0, &With::nothing()).await,
            StoreError::Missing(_)
        );
    }
}
