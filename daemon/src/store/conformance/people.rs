//! Promises about people.

use handfast_proto::ids::Holder;

use super::{
    backend::Backend,
    kit::{
        HILL, T0, VALE, add_person, assert_fails, hash, ods, person, person_id, token, unit_change,
        with_units,
    },
};
use crate::store::{NewPerson, Role, Store, StoreError, UnitState, With};

pub(crate) async fn people_are_added_and_listed<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let operator = NewPerson {
        id: person_id("op"),
        name: "Operator".to_owned(),
        unit: None,
        role: Role::Operator,
    };
    let of_operator = token(Holder::Person(operator.id.clone()), "op");
    let made = store
        .add_person(&operator, &of_operator, T0 + 4, &With::nothing())
        .await
        .unwrap();
    assert_eq!(
        (made.unit, made.role, made.revoked, made.added_at),
        (None, Role::Operator, false, T0 + 4)
    );
    for (id, unit) in [("zoe", VALE), ("bob", VALE), ("carl", HILL)] {
        add_person(store, id, unit, Role::Clinician).await.unwrap();
    }
    assert_fails!(
        add_person(store, "bob", HILL, Role::UnitAdmin).await,
        StoreError::Exists(_)
    );
    let backend = backend.reopen().await;
    let people = backend.store().people().await.unwrap();
    let order: Vec<_> = people.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(order, ["op", "carl", "bob", "zoe"], "by unit and name");
    let bob = backend.store().person(&person_id("bob")).await.unwrap().unwrap();
    assert_eq!(
        (bob.unit, bob.role, bob.name.as_str()),
        (Some(ods(VALE)), Role::Clinician, "Person bob")
    );
    assert!(backend.store().find_token(&hash("bob"), T0).await.is_ok());
}

pub(crate) async fn a_role_is_changed<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    add_person(store, "ann", HILL, Role::Clinician).await.unwrap();
    let changed = store
        .set_role(&person_id("ann"), Role::PrivacyOfficer, T0, &With::nothing())
        .await
        .unwrap();
    assert_eq!(changed.role, Role::PrivacyOfficer);
    assert_eq!(store.person(&person_id("ann")).await.unwrap(), Some(changed));
}

pub(crate) async fn a_revoked_person_stays_so<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    add_person(store, "ann", HILL, Role::UnitAdmin).await.unwrap();
    let revoked = store
        .revoke_person(&person_id("ann"), "left", T0, &With::nothing())
        .await
        .unwrap();
    assert!(revoked.revoked);
    assert_fails!(store.find_token(&hash("ann"), T0).await, StoreError::TokenRefused);
    assert_eq!(
        store
            .revoke_person(&person_id("ann"), "again", T0 + 1, &With::nothing())
            .await
            .unwrap(),
        revoked
    );
    let result = store
        .set_role(&person_id("ann"), Role::Clinician, T0, &With::nothing())
        .await;
    assert_fails!(result, StoreError::Conflict(_));
    assert_fails!(
        add_person(store, "ann", HILL, Role::UnitAdmin).await,
        StoreError::Exists(_)
    );
    let backend = backend.reopen().await;
    assert_eq!(backend.store().people().await.unwrap(), [revoked]);
}

pub(crate) async fn people_that_are_not_there_are_missing<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let nobody = person_id("nobody");
    assert_eq!(store.person(&nobody).await.unwrap(), None);
    assert_fails!(
        store.set_role(&nobody, Role::Auditor, T0, &With::nothing()).await,
        StoreError::Missing(_)
    );
    assert_fails!(
        store.revoke_person(&nobody, "", T0, &With::nothing()).await,
        StoreError::Missing(_)
    );
    let of = |id| token(Holder::Person(person_id(id)), id);
    let lost = store
        .add_person(
            &person("lost", "Z99999", Role::Clinician),
            &of("lost"),
            T0,
            &With::nothing(),
        )
        .await;
    assert_fails!(lost, StoreError::Missing(_));
    store
        .set_unit_state(&unit_change(HILL, UnitState::Retired), &With::nothing())
        .await
        .unwrap();
    let late = store
        .add_person(
            &person("late", HILL, Role::Clinician),
            &of("late"),
            T0,
            &With::nothing(),
        )
        .await;
    assert_fails!(late, StoreError::Conflict(_));
    assert!(store.people().await.unwrap().is_empty());
}
