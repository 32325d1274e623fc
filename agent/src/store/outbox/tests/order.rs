//! When what speaks to the daemon is said: before what follows from it, alone in its batch, once.
//!
//! Detects: a word that comes after the records it is about; a statement that is joined with something; a
//! Consent that is a record and a word at once; a view reported twice.

use handfast_proto::{
    amendment::Op,
    statement::Statement,
    v1::PatientWordValue::{Ended, No},
};
use serde_json::{Value, json};

use super::{
    said::{MARCH, consent, desk, january, march, said, statement, with, word, words},
    support::*,
};
use crate::{
    codec::fhir::NHS_NUMBER_SYSTEM,
    store::outbox::{Outcome, Refusal, WaitReason},
};

#[tokio::test]
async fn a_consent_waits_for_its_patient_and_is_said_before_anything_else_of_it() {
    let desk = Desk::open().await;
    desk.send(&condition("c", "p", "a")).await;
    assert_eq!(
        desk.send(&january("c", "permit")).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    assert_eq!(
        desk.send(&march("c", "deny")).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    let again = open(&desk.path, crate::store::outbox::OutboxLimits::default()).await;
    assert_eq!(again.summary().await.unwrap().waiting["patient_not_seen"], 2);
    desk.send(&patient("p", Some(N1))).await;
    let names: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .map(|(_, a)| a.record.to_string())
        .collect();
    assert_eq!(names, ["Consent/c", "Patient/p", "Condition/c"]);
    assert_eq!(words(&desk).await, [word("Consent/c", No, MARCH)]);
}

#[tokio::test]
async fn in_a_transaction_the_consent_comes_first() {
    let desk = Desk::open().await;
    let changes = [
        condition("c", "p", "a"),
        patient("p", Some(N1)),
        january("no", "deny"),
    ];
    let outcomes = desk
        .outbox
        .take_all_or_none(changes.iter().map(change).collect())
        .await
        .unwrap();
    let names: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .map(|(_, a)| a.record.to_string())
        .collect();
    assert_eq!(names, ["Consent/no", "Patient/p", "Condition/c"]);
    assert!(
        matches!(
            outcomes[2],
            Outcome::Said {
                version: 1,
                created: true,
                ..
            }
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_record_that_turns_into_a_word_is_retracted_and_the_other_way_round() {
    let desk = desk().await;
    let directive = with(
        january("c", "permit"),
        "scope",
        json!({"coding": [{"code": "adr"}]}),
    );
    assert!(matches!(
        desk.send(&directive).await,
        Outcome::Taken { seq: 2, .. }
    ));
    assert_eq!(desk.send(&january("c", "deny")).await, said(4, 3, true));
    assert!(matches!(
        desk.send(&directive).await,
        Outcome::Taken {
            seq: 6,
            created: true,
            ..
        }
    ));
    let ops: Vec<_> = desk.amendments().await.iter().map(|(_, a)| a.op).collect();
    assert_eq!(
        ops,
        [
            Op::Create,
            Op::Create,
            Op::Retract,
            Op::Statement,
            Op::Statement,
            Op::Create
        ]
    );
    assert_eq!(words(&desk).await[1].2, Ended);
}

#[tokio::test]
async fn statements_are_alone_in_their_batches_on_the_way_too() {
    let desk = desk().await;
    for n in 0..5 {
        desk.send(&condition(&format!("c{n}"), "p", "a")).await;
        desk.send(&consent(
            &format!("w{n}"),
            "p",
            "deny",
            &format!("2025-03-0{}T00:00:00Z", n + 1),
        ))
        .await;
    }
    let changes: Vec<_> = (5..8)
        .flat_map(|n| {
            let at = format!("2025-03-0{}T00:00:00Z", n + 1);
            [
                condition(&format!("c{n}"), "p", "a"),
                consent(&format!("w{n}"), "p", "deny", &at),
            ]
        })
        .collect();
    desk.outbox
        .take(changes.iter().map(change).collect())
        .await
        .unwrap();
    let again = open(&desk.path, crate::store::outbox::OutboxLimits::default()).await;
    for outbox in [&desk.outbox, &again] {
        let batches = outbox.after(0, 1 << 20).await.unwrap();
        for batch in &batches {
            let amendments = batch.amendments().unwrap();
            let any = amendments.iter().any(|a| a.op == Op::Statement);
            assert!(!any || amendments.len() == 1);
        }
        assert_eq!(batches.last().unwrap().last_seq, 17);
    }
}

fn view(id: &str, what: Value) -> Value {
    json!({"resourceType": "AuditEvent", "id": id, "type": {"code": "rest"}, "subtype": [{"code": "read"}],
        "recorded": "2025-03-01T00:00:00Z", "agent": [{"requestor": true, "who": {"display": "Dr A"}}],
        "entity": [{"what": what}]})
}

#[tokio::test]
async fn a_view_is_passed_on_once() {
    let desk = desk().await;
    let event = view("v", json!({"reference": "Patient/p"}));
    assert_eq!(desk.send(&event).await, said(2, 1, true));
    assert_eq!(desk.send(&event).await, Outcome::Unchanged { version: 1 });
    let other = with(event, "recorded", json!("2025-03-02T00:00:00Z"));
    assert_eq!(
        desk.send(&other).await,
        Outcome::Rejected(Refusal::ReportedBefore)
    );
    assert_eq!(
        desk.delete("AuditEvent/v").await,
        Outcome::Unchanged { version: 1 }
    );
    let (_, amendment) = desk.amendments().await.pop().unwrap();
    let Some(Statement::View(view_said)) = statement(&amendment) else {
        panic!()
    };
    assert_eq!((view_said.person.as_str(), view_said.viewed_at), ("Dr A", MARCH));
    assert_eq!(
        desk.outbox
            .record(&"AuditEvent/v".parse().unwrap())
            .await
            .unwrap(),
        None
    );
    // Someone known from other units only, and someone not seen yet.
    let number = json!({"identifier": {"system": NHS_NUMBER_SYSTEM, "value": N2}});
    assert_eq!(desk.send(&view("w", number)).await, said(3, 1, true));
    let unseen = view("x", json!({"reference": "Patient/q"}));
    assert_eq!(desk.send(&unseen).await, Outcome::Waiting(WaitReason::NotSeen));
    desk.send(&patient("q", Some(N2))).await;
    assert_eq!(desk.amendments().await.len(), 5);
}
