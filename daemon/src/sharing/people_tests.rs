//! What the acts on units and people do beyond asking who may.

use std::sync::atomic::Ordering;

use super::{
    ActError, AddPerson, Caller, People, Units,
    testing::{LIFETIME_MS, World, join, ods, pid},
};
use crate::store::{AlertKind, AlertQuery, AlertsOf, Role, UnitKind, UnitState};

fn new_person(unit: &str, role: Role) -> AddPerson {
    AddPerson {
        name: "  Zoë O'Hara ".to_owned(),
        unit: Some(ods(unit)),
        role,
    }
}

#[tokio::test]
async fn a_unit_without_an_administrator_is_the_operators_to_staff_and_then_not() {
    let world = World::new().await;
    let (units, people) = (Units::new(world.ctx.clone()), People::new(world.ctx.clone()));
    let op = world.caller("op").await;
    let (row, secret) = units
        .register(&op, ods("Z00404"), "New", UnitKind::Hospice)
        .await
        .unwrap();
    assert!(!row.has_administrator && row.state == UnitState::Enrolled);
    assert_eq!(secret.token.ca_fingerprint(), &[7; 32]);
    let again = units.register(&op, ods("Z00404"), "New", UnitKind::Hospice).await;
    assert!(matches!(again, Err(ActError::Exists("unit"))));

    people
        .add(&op, new_person("Z00404", Role::UnitAdmin))
        .await
        .unwrap();
    let second = people.add(&op, new_person("Z00404", Role::Clinician)).await;
    assert!(matches!(second, Err(ActError::Refused(_))), "{second:?}");
    assert!(matches!(
        units.create_token(&op, ods("Z00404")).await,
        Err(ActError::Refused(_))
    ));

    // Whoever never used the token is no administrator any more once it has expired.
    world.clock.advance(LIFETIME_MS);
    units.create_token(&op, ods("Z00404")).await.unwrap();
    people
        .add(&op, new_person("Z00404", Role::UnitAdmin))
        .await
        .unwrap();
}

#[tokio::test]
async fn ids_are_readable_and_never_twice_the_same() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let (one, _) = people
        .add(&ann, new_person("Z00101", Role::Clinician))
        .await
        .unwrap();
    let (two, _) = people
        .add(&ann, new_person("Z00101", Role::Clinician))
        .await
        .unwrap();
    assert!(one.id.as_str().starts_with("zo-o-hara-"), "{}", one.id);
    assert_eq!(one.name, "Zoë O'Hara");
    assert_ne!(one.id, two.id);
}

#[tokio::test]
async fn there_is_always_an_operator() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let op = world.caller("op").await;
    let last = people.revoke(&op, pid("op"), "left").await;
    assert!(matches!(last, Err(ActError::Conflict(_))), "{last:?}");
    world.person("eve", None, Role::Operator).await;
    let eve = world.caller("eve").await;
    // Each revokes the other at the same moment: one of them stays.
    let (one, two) = tokio::join!(
        people.revoke(&op, pid("eve"), "left"),
        people.revoke(&eve, pid("op"), "left")
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let left = people.list(&op, None).await.unwrap();
    let operators = left.iter().filter(|p| p.role == Role::Operator && !p.revoked);
    assert_eq!(operators.count(), 1);
}

#[tokio::test]
async fn the_last_administrator_keeps_the_role() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let ann = world.caller("ann").await;
    let down = people.set_role(&ann, pid("ann"), Role::Auditor).await;
    assert!(matches!(down, Err(ActError::Conflict(_))), "{down:?}");
    assert!(matches!(
        people.revoke(&ann, pid("ann"), "").await,
        Err(ActError::Conflict(_))
    ));
    people.set_role(&ann, pid("cleo"), Role::UnitAdmin).await.unwrap();
    let row = people.set_role(&ann, pid("ann"), Role::Auditor).await.unwrap();
    assert_eq!(row.role, Role::Auditor);
    // With the role goes what it allowed, at once.
    let ann = world.caller("ann").await;
    assert!(matches!(
        people.revoke(&ann, pid("pam"), "").await,
        Err(ActError::Denied)
    ));
}

#[tokio::test]
async fn a_role_stays_within_its_unit() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let (op, ann) = (world.caller("op").await, world.caller("ann").await);
    let up = people.set_role(&ann, pid("cleo"), Role::Operator).await;
    assert!(matches!(up, Err(ActError::Invalid { field: "role", .. })));
    let down = people.set_role(&op, pid("op"), Role::Clinician).await;
    assert!(matches!(down, Err(ActError::Invalid { field: "id", .. })));
    let mut nowhere = new_person("Z00101", Role::Clinician);
    nowhere.unit = None;
    let nowhere = people.add(&ann, nowhere).await;
    assert!(matches!(nowhere, Err(ActError::Invalid { field: "unit", .. })));
    let both = people.add(&op, new_person("Z00101", Role::Operator)).await;
    assert!(matches!(both, Err(ActError::Invalid { field: "unit", .. })));
}

#[tokio::test]
async fn the_operator_recovers_a_unit_with_a_reason() {
    let world = World::new().await;
    let people = People::new(world.ctx.clone());
    let op = world.caller("op").await;
    let silent = people.revoke(&op, pid("bob"), " ").await;
    assert!(matches!(silent, Err(ActError::Invalid { field: "reason", .. })));
    assert!(
        people
            .revoke(&op, pid("bob"), "lost the key")
            .await
            .unwrap()
            .revoked
    );
    people
        .add(&op, new_person("Z00202", Role::UnitAdmin))
        .await
        .unwrap();
    let ann = world.caller("ann").await;
    people.revoke(&ann, pid("cleo"), "left").await.unwrap();

    // The unit is alerted each time; what its own administrators do is no recovery.
    let alerts = async |unit: &str| {
        let query = AlertQuery {
            of: AlertsOf::Unit(ods(unit), None),
            open: true,
            before: None,
            limit: 10,
        };
        world.ctx.store.alerts(&query).await.unwrap()
    };
    let raised = alerts("Z00202").await;
    assert_eq!(raised.len(), 2);
    assert!(
        raised
            .iter()
            .all(|row| row.alert.kind == AlertKind::OperatorRecovery && row.alert.by == "person op")
    );
    assert_eq!(raised[1].alert.note, "revoked bob: lost the key");
    assert!(alerts("Z00101").await.is_empty());
}

#[tokio::test]
async fn whoever_is_revoked_is_cut_off_at_once() {
    let world = World::new().await;
    let (units, people) = (Units::new(world.ctx.clone()), People::new(world.ctx.clone()));
    let (op, ann) = (world.caller("op").await, world.caller("ann").await);
    people.revoke(&ann, pid("cleo"), "").await.unwrap();
    assert!(
        people.revoke(&ann, pid("cleo"), "").await.unwrap().revoked,
        "again is harmless"
    );
    assert_eq!(*world.closed.0.lock(), ["person cleo"]);
    let holder = handfast_proto::ids::Holder::Person(pid("cleo"));
    let found = Caller::resolve(&holder, &*world.ctx.store).await.unwrap();
    assert_eq!(found, None);

    units.retire(&op, ods("Z00202"), "closed").await.unwrap();
    let closed = ["unit Z00202", "person bob", "person cat"];
    assert_eq!(world.closed.0.lock()[1..], closed);
    let holder = handfast_proto::ids::Holder::Person(pid("bob"));
    assert_eq!(Caller::resolve(&holder, &*world.ctx.store).await.unwrap(), None);
}

#[tokio::test]
async fn retiring_again_asks_again() {
    let world = World::new().await;
    join(&world).await;
    let units = Units::new(world.ctx.clone());
    let op = world.caller("op").await;
    assert!(matches!(
        units.retire(&op, ods("Z00101"), "").await,
        Err(ActError::Invalid { .. })
    ));
    world.revoker.pending.store(true, Ordering::Relaxed);
    let first = units.retire(&op, ods("Z00101"), "closed").await.unwrap();
    assert!(!first.in_force);
    assert_eq!(first.outcome.pairs.len(), 1);
    assert!(!units.retire(&op, ods("Z00101"), "closed").await.unwrap().in_force);
    world.revoker.pending.store(false, Ordering::Relaxed);
    assert!(units.retire(&op, ods("Z00101"), "closed").await.unwrap().in_force);
    let back = units.resume(&op, ods("Z00101")).await;
    assert!(matches!(back, Err(ActError::Conflict(_))), "{back:?}");
}

#[tokio::test]
async fn texts_are_bounded() {
    let world = World::new().await;
    let units = Units::new(world.ctx.clone());
    let op = world.caller("op").await;
    for name in ["", " \t", &"x".repeat(201), "two\nlines"] {
        let made = units.register(&op, ods("Z00404"), name, UnitKind::Gp).await;
        assert!(
            matches!(made, Err(ActError::Invalid { field: "name", .. })),
            "{name:?}"
        );
    }
    let kind = units
        .register(&op, ods("Z00404"), "New", UnitKind::Unspecified)
        .await;
    assert!(matches!(kind, Err(ActError::Invalid { field: "kind", .. })));
    let reason = units.suspend(&op, ods("Z00101"), &"x".repeat(201), false).await;
    assert!(matches!(reason, Err(ActError::Invalid { field: "reason", .. })));
}
