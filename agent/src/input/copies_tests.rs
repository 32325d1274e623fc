//! What a unit received and its clinical system sends back.
//!
//! Detects: another unit's record published as this unit's own, unchanged or changed; a record of the unit's
//! own taken for another's because both count alike; a Patient that is kept aside for ever.

use handfast_proto::{amendment::Op, statement::Statement};
use serde_json::json;

use super::copies_testing::*;
use crate::{
    codec::fhir::{Change, NHS_NUMBER_SYSTEM, about_id},
    store::{
        inbox::testing::*,
        outbox::{Mark, Outcome, Refusal, WaitReason},
    },
};

#[tokio::test]
async fn a_copy_from_a_server_is_known_by_its_mark_or_its_id() {
    let o = observation("1", "p", 70);
    let stand = Stand::holding(&[&patient("p"), &o]).await;
    let key = (ods(A), "Observation/1".parse().unwrap(), copy_id("Observation/1"));
    stand
        .inbox
        .prepare_targets("out", std::slice::from_ref(&key))
        .await
        .unwrap();
    let written = crate::store::inbox::Progress {
        written: vec![(key.0, key.1, 2)],
        ..Default::default()
    };
    stand.inbox.commit_output("out", &written).await.unwrap();
    let marked = at_server(&o);
    let mut tagged = marked.clone();
    tagged["meta"]["source"] = json!(format!("{}#8GsGRkO1", marked["meta"]["source"].as_str().unwrap()));
    let mut unmarked = marked.clone();
    unmarked["meta"].as_object_mut().unwrap().remove("source");
    let mut renamed = marked.clone();
    renamed["id"] = json!("77");
    for copy in [&marked, &tagged, &unmarked, &renamed] {
        assert_eq!(stand.send(copy).await, Outcome::Echo, "{copy}");
    }
    assert_eq!((stand.echoes().await, stand.names().await.len()), (4, 0));
    let changed = Outcome::Rejected(Refusal::ChangedCopy { unit: ods(A) });
    for copy in [&marked, &unmarked, &renamed] {
        let mut copy = copy.clone();
        copy["valueQuantity"]["value"] = json!(71);
        assert_eq!(stand.send(&copy).await, changed, "{copy}");
        copy["status"] = json!("entered-in-error");
        assert_eq!(stand.send(&copy).await, changed, "{copy}");
    }
    let delete = Change::retraction(
        format!("Observation/{}", copy_id("Observation/1"))
            .parse()
            .unwrap(),
    );
    let outcome = stand
        .ctx
        .take(vec![delete.clone()], false, Vec::new())
        .await
        .unwrap();
    assert_eq!(outcome, [changed]);
    assert_eq!(stand.ctx.outbox.summary().await.unwrap().rejected, 7);
    // Withdrawn, it is still no record of this unit's; that the output deletes it is no news.
    stand.receive(vec![withdraw(A, 9, 1)]).await;
    for copy in [&marked, &unmarked, &renamed] {
        assert_eq!(stand.send(copy).await, Outcome::Rejected(Refusal::LostCopy));
    }
    assert_eq!(
        stand.ctx.take(vec![delete], false, Vec::new()).await.unwrap(),
        [Outcome::Echo]
    );
    assert!(stand.names().await.is_empty());
}

#[tokio::test]
async fn what_an_output_tells_about_a_source_is_an_echo_whatever_it_says() {
    let stand = Stand::holding(&[&observation("1", "x", 70)]).await;
    let about = json!({"resourceType": "Basic", "id": about_id(ods(A)), "meta": {"source": format!("urn:handfast:{A}")},
        "code": {"coding": [{"system": "urn:handfast:about", "code": "source"}]}, "text": {"div": "changed"}});
    assert_eq!(stand.send(&about).await, Outcome::Echo);
    let delete = Change::retraction(name_of(&about).parse().unwrap());
    assert_eq!(
        stand.ctx.take(vec![delete], false, Vec::new()).await.unwrap(),
        [Outcome::Echo]
    );
    let mut other = about;
    other["code"] = json!({"text": "something else"});
    assert_eq!(stand.send(&other).await, Outcome::Rejected(Refusal::LostCopy));
}

#[tokio::test]
async fn what_is_marked_as_this_units_own_is_its_own() {
    let stand = Stand::holding(&[&observation("1", "x", 70)]).await;
    let mut own = patient("p");
    own["meta"] = json!({"source": format!("urn:handfast:{OWN}:Patient/p")});
    assert!(matches!(stand.send(&own).await, Outcome::Taken { .. }));
}

#[tokio::test]
async fn while_an_output_is_behind_an_older_copy_is_an_echo() {
    let (old, new) = (observation("1", "p", 70), observation("1", "p", 71));
    let stand = Stand::holding(&[&old]).await;
    let key = (ods(A), "Observation/1".parse().unwrap(), copy_id("Observation/1"));
    stand
        .inbox
        .prepare_targets("out", std::slice::from_ref(&key))
        .await
        .unwrap();
    let text = new.to_string();
    stand
        .receive(vec![live(A, 1, &[(2, Op::Amend, "Observation/1", &text)])])
        .await;
    assert_eq!(stand.send(&at_server(&old)).await, Outcome::Echo);
}

#[tokio::test]
async fn a_file_copied_from_the_output_is_an_echo_and_one_changed_is_refused() {
    let uuid = observation("b262b088-01c9-42ed-8482-f89473f5b575", "a-p", 70);
    let plain = observation("z00101-7", "a-p", 70);
    let a_p = patient("a-p");
    let stand = Stand::holding(&[&a_p, &uuid, &plain]).await;
    for copy in [&uuid, &plain, &a_p] {
        assert_eq!(stand.send(copy).await, Outcome::Echo);
        let mut changed = copy.clone();
        changed["note"] = json!([{"text": "changed"}]);
        let expected = match copy["resourceType"] == "Patient" {
            true => Outcome::Waiting(WaitReason::AsReceived),
            false => Outcome::Rejected(Refusal::ChangedCopy { unit: ods(A) }),
        };
        assert_eq!(stand.send(&changed).await, expected);
    }
    assert_eq!((stand.echoes().await, stand.names().await.len()), (3, 0));
    // Something else under that name is another record.
    let other = json!({"resourceType": "Observation", "id": "z00101-7", "code": {"text": "Weight"}, "status": "final",
        "subject": {"reference": "Patient/own"}, "valueQuantity": {"value": 70}});
    assert_eq!(stand.send(&other).await, Outcome::Waiting(WaitReason::NotSeen));
}

#[tokio::test]
async fn units_that_count_alike_keep_what_is_their_own() {
    let received = observation("1", "1", 70);
    let stand = Stand::holding(&[&received]).await;
    assert!(matches!(stand.send(&patient("1")).await, Outcome::Taken { .. }));
    // Its own Patient/1 has an Observation/1 as well, of like content; once that is held, whatever it says.
    assert_eq!(stand.send(&received).await, Outcome::Echo);
    assert!(matches!(
        stand.send(&observation("1", "1", 71)).await,
        Outcome::Taken { version: 1, .. }
    ));
    assert!(matches!(
        stand.send(&received).await,
        Outcome::Taken { version: 2, .. }
    ));
    assert_eq!(stand.send(&received).await, Outcome::Unchanged { version: 2 });
    let by_number = json!({"resourceType": "Observation", "id": "2", "status": "final",
        "subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": NUMBER}}});
    assert!(matches!(stand.send(&by_number).await, Outcome::Taken { .. }));
    assert_eq!(stand.echoes().await, 1);
    // The Patient may come with what names it.
    let stand = Stand::holding(&[&received]).await;
    let both = vec![change(&observation("1", "1", 71)), change(&patient("1"))];
    let outcomes = stand.ctx.take(both, false, Vec::new()).await.unwrap();
    assert_eq!(outcomes[0], Outcome::Waiting(WaitReason::NotSeen));
    assert_eq!(stand.names().await.len(), 2);
}

#[tokio::test]
async fn a_patient_as_received_is_taken_once_something_own_names_it() {
    let p = patient("9990000018");
    let stand = Stand::holding(&[&p, &observation("1", "9990000018", 70)]).await;
    assert_eq!(stand.send(&p).await, Outcome::Echo);
    assert_eq!(
        stand.send(&observation("1", "9990000018", 70)).await,
        Outcome::Echo
    );
    assert!(stand.names().await.is_empty());
    assert_eq!(
        stand.ctx.outbox.summary().await.unwrap().waiting["patient_as_received"],
        1
    );
    let own = observation("own-1", "9990000018", 5);
    assert!(matches!(stand.send(&own).await, Outcome::Taken { .. }));
    assert_eq!(stand.names().await, ["Patient/9990000018", "Observation/own-1"]);
    assert_eq!(stand.send(&p).await, Outcome::Unchanged { version: 1 });
    assert!(stand.ctx.outbox.summary().await.unwrap().waiting.is_empty());

    // The other way round: what waits for it names it already.
    let stand = Stand::holding(&[&p]).await;
    assert_eq!(stand.send(&own).await, Outcome::Waiting(WaitReason::NotSeen));
    assert!(matches!(stand.send(&p).await, Outcome::Taken { .. }));
    assert_eq!(stand.names().await.len(), 2);

    // Set aside and deleted, it is forgotten.
    let stand = Stand::holding(&[&p]).await;
    stand.send(&p).await;
    let delete = Change::retraction("Patient/9990000018".parse().unwrap());
    stand.ctx.take(vec![delete], false, Vec::new()).await.unwrap();
    assert_eq!(stand.send(&own).await, Outcome::Waiting(WaitReason::NotSeen));
}

#[tokio::test]
async fn of_a_transaction_with_a_changed_copy_nothing_is_taken() {
    let o = observation("1", "p", 70);
    let stand = Stand::holding(&[&o]).await;
    let mut changed = at_server(&o);
    changed["valueQuantity"]["value"] = json!(71);
    let own = patient("own");
    let take = |all: Vec<Change>| {
        let marks = vec![Mark {
            name: "f".to_owned(),
            value: Some("1".to_owned()),
        }];
        stand.ctx.take(all, true, marks)
    };
    let outcomes = take(vec![change(&own), change(&at_server(&o)), change(&changed)])
        .await
        .unwrap();
    let refused = [
        Outcome::Rejected(Refusal::WithOthers),
        Outcome::Rejected(Refusal::WithOthers),
        Outcome::Rejected(Refusal::ChangedCopy { unit: ods(A) }),
    ];
    assert_eq!(outcomes, refused);
    assert!(stand.names().await.is_empty());
    assert_eq!(
        stand.ctx.outbox.mark("f").await.unwrap().as_deref(),
        Some("1"),
        "it is dealt with"
    );
    assert_eq!(stand.ctx.outbox.summary().await.unwrap().rejected, 3);
    // An echo in it does no harm.
    let outcomes = take(vec![change(&own), change(&at_server(&o))]).await.unwrap();
    assert!(matches!(
        outcomes.as_slice(),
        [Outcome::Taken { .. }, Outcome::Echo]
    ));
    assert_eq!(stand.names().await, ["Patient/own"]);
}

#[tokio::test]
async fn a_view_of_what_was_received_is_told_of_whom_and_from_where() {
    let stand = Stand::holding(&[&patient("p"), &observation("1", "p", 70)]).await;
    for name in ["Patient/p", "Observation/1"] {
        let key = (ods(A), name.parse().unwrap(), copy_id(name));
        stand
            .inbox
            .prepare_targets("out", std::slice::from_ref(&key))
            .await
            .unwrap();
    }
    let view = |id: &str, patient: &str, seen: &str| {
        json!({"resourceType": "AuditEvent", "id": id, "type": {"code": "rest"}, "subtype": [{"code": "read"}],
            "recorded": "2025-03-01T00:00:00Z", "agent": [{"requestor": true, "who": {"display": "Dr A"}}],
            "entity": [{"what": {"reference": format!("Patient/{patient}")}}, {"what": {"reference": seen}}]})
    };
    let seen = format!("Observation/{}", copy_id("Observation/1"));
    for (id, patient) in [("by-copy", copy_id("Patient/p")), ("by-name", "p".to_owned())] {
        assert!(matches!(
            stand.send(&view(id, &patient, &seen)).await,
            Outcome::Said { seq: Some(_), .. }
        ));
    }
    for amendment in stand.published().await {
        assert_eq!(amendment.subject.unwrap().patient.reveal(), NUMBER);
        let Ok(Statement::View(said)) = Statement::decode(&amendment.payload) else {
            panic!()
        };
        assert_eq!(said.source, Some(ods(A)));
    }
    let gone = view("gone", &copy_id("Patient/never"), &seen);
    assert_eq!(stand.send(&gone).await, Outcome::Rejected(Refusal::LostCopy));
    assert!(stand.dir.path().exists());
}
