//! What a unit's clinical system sends back after it was withdrawn, or after its source took it back.
//!
//! Detects: a file of another unit's, unmarked and late, published as this unit's own, and its patient put on this
//! unit's caseload by it.

use handfast_proto::amendment::Op;
use serde_json::json;

use super::copies_testing::*;
use crate::store::{
    inbox::testing::*,
    outbox::{Outcome, Refusal, WaitReason},
};

#[tokio::test]
async fn a_file_of_what_was_withdrawn_is_still_an_echo() {
    let (p, o) = (patient("p"), observation("1", "p", 70));
    let stand = Stand::with_output("directory", &[&p, &o]).await;
    stand.receive(vec![withdraw(A, 9, 1)]).await;
    assert!(
        stand
            .inbox
            .held(ods(A), &name_of(&o).parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    // In either order.
    for copy in [&o, &p, &o] {
        assert_eq!(stand.send(copy).await, Outcome::Echo, "{copy}");
    }
    assert!(stand.names().await.is_empty());
    // Under another name, or with another content, it is something else.
    assert_eq!(
        stand.send(&observation("2", "q", 70)).await,
        Outcome::Waiting(WaitReason::NotSeen)
    );
    // Once the unit itself records something about the patient, the Patient is its own too.
    let own = observation("own-1", "p", 5);
    assert!(matches!(stand.send(&own).await, Outcome::Taken { .. }));
    assert_eq!(stand.names().await, ["Patient/p", "Observation/own-1"]);
}

#[tokio::test]
async fn a_file_of_what_its_source_took_back_is_still_an_echo() {
    let (one, two) = (observation("1", "p", 70), observation("2", "p", 71));
    let stand = Stand::with_output("directory", &[&patient("p"), &one, &two]).await;
    stand
        .receive(vec![live(
            A,
            1,
            &[
                (4, Op::Retract, "Observation/1", ""),
                (5, Op::Remove, "Observation/2", ""),
            ],
        )])
        .await;
    for copy in [&one, &two] {
        assert_eq!(stand.send(copy).await, Outcome::Echo, "{copy}");
    }
    assert!(stand.names().await.is_empty());
}

#[tokio::test]
async fn what_is_the_units_own_stays_so_whatever_was_withdrawn_under_its_name() {
    let o = observation("1", "1", 70);
    let stand = Stand::with_output("directory", &[&o]).await;
    assert!(matches!(stand.send(&patient("1")).await, Outcome::Taken { .. }));
    assert!(matches!(
        stand.send(&observation("1", "1", 71)).await,
        Outcome::Taken { version: 1, .. }
    ));
    stand.receive(vec![withdraw(A, 9, 1)]).await;
    assert!(matches!(stand.send(&o).await, Outcome::Taken { version: 2, .. }));
}

#[tokio::test]
async fn a_marked_copy_of_what_was_withdrawn_is_refused_as_before() {
    let o = observation("1", "p", 70);
    for kind in ["directory", "fhir"] {
        let stand = Stand::with_output(kind, &[&patient("p"), &o]).await;
        stand.receive(vec![withdraw(A, 9, 1)]).await;
        let marked = at_server(&o);
        let mut unmarked = marked.clone();
        unmarked["meta"] = json!({});
        for copy in [&marked, &unmarked] {
            assert_eq!(
                stand.send(copy).await,
                Outcome::Rejected(Refusal::LostCopy),
                "{kind}: {copy}"
            );
        }
        assert!(stand.names().await.is_empty());
    }
}
