//! What becomes of single changes.

use super::support::*;
use crate::{
    codec::fhir::Expected,
    store::outbox::{Mark, OutboxLimits, Outcome, Refusal, WaitReason},
};
use handfast_proto::amendment::Op;
use serde_json::json;

fn taken(seq: u64, version: u64, created: bool) -> Outcome {
    Outcome::Taken {
        seq,
        version,
        created,
    }
}

#[tokio::test]
async fn a_change_is_amended_and_a_repeat_is_not() {
    let desk = Desk::open().await;
    assert_eq!(desk.send(&patient("p", Some(N1))).await, taken(1, 1, true));
    assert_eq!(desk.send(&condition("c", "p", "a")).await, taken(2, 1, true));
    assert_eq!(
        desk.send(&condition("c", "p", "a")).await,
        Outcome::Unchanged { version: 1 }
    );
    let restamped = stamped(condition("c", "p", "a"), "2026-01-01T00:00:00Z");
    assert_eq!(desk.send(&restamped).await, Outcome::Unchanged { version: 1 });
    assert_eq!(desk.send(&condition("c", "p", "b")).await, taken(3, 2, false));
    let last = desk.last().await;
    assert_eq!((last.1, last.5, last.6), (Op::Amend, true, None));
    let held = desk
        .outbox
        .record(&"Condition/c".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(held.payload.unwrap(), condition("c", "p", "b").to_string());
}

#[tokio::test]
async fn a_retraction_goes_without_content_and_what_returns_is_created() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    let error = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
                       "verificationStatus": {"coding": [{"code": "entered-in-error"}]}});
    assert_eq!(desk.send(&error).await, taken(3, 2, false));
    assert_eq!(
        desk.last().await,
        (3, Op::Retract, "Condition/c".into(), N1.into(), 0, false, None)
    );
    assert_eq!(
        desk.delete("Condition/c").await,
        Outcome::Unchanged { version: 2 }
    );
    assert_eq!(
        desk.delete("Condition/never").await,
        Outcome::Unchanged { version: 0 }
    );
    let held = desk
        .outbox
        .record(&"Condition/c".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((held.version, held.payload), (2, None));
    assert_eq!(desk.send(&condition("c", "p", "a")).await, taken(4, 3, true));
    assert_eq!(desk.last().await.1, Op::Create);
}

#[tokio::test]
async fn older_than_held_is_set_aside() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    let at = |text: &str, day: u8| stamped(condition("c", "p", text), &format!("2026-01-{day:02}T00:00:00Z"));
    desk.send(&at("b", 5)).await;
    assert_eq!(desk.send(&at("a", 4)).await, Outcome::Older);
    assert_eq!(desk.send(&at("c", 5)).await, taken(3, 2, false));
    // The same content, said to be newer: what lies between is older.
    assert_eq!(desk.send(&at("c", 9)).await, Outcome::Unchanged { version: 2 });
    assert_eq!(desk.send(&at("d", 8)).await, Outcome::Older);
    // Without a time there is nothing to compare.
    assert_eq!(desk.send(&condition("c", "p", "e")).await, taken(4, 3, false));
    assert_eq!(desk.outbox.summary().await.unwrap().older, 2);
}

#[tokio::test]
async fn a_retraction_before_its_record_keeps_older_versions_out() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    let error = json!({"resourceType": "Condition", "id": "c", "meta": {"lastUpdated": "2026-01-05T00:00:00Z"},
                       "verificationStatus": {"coding": [{"code": "entered-in-error"}]}});
    assert_eq!(desk.send(&error).await, Outcome::Unchanged { version: 0 });
    let late = stamped(condition("c", "p", "a"), "2026-01-04T00:00:00Z");
    assert_eq!(desk.send(&late).await, Outcome::Older);
    assert!(
        desk.outbox
            .record(&"Condition/c".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn of_a_private_entry_only_the_header_travels() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&labelled(condition("c", "p", "a"))).await;
    assert_eq!(
        desk.last().await,
        (2, Op::Create, "Condition/c".into(), N1.into(), 1, false, None)
    );
    let held = desk
        .outbox
        .record(&"Condition/c".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(held.payload.is_some(), "the payload stays");
    desk.send(&condition("c", "p", "a")).await;
    let former = Some((N1.into(), 1));
    assert_eq!(
        desk.last().await,
        (3, Op::Amend, "Condition/c".into(), N1.into(), 0, true, former)
    );
    desk.send(&labelled(condition("c", "p", "a"))).await;
    let former = Some((N1.into(), 0));
    assert_eq!(
        desk.last().await,
        (4, Op::Amend, "Condition/c".into(), N1.into(), 1, false, former)
    );
    assert_eq!(desk.outbox.summary().await.unwrap().private, 1);
}

#[tokio::test]
async fn an_expected_version_is_checked_in_the_transaction() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    let expecting = |expected| {
        let mut change = change(&condition("c", "p", "z"));
        change.expected = expected;
        change
    };
    let refused = Outcome::Rejected(Refusal::VersionMismatch { held: Some(1) });
    let both = vec![expecting(Expected::Version(1)), expecting(Expected::Version(1))];
    let refused_now = Outcome::Rejected(Refusal::VersionMismatch { held: Some(2) });
    let outcomes = desk
        .outbox
        .take(vec![expecting(Expected::Version(7)), expecting(Expected::Absent)])
        .await;
    assert_eq!(outcomes.unwrap(), [refused.clone(), refused]);
    assert_eq!(
        desk.outbox.take(both).await.unwrap(),
        [taken(3, 2, false), refused_now]
    );
}

#[tokio::test]
async fn a_transaction_is_taken_whole_or_not_at_all() {
    let desk = Desk::open().await;
    desk.send(&patient("q", Some(N2))).await;
    let mut refused = change(&condition("d", "q", "x"));
    refused.expected = Expected::Version(3);
    let first = change(&condition("c", "p", "a"));
    let patient = change(&patient("p", Some(N1)));
    let outcomes = desk
        .outbox
        .take_all_or_none(vec![first.clone(), patient.clone(), refused])
        .await
        .unwrap();
    assert_eq!(outcomes[0], Outcome::Rejected(Refusal::WithOthers));
    assert_eq!(outcomes[1], Outcome::Rejected(Refusal::WithOthers));
    assert_eq!(
        outcomes[2],
        Outcome::Rejected(Refusal::VersionMismatch { held: None })
    );
    assert_eq!(desk.amendments().await.len(), 1);
    assert_eq!(desk.outbox.summary().await.unwrap().records, 1);
    // Patients go first, so nothing waits within a transaction that brings its Patient.
    let outcomes = desk.outbox.take_all_or_none(vec![first, patient]).await.unwrap();
    assert_eq!(outcomes, [taken(3, 1, true), taken(2, 1, true)]);
    assert_eq!(desk.amendments().await.len(), 3);
}

#[tokio::test]
async fn too_large_and_too_many_waiting_are_refused() {
    let desk = Desk::with(OutboxLimits {
        max_payload_bytes: 300,
        max_waiting: 1,
    })
    .await;
    let large = condition("c", "p", &"x".repeat(300));
    assert!(matches!(
        desk.send(&large).await,
        Outcome::Rejected(Refusal::TooLarge { bound: 300, .. })
    ));
    assert_eq!(
        desk.send(&condition("a", "p", "x")).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    assert!(matches!(
        desk.send(&condition("b", "p", "x")).await,
        Outcome::Rejected(Refusal::TooManyWaiting { bound: 1 })
    ));
    // A later version of what waits needs no more room.
    assert_eq!(
        desk.send(&condition("a", "p", "y")).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    assert_eq!(desk.outbox.summary().await.unwrap().rejected, 2);
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("w", "unseen", "a")).await;
    let mark = |value: Option<&str>| Mark {
        name: "f".into(),
        value: value.map(Into::into),
    };
    desk.outbox
        .take_marked(
            vec![change(&condition("c", "p", "a"))],
            false,
            vec![mark(Some("7"))],
        )
        .await
        .unwrap();
    let before = desk.outbox.position();
    let again = open(&desk.path, OutboxLimits::default()).await;
    assert_eq!(again.position(), before);
    assert_eq!(again.mark("f").await.unwrap().as_deref(), Some("7"));
    assert_eq!(again.summary().await.unwrap().waiting["patient_not_seen"], 1);
    again
        .take_marked(Vec::new(), false, vec![mark(None)])
        .await
        .unwrap();
    assert_eq!(again.mark("f").await.unwrap(), None);
    let outcomes = again.take(vec![change(&condition("c", "p", "a"))]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Unchanged { version: 1 }]);
    assert_eq!(again.after(0, 1 << 20).await.unwrap().last().unwrap().last_seq, 2);
}
