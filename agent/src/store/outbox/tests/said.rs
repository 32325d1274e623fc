//! What Consents become.
//!
//! Detects: a Consent sent as a record; a repeat said twice; the end of one Consent that takes away what
//! another says, or what was taken down elsewhere; a permit that outlasts its Consent.

use handfast_proto::{
    amendment::{Amendment, Op},
    statement::{PatientWord, Statement, WordSide},
    v1::PatientWordValue::{self, Ended, No, Yes},
};
use serde_json::{Value, json};

use super::support::*;
use crate::{codec::fhir::ConsentNote, store::outbox::Outcome};

const JANUARY: i64 = 1_735_689_600_000;
pub(super) const MARCH: i64 = 1_740_787_200_000;

pub(super) fn consent(id: &str, patient: &str, kind: &str, at: &str) -> Value {
    json!({"resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "dateTime": at,
        "patient": {"reference": format!("Patient/{patient}")}, "provision": {"type": kind}})
}

pub(super) fn january(id: &str, kind: &str) -> Value {
    consent(id, "p", kind, "2025-01-01T00:00:00Z")
}

pub(super) fn march(id: &str, kind: &str) -> Value {
    consent(id, "p", kind, "2025-03-01T00:00:00Z")
}

pub(super) fn with(mut resource: Value, key: &str, value: Value) -> Value {
    resource[key] = value;
    resource
}

fn ended(consent: Value) -> Value {
    with(consent, "status", json!("inactive"))
}

/// What was said, in order: of which number, from which resource, the word and when it was said.
pub(super) async fn words(desk: &Desk) -> Vec<(String, String, PatientWordValue, i64)> {
    let said = desk.amendments().await.into_iter().filter_map(|(_, amendment)| {
        let number = amendment.subject?.patient.reveal();
        match statement(&amendment)? {
            Statement::PatientWord(word) => {
                Some((number, amendment.record.to_string(), word.word, word.said_at))
            }
            _ => None,
        }
    });
    said.collect()
}

pub(super) fn statement(amendment: &Amendment) -> Option<Statement> {
    (amendment.op == Op::Statement).then(|| Statement::decode(&amendment.payload).unwrap())
}

pub(super) fn word(
    record: &str,
    word: PatientWordValue,
    said_at: i64,
) -> (String, String, PatientWordValue, i64) {
    (N1.to_owned(), record.to_owned(), word, said_at)
}

pub(super) async fn desk() -> Desk {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk
}

pub(super) fn said(seq: u64, version: u64, created: bool) -> Outcome {
    Outcome::Said {
        seq: Some(seq),
        version,
        created,
        note: None,
    }
}

#[tokio::test]
async fn a_consent_is_said_once_and_never_sent_as_a_record() {
    let desk = desk().await;
    let deny = with(january("c", "deny"), "performer", json!([{"display": "Nurse"}]));
    assert_eq!(desk.send(&deny).await, said(2, 1, true));
    assert_eq!(desk.send(&deny).await, Outcome::Unchanged { version: 1 });
    let restamped = stamped(deny.clone(), "2026-01-01T00:00:00Z");
    assert_eq!(desk.send(&restamped).await, Outcome::Unchanged { version: 1 });
    // Other words for the same are a version, and nothing to say.
    let reworded = with(deny.clone(), "language", json!("en"));
    let unsaid = Outcome::Said {
        seq: None,
        version: 2,
        created: false,
        note: None,
    };
    assert_eq!(desk.send(&reworded).await, unsaid);
    let all = desk.amendments().await;
    assert_eq!(all.len(), 2);
    let (_, amendment) = &all[1];
    assert!(amendment.former.is_none() && !amendment.subject.unwrap().confidentiality.is_marked());
    assert_eq!(
        amendment.content_type.as_str(),
        "application/vnd.handfast.statement"
    );
    let Some(Statement::PatientWord(PatientWord { sides, taken_by, .. })) = statement(amendment) else {
        panic!()
    };
    assert_eq!((sides, taken_by.as_str()), (WordSide::BOTH.to_vec(), "Nurse"));
    assert_eq!(words(&desk).await, [word("Consent/c", No, JANUARY)]);
    // It is kept to be read, but is none of the unit's records.
    let held = desk
        .outbox
        .record(&"Consent/c".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(held.payload.is_some() && held.version == 2);
    assert_eq!(desk.outbox.summary().await.unwrap().records, 1);
}

#[tokio::test]
async fn the_end_of_a_consent_ends_its_word_and_no_later_one() {
    let desk = desk().await;
    desk.send(&january("c", "permit")).await;
    assert_eq!(desk.send(&ended(january("c", "permit"))).await, said(3, 2, false));
    // A millisecond after what it ends: what was taken down later elsewhere stands.
    assert_eq!(words(&desk).await[1], word("Consent/c", Ended, JANUARY + 1));
    desk.send(&march("d", "deny")).await;
    assert_eq!(desk.delete("Consent/d").await, said(5, 2, false));
    assert_eq!(words(&desk).await[3], word("Consent/d", Ended, MARCH + 1));
    assert_eq!(desk.delete("Consent/d").await, Outcome::Unchanged { version: 2 });
    let error = with(march("e", "permit"), "status", json!("entered-in-error"));
    desk.send(&march("e", "permit")).await;
    assert_eq!(desk.send(&error).await, said(7, 2, false));
    assert_eq!(
        desk.send(&ended(january("never", "deny"))).await,
        Outcome::Said {
            seq: None,
            version: 1,
            created: true,
            note: None,
        }
    );
}

#[tokio::test]
async fn the_end_of_one_consent_brings_back_what_another_says() {
    let desk = desk().await;
    desk.send(&january("no", "deny")).await;
    desk.send(&march("yes", "permit")).await;
    desk.send(&ended(march("yes", "permit"))).await;
    let all = words(&desk).await;
    let expected = [
        word("Consent/no", No, JANUARY),
        word("Consent/yes", Yes, MARCH),
        word("Consent/no", No, MARCH + 1),
    ];
    assert_eq!(all, expected);
    // A second denial that ends changes nothing: one still stands.
    desk.send(&march("no2", "deny")).await;
    desk.send(&ended(march("no2", "deny"))).await;
    assert_eq!(words(&desk).await.len(), 3);
    desk.send(&ended(january("no", "deny"))).await;
    assert_eq!(words(&desk).await[3], word("Consent/no", Ended, MARCH + 2));
}

#[tokio::test]
async fn an_older_permit_does_not_undo_a_later_denial_and_a_corrected_one_does() {
    let desk = desk().await;
    desk.send(&march("no", "deny")).await;
    desk.send(&january("yes", "permit")).await;
    assert_eq!(words(&desk).await, [word("Consent/no", No, MARCH)]);
    // At the same moment the denial counts.
    desk.send(&march("yes", "permit")).await;
    assert_eq!(words(&desk).await.len(), 1);
    desk.send(&ended(march("yes", "permit"))).await;
    // The Consent itself was wrong: what it says now takes the place of what it said.
    desk.send(&march("no", "permit")).await;
    assert_eq!(words(&desk).await[1], word("Consent/no", Yes, MARCH + 1));
}

#[tokio::test]
async fn what_cannot_be_honoured_takes_a_permit_back_and_leaves_a_denial() {
    let desk = desk().await;
    let narrow = |id: &str| {
        let provision = json!({"type": "permit", "period": {"end": "2030-01-01"}});
        with(march(id, "permit"), "provision", provision)
    };
    desk.send(&january("yes", "permit")).await;
    let taken_back = Outcome::Said {
        seq: Some(3),
        version: 2,
        created: false,
        note: Some(ConsentNote::PartialPermit),
    };
    assert_eq!(desk.send(&narrow("yes")).await, taken_back);
    assert_eq!(words(&desk).await[1].2, Ended);
    desk.send(&march("no", "deny")).await;
    desk.send(&narrow("no")).await;
    desk.send(&with(march("no", "deny"), "status", json!("draft")))
        .await;
    assert_eq!(words(&desk).await.len(), 3, "the denial stands");
    desk.send(&ended(march("no", "deny"))).await;
    assert_eq!(words(&desk).await[3].2, Ended);
    let whole = with(
        march("part", "deny"),
        "provision",
        json!({"type": "deny", "class": [{"code": "Condition"}]}),
    );
    let outcome = desk.send(&whole).await;
    assert!(matches!(
        outcome,
        Outcome::Said {
            seq: Some(_),
            note: Some(ConsentNote::WholeDenial),
            ..
        }
    ));
}

#[tokio::test]
async fn sides_are_said_apart_where_they_differ() {
    let desk = desk().await;
    let side = |id: &str, code: &str, kind: &str, at: &str| {
        let reference = json!({"reference": "Organization/Z00101"});
        let actor = json!({"role": {"coding": [{"system": "urn:handfast:side", "code": code}]}, "reference": reference});
        with(
            consent(id, "p", kind, at),
            "provision",
            json!({"type": kind, "actor": [actor]}),
        )
    };
    desk.send(&january("both", "permit")).await;
    desk.send(&side("in", "share-in", "deny", "2025-03-01T00:00:00Z"))
        .await;
    desk.send(&ended(january("both", "permit"))).await;
    let sides: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .filter_map(|(_, a)| statement(a))
        .map(|s| match s {
            Statement::PatientWord(word) => (word.word, word.sides),
            _ => panic!(),
        })
        .collect();
    let (out, into) = (vec![WordSide::ShareOut], vec![WordSide::ShareIn]);
    assert_eq!(sides, [(Yes, WordSide::BOTH.to_vec()), (No, into), (Ended, out)]);
}

#[tokio::test]
async fn what_was_said_in_the_future_or_at_no_time_was_said_now() {
    let desk = desk().await;
    desk.send(&consent("f", "p", "deny", "2099-01-01T00:00:00Z"))
        .await;
    assert_eq!(words(&desk).await[0].3, NOW);
    let mut undated = consent("u", "p", "permit", "");
    undated.as_object_mut().unwrap().remove("dateTime");
    desk.send(&ended(consent("f", "p", "deny", "2099-01-01T00:00:00Z")))
        .await;
    desk.send(&undated).await;
    assert_eq!(words(&desk).await[2], word("Consent/u", Yes, NOW));
}
