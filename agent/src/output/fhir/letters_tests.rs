//! The FHIR output's dead letters: what is refused, set aside, tried again, resolved.

use handfast_proto::amendment::Op::{Amend, Create, Remove};

use super::testing::*;
use crate::store::inbox::{LetterOp, LetterState, testing::*};

#[tokio::test]
async fn what_is_refused_for_good_is_a_dead_letter_and_holds_up_nothing() {
    let mut rig = Rig::new().await;
    let (p, o) = (patient("x"), observation("1"));
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", o.as_str()),
        (3, Create, "Patient/2", "not FHIR at all"),
    ];
    rig.instead(A, "Patient/1", &[422]);
    rig.receive(vec![live(A, 1, &lines)]).await;
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Observation/1")]);
    let letters = rig.inbox.letters(false).await.unwrap();
    let shown: Vec<_> = letters
        .iter()
        .map(|l| (l.record.as_str(), l.status, l.state))
        .collect();
    let refused = LetterState::Refused;
    assert_eq!(
        shown,
        [("Patient/1", Some(422), refused), ("Patient/2", None, refused)]
    );
    assert!(letters[0].reason.contains("invalid"), "{}", letters[0].reason);
    assert!(
        letters
            .iter()
            .all(|l| !l.reason.contains("Secret") && !l.reason.contains("FHIR at all"))
    );
    // Asked for, and refused again.
    rig.asked();
    assert!(rig.inbox.request_retry(letters[0].id).await.unwrap());
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.asked(), [format!("PUT {}", at(A, "Patient/1"))]);
    assert_eq!(
        rig.inbox.letter(letters[0].id).await.unwrap().unwrap().attempts,
        2
    );
    // Asked for once it is put right at the server.
    rig.instead(A, "Patient/1", &[200]);
    rig.inbox.request_retry(letters[0].id).await.unwrap();
    assert_eq!(rig.settle().await, None);
    assert!(rig.held().contains(&at(A, "Patient/1")));
    // Discarded, and good again with the next version.
    rig.inbox
        .discard_letter(letters[1].id, "written by hand")
        .await
        .unwrap();
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
    let next = p.replace("\"1\"", "\"2\"");
    rig.receive(vec![live(A, 1, &[(4, Amend, "Patient/2", next.as_str())])])
        .await;
    assert_eq!(rig.settle().await, None);
    assert!(rig.held().contains(&at(A, "Patient/2")));
}

#[tokio::test]
async fn a_newer_version_resolves_a_letter_and_a_withdrawal_closes_it() {
    let mut rig = Rig::new().await;
    let (p, o) = (patient("x"), observation("1"));
    rig.instead(A, "Patient/1", &[422, 200]);
    rig.instead(A, "Observation/1", &[400, 404]);
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", o.as_str()),
    ];
    rig.receive(vec![live(A, 1, &lines)]).await;
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.inbox.letters(false).await.unwrap().len(), 2);
    rig.receive(vec![live(
        A,
        1,
        &[
            (3, Amend, "Patient/1", p.as_str()),
            (4, Remove, "Observation/1", ""),
        ],
    )])
    .await;
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Patient/1")]);
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
    // A retry of what is not held any more writes nothing.
    let letters = rig.inbox.letters(true).await.unwrap();
    assert!(
        letters
            .iter()
            .all(|l| l.state == LetterState::Resolved && l.closed_at.is_some())
    );
    assert!(!rig.inbox.request_retry(letters[0].id).await.unwrap());
}

#[tokio::test]
async fn trouble_with_one_record_is_set_aside_and_tried_again_by_itself() {
    let mut rig = Rig::new().await;
    let (p, o) = (patient("x"), observation("1"));
    rig.instead(A, "Patient/1", &[500]);
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", o.as_str()),
    ];
    rig.receive(vec![live(A, 1, &lines)]).await;
    assert_eq!(
        rig.settle_through().await,
        3,
        "waited for in its place for a while"
    );
    assert_eq!(rig.held(), [at(A, "Observation/1")]);
    assert_eq!(
        rig.inbox.letters(false).await.unwrap()[0].state,
        LetterState::Waiting
    );
    rig.asked();
    assert_eq!(rig.settle().await, None);
    assert!(rig.asked().is_empty(), "not before its time");
    rig.instead(A, "Patient/1", &[200]);
    rig.clock.advance(3_600_000);
    assert_eq!(rig.settle().await, None);
    assert!(rig.held().contains(&at(A, "Patient/1")));
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_keeps_failing_while_others_pass_is_refused_in_the_end() {
    let mut rig = Rig::new().await;
    let p = patient("x");
    rig.instead(A, "Patient/1", &[409]);
    rig.receive(vec![live(A, 1, &[(1, Create, "Patient/1", p.as_str())])])
        .await;
    rig.settle_through().await;
    for seq in 2..14 {
        let other = observation("1");
        rig.receive(vec![live(
            A,
            1,
            &[(seq, Create, "Observation/1", other.as_str())],
        )])
        .await;
        assert_eq!(rig.settle().await, None);
        rig.clock.advance(3_600_000);
        assert_eq!(rig.settle().await, None);
    }
    let letters = rig.inbox.letters(false).await.unwrap();
    assert_eq!(
        (letters.len(), letters[0].state, letters[0].status),
        (1, LetterState::Refused, Some(409))
    );
}

#[tokio::test]
async fn a_deletion_that_is_refused_is_said_so_in_the_confirmation() {
    let mut rig = Rig::new().await;
    let (p, o) = (patient("x"), observation("1"));
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", o.as_str()),
    ];
    rig.receive(vec![live(A, 1, &lines)]).await;
    assert_eq!(rig.settle().await, None);
    rig.instead(A, "Observation/1", &[405]);
    rig.instead(A, "Patient/1", &[409, 200]);
    rig.receive(vec![withdraw(A, 9, 1)]).await;
    assert_eq!(rig.settle().await, None);
    assert!(
        rig.inbox.confirmations(false).await.unwrap().list.is_empty(),
        "one deletion is tried again"
    );
    let letters = rig.inbox.letters(false).await.unwrap();
    assert!(letters.iter().all(|l| l.op == LetterOp::Delete));
    rig.clock.advance(3_600_000);
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Observation/1")]);
    let confirmed = rig.inbox.confirmations(false).await.unwrap().list;
    assert_eq!((confirmed[0].removed, confirmed[0].not_removed), (2, 1));
}
