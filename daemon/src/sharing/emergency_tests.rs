//! What emergency access does: who may, what is opened, how it ends, who reviews it, and what nobody learns.

use std::{num::NonZeroU32, sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use handfast_proto::{
    emergency::Ground,
    v1::{ConsentManner, PatientWordValue, ScrAlertReason, ScrAlertType},
};
use tokio::time::timeout;

use super::{
    AccessOpened, ActError, Agreements, AskAccess, AskRate, EmergencyAccess, Finding, Listing, People,
    alert_tests::{enrol, hospital},
    testing::{World, half, ods, pid},
};
use crate::{
    clock::Clock as _,
    consent::Side,
    store::{AccessId, AlertState, Role, WordChange},
};

const SOON: Duration = Duration::from_secs(5);
const HOUR_MS: i64 = 3_600_000;

pub(super) fn accesses(world: &World) -> EmergencyAccess {
    let rate = AskRate {
        per_hour: NonZeroU32::MIN,
        burst: NonZeroU32::MIN.saturating_add(3),
    };
    EmergencyAccess::new(world.ctx.clone(), rate)
}

pub(super) fn asked(sources: &[&str]) -> AskAccess {
    AskAccess {
        patient: "9990000018".parse().unwrap(),
        sources: sources.iter().map(|code| ods(code)).collect(),
        ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency),
        note: " Unconscious on arrival ".to_owned(),
        seconds: 0,
    }
}

fn finding(justified: bool) -> Finding {
    Finding {
        justified,
        note: "seen".to_owned(),
    }
}

async fn ask(world: &World, access: &EmergencyAccess, who: &str, sources: &[&str]) -> AccessOpened {
    access
        .ask(&world.caller(who).await, asked(sources))
        .await
        .unwrap()
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, ActError>) -> String {
    match outcome {
        Err(ActError::Refused(why)) => why.to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_clinician_opens_what_is_shared_out_at_once() {
    let world = hospital().await;
    let access = accesses(&world);
    let opened = ask(&world, &access, "carl", &["Z00303", "Z00101"]).await;
    assert_eq!(opened.not_shared_out, [ods("Z00303")]);
    let row = opened.access;
    let now = world.clock.now_ms();
    assert_eq!((row.access.at, row.access.until), (now, now + 4 * HOUR_MS));
    assert_eq!(
        (row.access.note.as_str(), row.access.sources.as_slice()),
        ("Unconscious on arrival", &[ods("Z00101")][..])
    );
    let source = &row.sources[0];
    assert_eq!(
        (source.state, source.ended_at, source.reviews.len()),
        (AlertState::Open, None, 0)
    );
    let in_force = world.ctx.store.emergencies().await.unwrap();
    assert_eq!(in_force.len(), 1);
    assert_eq!(
        (Some(in_force[0].grant), in_force[0].until),
        (source.grant, now + 4 * HOUR_MS)
    );

    // Without names: all that may. The same patient again joins what is open.
    let again = ask(&world, &access, "dora", &[]).await;
    assert_eq!(again.access.sources[0].grant, source.grant);
    assert_eq!(world.ctx.store.emergencies().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_opens_nothing() {
    let world = hospital().await;
    let access = EmergencyAccess::new(
        world.ctx.clone(),
        AskRate {
            per_hour: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
        },
    );
    let carl = world.caller("carl").await;
    let invalid = async |asked: AskAccess, want: &str| {
        let outcome = access.ask(&carl, asked).await;
        assert!(
            matches!(&outcome, Err(ActError::Invalid { field, .. }) if *field == want),
            "{outcome:?}"
        );
    };
    invalid(
        AskAccess {
            note: " ".to_owned(),
            ..asked(&[])
        },
        "note",
    )
    .await;
    invalid(
        AskAccess {
            note: "x".repeat(201),
            ..asked(&[])
        },
        "note",
    )
    .await;
    invalid(
        AskAccess {
            seconds: 86_401,
            ..asked(&[])
        },
        "seconds",
    )
    .await;
    invalid(asked(&["Z00202"]), "sources").await;
    let many: Vec<String> = (0..65).map(|n| format!("Y{n:05}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    invalid(asked(&many), "sources").await;
    assert!(world.ctx.store.emergencies().await.unwrap().is_empty());
    assert!(access.list(&carl, Listing::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn i1_a_refusal_tells_what_the_recipient_may_know_anyway() {
    let world = hospital().await;
    let access = accesses(&world);
    let carl = world.caller("carl").await;
    // A unit that shares nothing out to it, and one that is not there.
    let one = refusal(access.ask(&carl, asked(&["Z00303"])).await);
    assert_eq!(refusal(access.ask(&carl, asked(&["Z99999"])).await), one);
    // Where the patient has said no at the source, nothing in the answer is different.
    let before = ask(&world, &access, "carl", &["Z00101"]).await.access;
    access.end(&carl, before.id, None).await.unwrap();
    let now = world.clock.now_ms();
    let no = WordChange {
        unit: ods("Z00101"),
        patient: "9990000018".parse().unwrap(),
        side: Side::ShareOut,
        word: PatientWordValue::No,
        said_at: now,
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
        by: "person ann".to_owned(),
        at: now,
    };
    world
        .ctx
        .revoker
        .record_words(vec![no], Vec::new())
        .await
        .unwrap();
    let after = ask(&world, &access, "carl", &["Z00101"]).await.access;
    assert_eq!(after.access, before.access);
    let (before, after) = (&before.sources[0], &after.sources[0]);
    assert_eq!(
        (after.until, after.ended_at, after.state),
        (before.until, before.ended_at, before.state)
    );
    assert!(after.grant.is_some());
}

#[tokio::test]
async fn without_a_privacy_officer_nothing_is_opened() {
    let world = hospital().await;
    let access = accesses(&world);
    let carl = world.caller("carl").await;
    let people = People::new(world.ctx.clone());
    let bob = world.caller("bob").await;
    people.revoke(&bob, pid("pru"), "left").await.unwrap();
    assert!(refusal(access.ask(&carl, asked(&[])).await).contains("privacy officer"));
    world.person("pia", Some("Z00202"), Role::PrivacyOfficer).await;
    assert!(
        refusal(access.ask(&carl, asked(&[])).await).contains("privacy officer"),
        "not enrolled yet"
    );
    enrol(&world, "pia").await;
    access.ask(&carl, asked(&[])).await.unwrap();
}

#[tokio::test]
async fn a_person_asks_only_so_often() {
    let world = hospital().await;
    let access = accesses(&world);
    for _ in 0..4 {
        ask(&world, &access, "carl", &[]).await;
    }
    let refused = access.ask(&world.caller("carl").await, asked(&[])).await;
    assert!(matches!(refused, Err(ActError::TooMany(_))), "{refused:?}");
    ask(&world, &access, "dora", &[]).await;
}

#[tokio::test]
async fn a_suspended_unit_opens_nothing() {
    let world = hospital().await;
    let access = accesses(&world);
    let op = world.caller("op").await;
    let units = super::Units::new(world.ctx.clone());
    units.suspend(&op, ods("Z00202"), "moved", false).await.unwrap();
    let refused = access.ask(&world.caller("carl").await, asked(&[])).await;
    assert!(refusal(refused).contains("suspended"));
    units.resume(&op, ods("Z00202")).await.unwrap();
    units.suspend(&op, ods("Z00101"), "moved", false).await.unwrap();
    assert!(refusal(access.ask(&world.caller("carl").await, asked(&[])).await).contains("shares out"));
}

#[tokio::test]
async fn an_access_is_ended_by_its_clinician_or_a_privacy_officer() {
    let world = hospital().await;
    let access = accesses(&world);
    let id = ask(&world, &access, "carl", &[]).await.access.id;
    for other in [
        "dora", "cleo", "bob", "ann", "aud", "op", "zoe", "Z00202", "Z00101",
    ] {
        let denied = access.end(&world.caller(other).await, id, None).await;
        assert!(matches!(denied, Err(ActError::Denied)), "{other}: {denied:?}");
    }
    let carl = world.caller("carl").await;
    let nowhere = access.end(&carl, id, Some(ods("Z00303"))).await;
    assert!(
        matches!(nowhere, Err(ActError::Invalid { field: "source", .. })),
        "{nowhere:?}"
    );
    let pam = world.caller("pam").await;
    let foreign = access.end(&pam, id, Some(ods("Z00303"))).await;
    assert!(matches!(foreign, Err(ActError::Denied)));

    // Two share a grant: the first that ends leaves it to the other.
    let second = ask(&world, &access, "dora", &[]).await.access.id;
    world.clock.advance(10);
    let (row, in_force) = access.end(&carl, id, None).await.unwrap();
    assert!(in_force && row.sources[0].ended_at == Some(world.clock.now_ms()));
    assert_eq!(world.ctx.store.emergencies().await.unwrap().len(), 1);
    world.revoker.pending.store(true, Ordering::Relaxed);
    let (row, in_force) = access.end(&pam, second, None).await.unwrap();
    assert!(!in_force, "pending is passed on");
    assert_eq!(
        row.sources[0].ended_by,
        Some(("person pam".to_owned(), ods("Z00101")))
    );
    assert!(world.ctx.store.emergencies().await.unwrap().is_empty());
    let dora = access
        .list(&world.caller("dora").await, Listing::default())
        .await
        .unwrap();
    let by = dora[0].sources[0].ended_by.as_ref().unwrap();
    assert_eq!(
        by.0, "a privacy officer of Z00101",
        "who it was is that unit's own affair"
    );
}

#[tokio::test]
async fn privacy_officers_of_both_units_review_and_nobody_their_own() {
    let world = hospital().await;
    let access = accesses(&world);
    let id = ask(&world, &access, "carl", &[]).await.access.id;
    for other in ["carl", "dora", "cleo", "bob", "ann", "aud", "op", "zoe", "Z00202"] {
        let denied = access
            .review(&world.caller(other).await, id, &finding(true))
            .await;
        assert!(matches!(denied, Err(ActError::Denied)), "{other}: {denied:?}");
    }
    let (pru, pam) = (world.caller("pru").await, world.caller("pam").await);
    let none = access.review(&pru, AccessId(99), &finding(true)).await;
    assert!(matches!(none, Err(ActError::Denied)));
    let silent = Finding {
        note: String::new(),
        ..finding(true)
    };
    let silent = access.review(&pru, id, &silent).await;
    assert!(matches!(silent, Err(ActError::Invalid { field: "note", .. })));

    // With another role the access stays their own.
    let (people, bob) = (People::new(world.ctx.clone()), world.caller("bob").await);
    people
        .set_role(&bob, pid("carl"), Role::PrivacyOfficer)
        .await
        .unwrap();
    let own = access
        .review(&world.caller("carl").await, id, &finding(true))
        .await;
    assert!(refusal(own).contains("nobody reviews"));

    let reviewed = access.review(&pam, id, &finding(false)).await.unwrap();
    assert_eq!(reviewed.sources[0].state, AlertState::Reviewed);
    let more = access.review(&pru, id, &finding(true)).await.unwrap();
    assert_eq!(more.sources[0].reviews.len(), 2);
    let again = access.review(&pam, id, &finding(true)).await;
    assert!(matches!(again, Err(ActError::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn i1_a_source_sees_itself_alone() {
    let world = hospital().await;
    world.person("zara", Some("Z00303"), Role::UnitAdmin).await;
    let out = half("Z00303", "Z00202", Side::ShareOut, true);
    let agreements = Agreements::new(world.ctx.clone());
    agreements.set(&world.caller("zara").await, out).await.unwrap();
    let access = accesses(&world);
    let id = ask(&world, &access, "carl", &[]).await.access.id;
    let seen = async |who: &str| access.list(&world.caller(who).await, Listing::default()).await;
    for (who, sources) in [
        ("pam", vec!["Z00101"]),
        ("zoe", vec!["Z00303"]),
        ("pru", vec!["Z00101", "Z00303"]),
    ] {
        let rows = seen(who).await.unwrap();
        let sources: Vec<_> = sources.into_iter().map(ods).collect();
        assert_eq!(rows[0].access.sources, sources, "{who}");
        assert_eq!(
            rows[0].sources.iter().map(|s| s.source).collect::<Vec<_>>(),
            sources,
            "{who}"
        );
    }
    assert!(
        seen("dora").await.unwrap().is_empty(),
        "a colleague's is not hers"
    );
    for who in ["op", "ann", "bob", "aud", "Z00101", "Z00202"] {
        assert!(matches!(seen(who).await, Err(ActError::Denied)), "{who}");
    }
    // What a source's officer found closes what concerns that source.
    access
        .review(&world.caller("zoe").await, id, &finding(true))
        .await
        .unwrap();
    let open = Listing {
        open: true,
        before: None,
    };
    world.clock.advance(5 * HOUR_MS);
    let row = access
        .list(&world.caller("pru").await, open)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        row.sources.iter().map(|s| s.state).collect::<Vec<_>>(),
        [AlertState::Open, AlertState::Reviewed]
    );
    assert!(
        access
            .list(&world.caller("zoe").await, open)
            .await
            .unwrap()
            .is_empty()
    );
    let own = access
        .list(&world.caller("carl").await, Listing::default())
        .await
        .unwrap();
    assert!(
        own[0].sources[1].reviews.is_empty(),
        "the clinician sees how it stands, not what was said"
    );
}

#[tokio::test]
async fn watchers_see_an_access_and_its_end() {
    let world = hospital().await;
    let access = accesses(&world);
    let mut lists = Box::pin(access.watch(&world.caller("pam").await, Listing::default()));
    let mut next = async || timeout(SOON, lists.next()).await.unwrap().unwrap();
    assert!(next().await.unwrap().is_empty());
    let id = ask(&world, &access, "carl", &[]).await.access.id;
    assert_eq!(next().await.unwrap()[0].sources[0].ended_at, None);
    access.end(&world.caller("carl").await, id, None).await.unwrap();
    assert!(next().await.unwrap()[0].sources[0].ended_at.is_some());
    let (people, ann) = (People::new(world.ctx.clone()), world.caller("ann").await);
    people.set_role(&ann, pid("pam"), Role::Auditor).await.unwrap();
    assert!(matches!(next().await, Err(ActError::Denied)));
}
