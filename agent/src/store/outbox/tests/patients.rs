//! Who a record's patient is, and what follows when that changes.

use super::support::*;
use crate::{
    codec::fhir::NHS_NUMBER_SYSTEM,
    store::outbox::{Outcome, WaitReason},
};
use handfast_proto::amendment::Op;
use serde_json::{Value, json};

async fn waiting(desk: &Desk) -> Vec<(String, u64)> {
    desk.outbox.summary().await.unwrap().waiting.into_iter().collect()
}

fn names(amendments: &[(u64, handfast_proto::amendment::Amendment)]) -> Vec<String> {
    amendments.iter().map(|(_, a)| a.record.to_string()).collect()
}

#[tokio::test]
async fn what_waits_is_taken_in_order_when_its_patient_comes() {
    let desk = Desk::open().await;
    for id in ["c2", "c1", "c3"] {
        assert_eq!(
            desk.send(&condition(id, "p", "a")).await,
            Outcome::Waiting(WaitReason::NotSeen)
        );
    }
    desk.send(&condition("c2", "p", "later")).await;
    desk.send(&condition("other", "q", "a")).await;
    assert_eq!(
        desk.send(&patient("p", None)).await,
        Outcome::Waiting(WaitReason::NoNumber)
    );
    assert!(desk.amendments().await.is_empty());
    assert_eq!(
        waiting(&desk).await,
        [
            ("no_nhs_number".to_owned(), 4),
            ("patient_not_seen".to_owned(), 1)
        ]
    );
    desk.send(&patient("p", Some(N1))).await;
    let all = desk.amendments().await;
    assert_eq!(
        names(&all),
        ["Patient/p", "Condition/c2", "Condition/c1", "Condition/c3"]
    );
    assert!(String::from_utf8_lossy(&all[1].1.payload).contains("later"));
    assert_eq!(waiting(&desk).await, [("patient_not_seen".to_owned(), 1)]);
}

#[tokio::test]
async fn what_waits_can_be_older_withdrawn_or_put_back() {
    let desk = Desk::open().await;
    let at = |text: &str, day: u8| stamped(condition("c", "p", text), &format!("2026-01-{day:02}T00:00:00Z"));
    desk.send(&at("b", 5)).await;
    assert_eq!(desk.send(&at("a", 4)).await, Outcome::Older);
    assert_eq!(
        desk.delete("Condition/c").await,
        Outcome::Unchanged { version: 0 }
    );
    assert!(waiting(&desk).await.is_empty());
    // Held, then its Patient's number is in doubt: a new version waits, the old content drops it again.
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&patient("p", None)).await;
    assert_eq!(
        desk.send(&condition("c", "p", "b")).await,
        Outcome::Waiting(WaitReason::NoNumber)
    );
    assert_eq!(
        desk.send(&condition("c", "p", "a")).await,
        Outcome::Unchanged { version: 1 }
    );
    desk.send(&condition("c", "p", "b")).await;
    desk.send(&patient("p", Some(N1))).await;
    assert_eq!(desk.last().await.2, "Condition/c");
    assert!(waiting(&desk).await.is_empty());
}

#[tokio::test]
async fn an_older_repeat_does_not_push_out_what_waits() {
    let desk = Desk::open().await;
    let at = |text: &str, day: u8| stamped(condition("c", "p", text), &format!("2026-01-{day:02}T00:00:00Z"));
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&at("a", 1)).await;
    desk.send(&patient("p", None)).await;
    desk.send(&at("b", 2)).await;
    assert_eq!(desk.send(&at("a", 1)).await, Outcome::Older);
    desk.send(&patient("p", Some(N1))).await;
    let all = desk.amendments().await;
    assert!(String::from_utf8_lossy(&all.last().unwrap().1.payload).contains("\"b\""));
}

#[tokio::test]
async fn restricting_a_patient_takes_every_payload_back_and_lifting_it_sends_them() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&labelled(condition("d", "p", "a"))).await;
    desk.send(&labelled(patient("p", Some(N1)))).await;
    let all: Vec<_> = desk.amendments().await.iter().skip(3).map(short).collect();
    let n = || N1.to_owned();
    assert_eq!(
        all,
        [
            (4, Op::Amend, "Patient/p".into(), n(), 2, false, Some((n(), 0))),
            (5, Op::Amend, "Condition/c".into(), n(), 2, false, Some((n(), 0))),
            (6, Op::Amend, "Condition/d".into(), n(), 3, false, Some((n(), 1))),
        ]
    );
    desk.send(&condition("e", "p", "a")).await;
    assert_eq!(
        desk.last().await,
        (7, Op::Create, "Condition/e".into(), n(), 2, false, None)
    );
    assert_eq!(desk.outbox.summary().await.unwrap().restricted, 4);
    desk.send(&patient("p", Some(N1))).await;
    let all: Vec<_> = desk.amendments().await.iter().skip(7).map(short).collect();
    assert_eq!(
        all,
        [
            (8, Op::Amend, "Patient/p".into(), n(), 0, true, Some((n(), 2))),
            (9, Op::Amend, "Condition/c".into(), n(), 0, true, Some((n(), 2))),
            (10, Op::Amend, "Condition/d".into(), n(), 1, false, Some((n(), 3))),
            (11, Op::Amend, "Condition/e".into(), n(), 0, true, Some((n(), 2))),
        ]
    );
}

#[tokio::test]
async fn a_restriction_holds_although_the_number_is_in_doubt() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    assert_eq!(
        desk.send(&labelled(patient("p", None))).await,
        Outcome::Waiting(WaitReason::NoNumber)
    );
    let all: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .skip(2)
        .map(|a| (short(a).2, short(a).4))
        .collect();
    assert_eq!(all, [("Patient/p".to_owned(), 2), ("Condition/c".to_owned(), 2)]);
}

#[tokio::test]
async fn a_changed_number_moves_every_record() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&condition("gone", "p", "a")).await;
    desk.delete("Condition/gone").await;
    desk.send(&patient("p", Some(N2))).await;
    let all: Vec<_> = desk.amendments().await.iter().skip(5).map(short).collect();
    let former = || Some((N1.to_owned(), 0));
    assert_eq!(
        all,
        [
            (6, Op::Amend, "Patient/p".into(), N2.into(), 0, true, former()),
            (7, Op::Amend, "Condition/c".into(), N2.into(), 0, true, former()),
        ]
    );
}

#[tokio::test]
async fn a_merged_patient_stands_for_the_other() {
    let desk = Desk::open().await;
    desk.send(&patient("old", Some(N1))).await;
    desk.send(&condition("c", "old", "a")).await;
    let mut merged = patient("old", Some(N1));
    merged["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}]);
    assert_eq!(desk.send(&merged).await, Outcome::Waiting(WaitReason::NotSeen));
    desk.send(&patient("new", Some(N2))).await;
    let all: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .skip(2)
        .filter(|a| a.1.op != Op::Statement)
        .map(|a| (short(a).2, short(a).3))
        .collect();
    let moved = |name: &str| (name.to_owned(), N2.to_owned());
    assert_eq!(all[0], moved("Patient/new"));
    assert!(
        all.contains(&moved("Condition/c")) && all.contains(&moved("Patient/old")),
        "{all:?}"
    );
    // The survivor's number changes: what was merged into it goes along; a circle is never resolved.
    desk.send(&patient("new", Some(N1))).await;
    assert_eq!(desk.last().await.3, N1);
    let mut circle = patient("new", Some(N1));
    circle["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/old"}}]);
    assert_eq!(desk.send(&circle).await, Outcome::Waiting(WaitReason::NotSeen));
}

#[tokio::test]
async fn a_number_in_doubt_is_held_back_and_reported() {
    let desk = Desk::open().await;
    let mut unverified = patient("p", Some(N1));
    unverified["identifier"][0]["extension"] = json!([{"url": "x/NHSNumberVerificationStatus",
        "valueCodeableConcept": {"coding": [{"code": "number-present-but-not-traced"}]}}]);
    assert_eq!(
        desk.send(&unverified).await,
        Outcome::Waiting(WaitReason::Unverified)
    );
    assert_eq!(
        desk.send(&condition("c", "p", "a")).await,
        Outcome::Waiting(WaitReason::Unverified)
    );
    let mut several = patient("q", Some(N1));
    several["identifier"]
        .as_array_mut()
        .unwrap()
        .push(json!({"system": NHS_NUMBER_SYSTEM, "value": N2}));
    assert_eq!(
        desk.send(&several).await,
        Outcome::Waiting(WaitReason::SeveralNumbers)
    );
    desk.send(&patient("p", Some(N1))).await;
    assert_eq!(desk.amendments().await.len(), 2);
}

#[tokio::test]
async fn a_number_claimed_twice_is_held_back_until_that_is_settled() {
    let desk = Desk::open().await;
    desk.send(&patient("a", Some(N1))).await;
    desk.send(&condition("ca", "a", "1")).await;
    assert_eq!(
        desk.send(&patient("b", Some(N1))).await,
        Outcome::Waiting(WaitReason::ClaimedTwice)
    );
    assert_eq!(
        desk.send(&condition("cb", "b", "1")).await,
        Outcome::Waiting(WaitReason::ClaimedTwice)
    );
    assert_eq!(
        desk.send(&condition("ca", "a", "2")).await,
        Outcome::Waiting(WaitReason::ClaimedTwice)
    );
    assert_eq!(desk.amendments().await.len(), 4, "what was sent is taken back");
    desk.send(&patient("b", Some(N2))).await;
    let all: Vec<_> = desk
        .amendments()
        .await
        .iter()
        .skip(4)
        .map(|a| (short(a).2, short(a).3))
        .collect();
    let expected = [
        ("Patient/b", N2),
        ("Condition/cb", N2),
        ("Patient/a", N1),
        ("Condition/ca", N1),
        ("Condition/ca", N1),
    ];
    assert_eq!(all, expected.map(|(name, n)| (name.to_owned(), n.to_owned())));
    // Claimed again, and settled by retracting the Patient that claims it.
    desk.send(&patient("b", Some(N1))).await;
    desk.send(&condition("ca", "a", "3")).await;
    desk.delete("Patient/b").await;
    assert_eq!(desk.last().await.2, "Condition/ca");
}

#[tokio::test]
async fn a_number_alone_names_the_one_patient_that_has_it() {
    let desk = Desk::open().await;
    let by_number = |id: &str| -> Value {
        json!({"resourceType": "Observation", "id": id,
               "subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": N1}}})
    };
    assert_eq!(
        desk.send(&by_number("o")).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    desk.send(&labelled(patient("p", Some(N1)))).await;
    assert_eq!(
        desk.last().await,
        (2, Op::Create, "Observation/o".into(), N1.into(), 2, false, None)
    );
    assert!(matches!(
        desk.send(&by_number("o2")).await,
        Outcome::Taken { seq: 3, .. }
    ));
}
