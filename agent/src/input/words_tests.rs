//! What patients say at a unit that has only received their records.
//!
//! Detects: a denial that waits for a Patient who is never sent; a word taken for another person because two units
//! count alike; another unit's Patient published because a Consent names it.

use handfast_proto::{
    amendment::Op,
    statement::Statement,
    v1::PatientWordValue::{self, Ended, No, Yes},
};
use serde_json::{Value, json};

use super::{copies_testing::*, following::follow};
use crate::{
    codec::fhir::NHS_NUMBER_SYSTEM,
    store::{
        inbox::{Scope, testing::*},
        outbox::{Outcome, WaitReason},
    },
};

const OTHERS_NUMBER: &str = "9990000026";
const UUID: &str = "b262b088-01c9-42ed-8482-f89473f5b575";

fn consent(id: &str, patient: Value, kind: &str) -> Value {
    json!({"resourceType": "Consent", "id": id, "status": "active", "dateTime": "2025-01-01T00:00:00Z",
        "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": patient, "provision": {"type": kind}})
}

fn called(id: &str) -> Value {
    json!({"reference": format!("Patient/{id}")})
}

fn numbered(number: &str) -> Value {
    json!({"identifier": {"system": NHS_NUMBER_SYSTEM, "value": number}})
}

/// What was said, in order: of which number, and the word.
async fn words(stand: &Stand) -> Vec<(String, PatientWordValue)> {
    let said = stand.published().await.into_iter().filter_map(|amendment| {
        match Statement::decode(&amendment.payload) {
            Ok(Statement::PatientWord(word)) => Some((amendment.subject?.patient.reveal(), word.word)),
            _ => None,
        }
    });
    said.collect()
}

fn word(number: &str, word: PatientWordValue) -> (String, PatientWordValue) {
    (number.to_owned(), word)
}

/// Written at the unit's server under an id of the agent's making.
async fn write_out(stand: &Stand, name: &str) -> String {
    let key = (ods(A), name.parse().unwrap(), copy_id(name));
    stand
        .inbox
        .prepare_targets("out", std::slice::from_ref(&key))
        .await
        .unwrap();
    key.2
}

fn is_said(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Said { seq: Some(_), .. })
}

#[tokio::test]
async fn a_word_about_a_patient_written_out_here_is_said_of_their_number() {
    let stand = Stand::holding(&[&patient("p"), &observation("1", "p", 70)]).await;
    let copy = write_out(&stand, "Patient/p").await;
    let deny = consent("c", called(&copy), "deny");
    assert!(is_said(&stand.send(&deny).await));
    assert_eq!(words(&stand).await, [word(NUMBER, No)]);
    assert_eq!(stand.send(&deny).await, Outcome::Unchanged { version: 1 });
    // It took effect: what it was said about is gone, and the Consent still says of whom it is.
    let scope = Scope::Patient(nhs(PATIENT));
    stand
        .receive(vec![job_begins(A, 1, 9, scope), job_complete(A, 1, 9, scope, 2)])
        .await;
    assert!(
        stand
            .inbox
            .held(ods(A), &"Patient/p".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(stand.send(&deny).await, Outcome::Unchanged { version: 1 });
    let mut permit = consent("c", called(&copy), "permit");
    permit["dateTime"] = json!("2025-02-01T00:00:00Z");
    assert!(is_said(&stand.send(&permit).await));
    permit["status"] = json!("inactive");
    assert!(is_said(&stand.send(&permit).await));
    assert_eq!(
        words(&stand).await,
        [word(NUMBER, No), word(NUMBER, Yes), word(NUMBER, Ended)]
    );
    // Nothing but words left the unit.
    assert!(stand.names().await.iter().all(|name| name == "Consent/c"));
    // Of whom nothing was ever known, it is not said.
    let never = consent("n", called(&copy_id("Patient/never")), "deny");
    assert_eq!(stand.send(&never).await, Outcome::Waiting(WaitReason::NotSeen));
}

#[tokio::test]
async fn a_word_follows_the_number_that_the_source_relies_on() {
    let stand = Stand::holding(&[&patient("p")]).await;
    let copy = write_out(&stand, "Patient/p").await;
    stand.send(&consent("yes", called(&copy), "permit")).await;
    let text = patient("p").to_string();
    let amended = [(7, Op::Amend, "Patient/p", text.as_str())];
    stand
        .receive(vec![of_patient(OTHER_PATIENT, A, 1, 0, &amended)])
        .await;
    let (inbox, outbox) = (&stand.inbox, &stand.ctx.outbox);
    follow(inbox, outbox).await.unwrap();
    let expected = [word(NUMBER, Yes), word(NUMBER, Ended), word(OTHERS_NUMBER, Yes)];
    assert_eq!(words(&stand).await, expected);
    follow(inbox, outbox).await.unwrap();
    assert_eq!(words(&stand).await.len(), 3);
    // One who is not held any more stays who they were.
    stand.receive(vec![withdraw(A, 9, 1)]).await;
    follow(inbox, outbox).await.unwrap();
    assert_eq!(words(&stand).await.len(), 3);
}

#[tokio::test]
async fn a_word_by_number_needs_no_patient_of_the_units_own() {
    let stand = Stand::holding(&[&observation("1", "p", 70)]).await;
    assert!(is_said(
        &stand.send(&consent("no", numbered(NUMBER), "deny")).await
    ));
    assert!(is_said(
        &stand
            .send(&consent("yes", numbered(OTHERS_NUMBER), "permit"))
            .await
    ));
    assert_eq!(words(&stand).await, [word(NUMBER, No), word(OTHERS_NUMBER, Yes)]);
    // The unit's own Patient of that number, in doubt: only the denial goes on.
    let mut doubtful = patient("own");
    doubtful["identifier"][0]["value"] = json!(OTHERS_NUMBER);
    doubtful["identifier"][0]["extension"] = json!([{
        "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus",
        "valueCodeableConcept": {"coding": [{"code": "02"}]}}]);
    stand.send(&doubtful).await;
    doubtful["identifier"][0]["value"] = json!(NUMBER);
    stand.send(&doubtful).await;
    assert_eq!(words(&stand).await.last().unwrap(), &word(OTHERS_NUMBER, Ended));
    assert_eq!(words(&stand).await.len(), 3);
}

#[tokio::test]
async fn a_denial_about_a_patient_of_another_units_name_is_said_until_the_unit_has_its_own() {
    let stand = Stand::with_output("directory", &[&patient("1")]).await;
    let deny = consent("no", called("1"), "deny");
    assert!(is_said(&stand.send(&deny).await));
    // Both may count alike: a permit waits until it is known whose it is.
    let permit = consent("yes", called("1"), "permit");
    assert_eq!(stand.send(&permit).await, Outcome::Waiting(WaitReason::NotSeen));
    assert_eq!(words(&stand).await, [word(NUMBER, No)]);
    // The unit's own Patient of that name is another person: of them it was said, and of nobody else.
    let mut own = patient("1");
    own["identifier"][0]["value"] = json!(OTHERS_NUMBER);
    own["name"][0]["family"] = json!("Other");
    own["birthDate"] = json!("1980-01-01");
    stand.send(&own).await;
    let mut all = words(&stand).await.split_off(1);
    all.sort();
    assert_eq!(all, [word(NUMBER, Ended), word(OTHERS_NUMBER, No)]);
}

#[tokio::test]
async fn a_word_makes_no_patient_the_units_own() {
    // An id that is a UUID is never given twice: even a permit is about whom it was received of.
    for (id, kind) in [("1", "deny"), (UUID, "deny"), (UUID, "permit")] {
        let p = patient(id);
        let stand = Stand::with_output("directory", &[&p]).await;
        assert_eq!(stand.send(&p).await, Outcome::Echo);
        assert!(is_said(&stand.send(&consent("c", called(id), kind)).await));
        assert_eq!(stand.names().await, ["Consent/c"], "{kind} {id}");
    }
}
