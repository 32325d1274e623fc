//! Who sees which alerts, what of them, who reviews them, and when they are escalated.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use handfast_proto::{
    emergency::Ground,
    ids::Holder,
    v1::{ConsentManner, PatientWordValue, ScrAlertReason, ScrAlertType},
};
use tokio::time::timeout;

use super::{
    ActError, Agreements, AlertDesk, Alerts as _, Escalation, Finding, KeptAlerts, Listing, PatientConsents,
    SaidWords, SelfClaim,
    testing::{World, half, ods, pid},
};
use crate::{
    clock::Clock as _,
    consent::Side,
    store::{AlertKind, AlertState, Certificate, NewAccess, NewAlert, Role, With},
};

const SOON: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 24 * 3_600_000;

/// Z00101 shares out to Z00202, whose clinicians are carl and dora and whose privacy officer is pru; Z00303
/// shares out to nobody.
pub(super) async fn hospital() -> World {
    let world = World::new().await;
    for (id, role) in [
        ("carl", Role::Clinician),
        ("dora", Role::Clinician),
        ("pru", Role::PrivacyOfficer),
    ] {
        world.person(id, Some("Z00202"), role).await;
    }
    world.person("zoe", Some("Z00303"), Role::PrivacyOfficer).await;
    enrol(&world, "pru").await;
    let ann = world.caller("ann").await;
    let out = half("Z00101", "Z00202", Side::ShareOut, true);
    Agreements::new(world.ctx.clone()).set(&ann, out).await.unwrap();
    world
}

pub(super) async fn enrol(world: &World, person: &str) {
    let certificate = Certificate {
        holder: Holder::Person(pid(person)),
        serial: person.as_bytes().to_vec(),
        not_after: i64::MAX,
    };
    let now = world.clock.now_ms();
    let store = &world.ctx.store;
    store
        .add_certificate(&certificate, now, &With::nothing())
        .await
        .unwrap();
}

fn alert(world: &World, kind: AlertKind, unit: &str, person: &str) -> NewAlert {
    NewAlert {
        kind,
        unit: ods(unit),
        source: None,
        patient: Some("9990000018".parse().unwrap()),
        person: Some(pid(person)),
        by: format!("person {person}"),
        note: "said so".to_owned(),
        at: world.clock.now_ms(),
    }
}

fn finding() -> Finding {
    Finding {
        justified: true,
        note: "seen".to_owned(),
    }
}

/// One of an emergency access, one of a caseload at Z00101, one of a recovery there.
async fn alarmed() -> (World, AlertDesk) {
    let world = hospital().await;
    let now = world.clock.now_ms();
    let access = NewAccess {
        recipient: ods("Z00202"),
        person: pid("carl"),
        patient: "9990000018".parse().unwrap(),
        sources: vec![ods("Z00101")],
        ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency).unwrap(),
        note: "Unconscious on arrival".to_owned(),
        at: now,
        until: now + DAY_MS,
    };
    world
        .ctx
        .store
        .add_access(&access, &With::nothing())
        .await
        .unwrap();
    let claimed = alert(&world, AlertKind::SelfClaimed, "Z00101", "cleo");
    let recovered = alert(&world, AlertKind::OperatorRecovery, "Z00101", "op");
    world
        .ctx
        .raise(&world.caller("op").await, &[claimed, recovered])
        .await
        .unwrap();
    let alerts = AlertDesk::new(world.ctx.clone());
    (world, alerts)
}

async fn kinds(world: &World, alerts: &AlertDesk, who: &str) -> Result<Vec<AlertKind>, ActError> {
    let rows = alerts.list(&world.caller(who).await, Listing::default()).await?;
    Ok(rows.iter().map(|row| row.kind).collect())
}

#[tokio::test]
async fn i1_each_sees_the_alerts_of_their_own() {
    use AlertKind::{EmergencyAccess, OperatorRecovery, SelfClaimed};
    let (world, alerts) = alarmed().await;
    let seen = async |who: &str| kinds(&world, &alerts, who).await;
    assert_eq!(
        seen("pam").await.unwrap(),
        [OperatorRecovery, SelfClaimed, EmergencyAccess]
    );
    assert_eq!(seen("pru").await.unwrap(), [EmergencyAccess]);
    assert_eq!(seen("zoe").await.unwrap(), []);
    assert_eq!(seen("ann").await.unwrap(), [OperatorRecovery]);
    assert_eq!(seen("bob").await.unwrap(), []);
    // Nothing is late yet.
    assert_eq!(seen("aud").await.unwrap(), []);
    assert_eq!(seen("op").await.unwrap(), []);
    for who in ["carl", "cleo", "Z00101", "Z00202"] {
        assert!(matches!(seen(who).await, Err(ActError::Denied)), "{who}");
    }
    let rows = alerts
        .list(&world.caller("pam").await, Listing::default())
        .await
        .unwrap();
    let detail = rows[2].detail.as_ref().unwrap();
    assert_eq!(
        (detail.by.as_str(), detail.note.as_str()),
        ("person carl", "Unconscious on arrival")
    );
    assert!(detail.access.is_some() && detail.patient.is_some());
}

#[tokio::test]
async fn what_nobody_reviews_is_shown_to_auditors_and_the_operator_without_persons() {
    let (world, alerts) = alarmed().await;
    let escalation = Escalation::new(world.ctx.clone(), 3 * DAY_MS);
    let raised_at = world.clock.now_ms();
    assert_eq!(escalation.look().await.unwrap(), Some(raised_at + 3 * DAY_MS));
    let pru = world.caller("pru").await;
    let of_access = alerts.list(&pru, Listing::default()).await.unwrap()[0].id;
    alerts.review(&pru, of_access, &finding()).await.unwrap();
    world.clock.advance(3 * DAY_MS - 1);
    escalation.look().await.unwrap();
    assert_eq!(kinds(&world, &alerts, "op").await.unwrap(), []);
    world.clock.advance(1);
    assert_eq!(escalation.look().await.unwrap(), None);
    for who in ["op", "aud"] {
        let rows = alerts
            .list(&world.caller(who).await, Listing::default())
            .await
            .unwrap();
        assert_eq!(rows.len(), 2, "{who}: what was reviewed in time is not there");
        for row in rows {
            assert_eq!((row.state, row.detail), (AlertState::Escalated, None), "{who}");
            let review = alerts.review(&world.caller(who).await, row.id, &finding()).await;
            assert!(matches!(review, Err(ActError::Denied)), "{who}: {review:?}");
        }
    }
}

#[tokio::test]
async fn alerts_are_reviewed_by_those_who_see_them_but_not_by_whom_they_are_about() {
    let (world, alerts) = alarmed().await;
    let pam = world.caller("pam").await;
    let rows = alerts.list(&pam, Listing::default()).await.unwrap();
    let [recovery, claimed, access] = [rows[0].id, rows[1].id, rows[2].id];
    for (who, id) in [
        ("pru", claimed),
        ("ann", claimed),
        ("bob", recovery),
        ("zoe", access),
        ("carl", access),
    ] {
        let denied = alerts.review(&world.caller(who).await, id, &finding()).await;
        assert!(matches!(denied, Err(ActError::Denied)), "{who}: {denied:?}");
    }
    alerts
        .review(&world.caller("ann").await, recovery, &finding())
        .await
        .unwrap();
    let closed = alerts.review(&pam, claimed, &finding()).await.unwrap();
    assert_eq!(
        (closed.state, closed.detail.unwrap().reviews.len()),
        (AlertState::Reviewed, 1)
    );
    world
        .ctx
        .raise(
            &world.caller("op").await,
            &[alert(&world, AlertKind::SelfClaimed, "Z00101", "pam")],
        )
        .await
        .unwrap();
    let own = alerts
        .list(
            &pam,
            Listing {
                open: true,
                before: None,
            },
        )
        .await
        .unwrap()[0]
        .id;
    let refused = alerts.review(&pam, own, &finding()).await;
    assert!(matches!(refused, Err(ActError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn watchers_are_told_of_alerts() {
    let world = hospital().await;
    let alerts = AlertDesk::new(world.ctx.clone());
    let mut lists = Box::pin(alerts.watch(
        &world.caller("pam").await,
        Listing {
            open: true,
            before: None,
        },
    ));
    let mut next = async || timeout(SOON, lists.next()).await.unwrap().unwrap().unwrap();
    assert!(next().await.is_empty());
    world
        .ctx
        .raise(
            &world.caller("op").await,
            &[alert(&world, AlertKind::SelfClaimed, "Z00101", "cleo")],
        )
        .await
        .unwrap();
    let raised = next().await;
    assert_eq!(raised.len(), 1);
    alerts
        .review(&world.caller("pam").await, raised[0].id, &finding())
        .await
        .unwrap();
    assert!(next().await.is_empty());
}

#[tokio::test]
async fn a_claim_and_a_dissent_everywhere_are_alerted_where_they_are_made() {
    let world = hospital().await;
    let kept = KeptAlerts::new(
        Arc::clone(&world.ctx.store),
        Arc::clone(&world.ctx.changes),
        world.ctx.audit.scribe().clone(),
    );
    let (one, other) = ("9990000018".parse().unwrap(), "9990000026".parse().unwrap());
    for patients in [vec![one], vec![one, other]] {
        let claim = SelfClaim {
            unit: ods("Z00101"),
            by: "person cleo".to_owned(),
            patients,
            reason: "admitted".to_owned(),
            at: world.clock.now_ms(),
        };
        kept.self_claimed(&claim).await.unwrap();
    }
    let said = SaidWords {
        patients: vec![one],
        share_out: Some(PatientWordValue::No),
        share_in: None,
        said_on: String::new(),
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
    };
    let consents = PatientConsents::new(world.ctx.clone());
    consents
        .record_everywhere(&world.caller("pru").await, said)
        .await
        .unwrap();
    let alerts = AlertDesk::new(world.ctx.clone());
    let pam = world.caller("pam").await;
    let rows = alerts.list(&pam, Listing::default()).await.unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.kind, row.detail.as_ref().unwrap()))
        .collect();
    assert_eq!(
        (seen[0].0, seen[0].1.patient),
        (AlertKind::DissentEverywhere, Some(one))
    );
    let note = seen[1].1.note.as_str();
    assert_eq!(seen[1].1.patient, None);
    assert!(
        note.starts_with("2 patients, whom the audit log names in entries of the kind caseload from 20")
            && note.ends_with("Z on: admitted"),
        "{note}"
    );
    assert_eq!(
        (seen[2].1.patient, seen[2].1.note.as_str()),
        (Some(one), "admitted")
    );
    for who in ["pru", "zoe"] {
        assert_eq!(
            kinds(&world, &alerts, who).await.unwrap(),
            [AlertKind::DissentEverywhere],
            "{who}"
        );
    }
    let own = alerts
        .list(&world.caller("pru").await, Listing::default())
        .await
        .unwrap()[0]
        .id;
    let refused = alerts.review(&world.caller("pru").await, own, &finding()).await;
    assert!(matches!(refused, Err(ActError::Refused(_))), "{refused:?}");
}
