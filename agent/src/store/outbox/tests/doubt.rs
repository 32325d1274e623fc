//! Numbers that move, and numbers that cannot be relied on any more.
//!
//! Detects: a record that stays with recipients although its patient's number is in doubt, or does not come
//! back; a number that moves without its statement, or after the records; a permit that holds for a number
//! in doubt or one that was another's; a denial that does not follow its patient.

use handfast_proto::{
    amendment::{Amendment, Op},
    statement::Statement,
    v1::PatientWordValue::{Ended, No, Yes},
};
use serde_json::{Value, json};

use super::{
    said::{consent, statement, words},
    support::*,
};
use crate::{codec::fhir::NHS_NUMBER_SYSTEM, store::outbox::Outcome};

const AT: &str = "2025-01-01T00:00:00Z";
const THEN: i64 = 1_735_689_600_000;

fn unverified(id: &str, number: &str) -> Value {
    let mut patient = patient(id, Some(number));
    patient["identifier"][0]["extension"] = json!([{"url": "x/NHSNumberVerificationStatus",
        "valueCodeableConcept": {"coding": [{"code": "number-present-but-not-traced"}]}}]);
    patient
}

fn moved(amendment: &Amendment) -> Option<(String, String)> {
    match statement(amendment)? {
        Statement::NumberMoved { former, current } => Some((former.reveal(), current.reveal())),
        _ => None,
    }
}

/// The amendments after a seq in short: record, number, marks, payload, what they were.
async fn after(desk: &Desk, seq: u64) -> Vec<(String, String, u8, bool, Option<(String, u8)>)> {
    let all = desk.amendments_after(seq).await;
    let records = all.iter().filter(|(_, a)| a.op != Op::Statement).map(short);
    records.map(|s| (s.2, s.3, s.4, s.5, s.6)).collect()
}

#[tokio::test]
async fn what_was_sent_under_a_number_in_doubt_is_taken_back_until_that_is_settled() {
    let mut several = patient("p", Some(N1));
    let second = json!({"system": NHS_NUMBER_SYSTEM, "value": N2});
    several["identifier"].as_array_mut().unwrap().push(second);
    let doubts = [
        (unverified("p", N1), "nhs_number_unverified"),
        (several, "several_nhs_numbers"),
        (patient("p", None), "no_nhs_number"),
        (patient("twin", Some(N1)), "nhs_number_claimed_twice"),
    ];
    for (doubt, reason) in doubts {
        let desk = Desk::open().await;
        desk.send(&patient("p", Some(N1))).await;
        desk.send(&condition("c", "p", "a")).await;
        desk.send(&labelled(condition("d", "p", "a"))).await;
        desk.send(&doubt).await;
        let n = || N1.to_owned();
        let taken_back = [
            ("Patient/p".to_owned(), n(), 2, false, Some((n(), 0))),
            ("Condition/c".to_owned(), n(), 2, false, Some((n(), 0))),
            ("Condition/d".to_owned(), n(), 3, false, Some((n(), 1))),
        ];
        assert_eq!(after(&desk, 3).await, taken_back, "{reason}");
        let summary = desk.outbox.summary().await.unwrap();
        assert_eq!(summary.held_back.get(reason), Some(&3), "{:?}", summary.held_back);
        assert_eq!(summary.restricted, 0, "nobody is restricted");
        // Said again, it is no news.
        desk.send(&doubt).await;
        assert_eq!(desk.amendments().await.len(), 6);
        if reason == "nhs_number_claimed_twice" {
            desk.delete("Patient/twin").await;
        } else {
            desk.send(&patient("p", Some(N1))).await;
        }
        let back = [
            ("Patient/p".to_owned(), n(), 0, true, Some((n(), 2))),
            ("Condition/c".to_owned(), n(), 0, true, Some((n(), 2))),
            ("Condition/d".to_owned(), n(), 1, false, Some((n(), 3))),
        ];
        assert_eq!(after(&desk, 6).await, back, "{reason}");
        assert!(desk.outbox.summary().await.unwrap().held_back.is_empty());
    }
}

#[tokio::test]
async fn what_is_recorded_while_in_doubt_waits_and_the_old_content_stays_back() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&unverified("p", N1)).await;
    assert!(matches!(
        desk.send(&condition("c", "p", "b")).await,
        Outcome::Waiting(_)
    ));
    assert_eq!(
        desk.send(&condition("c", "p", "a")).await,
        Outcome::Unchanged { version: 1 }
    );
    assert_eq!(desk.amendments().await.len(), 4);
    // From one doubt to another nothing comes out.
    desk.send(&patient("p", None)).await;
    assert_eq!(desk.amendments().await.len(), 4);
    assert_eq!(desk.outbox.summary().await.unwrap().held_back["no_nhs_number"], 2);
    desk.delete("Condition/c").await;
    assert_eq!(desk.last().await.1, Op::Retract);
    desk.send(&patient("p", Some(N1))).await;
    assert_eq!(
        after(&desk, 5).await.len(),
        1,
        "only the Patient is left to come back"
    );
}

#[tokio::test]
async fn a_retracted_patient_vouches_for_nothing_and_a_merge_into_the_unseen_is_no_doubt() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.delete("Patient/p").await;
    let all = after(&desk, 3).await;
    assert_eq!(
        all,
        [("Condition/c".into(), N1.into(), 2, false, Some((N1.into(), 0)))]
    );
    desk.send(&patient("p", Some(N1))).await;
    let mut merged = patient("p", Some(N1));
    merged["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/q"}}]);
    desk.send(&merged).await;
    assert!(desk.outbox.summary().await.unwrap().held_back.is_empty());
    // Of what is in doubt nothing comes out by a merge alone.
    desk.send(&unverified("p", N1)).await;
    let before = desk.amendments().await.len() as u64;
    let mut both = unverified("p", N1);
    both["link"] = merged["link"].clone();
    desk.send(&both).await;
    assert_eq!(after(&desk, before).await, []);
}

#[tokio::test]
async fn that_a_number_moved_is_said_once_and_before_the_records() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&patient("p", Some(N2))).await;
    let all = desk.amendments().await;
    assert_eq!(moved(&all[2].1), Some((N1.into(), N2.into())));
    assert_eq!(all[2].1.record.as_str(), "Patient/p");
    assert_eq!(all[2].1.subject.unwrap().patient.reveal(), N2);
    assert_eq!(after(&desk, 3).await.len(), 2);
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&patient("p", Some(N2))).await;
    let moves: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .filter_map(|(_, a)| moved(a))
        .collect();
    assert_eq!(moves, [(N1.into(), N2.into()), (N2.to_owned(), N1.to_owned())]);
}

#[tokio::test]
async fn a_merge_and_a_doubt_on_the_way_are_moves_too() {
    let desk = Desk::open().await;
    desk.send(&patient("old", Some(N1))).await;
    desk.send(&patient("new", Some(N2))).await;
    let mut merged = patient("old", Some(N1));
    merged["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}]);
    desk.send(&merged).await;
    let all = desk.amendments_after(2).await;
    assert_eq!(moved(&all[0].1), Some((N1.into(), N2.into())));
    assert_eq!(all[0].1.record.as_str(), "Patient/old");
    assert_eq!((all.len(), short(&all[1]).6), (2, Some((N1.into(), 0))));

    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&unverified("p", N2)).await;
    desk.send(&patient("p", Some(N2))).await;
    let all = desk.amendments_after(2).await;
    assert_eq!(moved(&all[0].1), Some((N1.into(), N2.into())));
    assert_eq!(short(&all[1]).6, Some((N1.into(), 2)));
}

#[tokio::test]
async fn a_denial_holds_for_both_numbers_and_a_permit_only_for_the_one_it_is_known_for() {
    let desk = Desk::open().await;
    let said = |number: &str, record: &str, word, at| (number.to_owned(), record.to_owned(), word, at);
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&consent("no", "p", "deny", AT)).await;
    desk.send(&patient("p", Some(N2))).await;
    let all = words(&desk).await;
    assert_eq!(
        all,
        [said(N1, "Consent/no", No, THEN), said(N2, "Consent/no", No, THEN)]
    );
    // Its end ends both.
    desk.delete("Consent/no").await;
    let all = words(&desk).await;
    assert_eq!(
        all[2..],
        [
            said(N1, "Consent/no", Ended, THEN + 1),
            said(N2, "Consent/no", Ended, THEN + 1)
        ]
    );

    desk.send(&consent("yes", "p", "permit", AT)).await;
    desk.send(&patient("p", Some(N1))).await;
    let all = words(&desk).await;
    let expected = [
        said(N2, "Consent/yes", Yes, THEN),
        said(N1, "Consent/yes", Yes, THEN),
        said(N2, "Consent/yes", Ended, THEN + 1),
    ];
    assert_eq!(all[4..], expected);
}

#[tokio::test]
async fn a_permit_is_taken_back_while_its_patients_number_is_in_doubt_and_a_denial_is_not() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&patient("q", Some(N2))).await;
    desk.send(&consent("yes", "p", "permit", AT)).await;
    desk.send(&consent("no", "q", "deny", AT)).await;
    desk.send(&unverified("p", N1)).await;
    desk.send(&unverified("q", N2)).await;
    let kinds = |all: Vec<(String, String, _, i64)>| all.into_iter().map(|w| (w.1, w.2)).collect::<Vec<_>>();
    let said = |record: &str, word| (record.to_owned(), word);
    let expected = [
        said("Consent/yes", Yes),
        said("Consent/no", No),
        said("Consent/yes", Ended),
    ];
    assert_eq!(kinds(words(&desk).await), expected);
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&patient("q", Some(N2))).await;
    let all = kinds(words(&desk).await);
    assert_eq!(all[3..], [said("Consent/yes", Yes)]);
    // A Consent that names somebody else now, who is not known, permits nothing to the one it named.
    desk.send(&consent("yes", "stranger", "permit", AT)).await;
    assert_eq!(kinds(words(&desk).await)[4..], [said("Consent/yes", Ended)]);
    desk.send(&consent("no", "p", "deny", AT)).await;
    let all = words(&desk).await;
    let last: Vec<_> = all[5..].iter().map(|w| (w.0.as_str(), w.2)).collect();
    assert_eq!(last, [(N1, No), (N2, Ended)]);
}
