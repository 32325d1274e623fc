//! The uplink against a daemon in this process.

use std::path::Path;

use handfast_proto::{
    chain::Chain,
    ids::StoreId,
    v1::{Resend, StatementInForce, publish_response::Message as Response},
};
use tonic::Status;

use super::support::*;
use crate::{
    codec::fhir::{Codec, Document, PrivateCodes},
    status::LinkState,
};

#[tokio::test]
async fn everything_arrives_in_order_and_is_forgotten_once_acknowledged() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..300)).await.unwrap();
    stand.uplink();
    for id in 300..340 {
        stand.outbox.push_raw(vec![amendment(id, 10)]).await.unwrap();
    }
    stand
        .outbox
        .push_raw(vec![amendment(340, 6_000_000), amendment(341, 1)])
        .await
        .unwrap();
    stand.until(|log| log.head == 342).await;
    assert_eq!(stand.taken(), expected(0..342, 1));
    assert_eq!(stand.fake.0.lock().taken[&341].1, 6_000_000);
    stand
        .until_async(async || stand.outbox.position().acked_seq == 342)
        .await;
    let status = stand.board.snapshot().uplink;
    assert_eq!((status.link, status.acked_seq), (LinkState::Connected, 342));
    assert_eq!(
        stand.outbox.position().acked_chain.as_bytes().to_vec(),
        stand.fake.0.lock().chain
    );
}

#[tokio::test]
async fn a_lost_acknowledgement_repeats_nothing() {
    let stand = Stand::start().await;
    stand.fake.0.lock().break_after = Some(2);
    stand.outbox.push_raw(amendments(0..1000)).await.unwrap();
    stand.uplink();
    stand.until(|log| log.head == 1000).await;
    assert_eq!(stand.taken(), expected(0..1000, 1));
    let log = stand.fake.0.lock();
    assert_eq!(log.hellos.len(), 2);
    assert_eq!(
        log.hellos[0].store_id, log.hellos[1].store_id,
        "the same store goes on"
    );
}

#[tokio::test]
async fn a_new_store_goes_on_behind_the_head() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..10)).await.unwrap();
    stand.uplink();
    stand.until(|log| log.head == 10).await;
    let fresh = open(&stand.dir.path().join("fresh.db")).await;
    fresh.push_raw(amendments(50..60)).await.unwrap();
    stand.uplink_of(fresh.clone());
    stand.until(|log| log.head == 20).await;
    assert_eq!(stand.taken()[10..], expected(50..60, 11));
    assert_eq!(
        fresh.position().store.as_bytes().to_vec(),
        stand.fake.0.lock().store
    );
}

#[tokio::test]
async fn a_restored_copy_sends_what_is_its_own_and_nothing_again() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..10)).await.unwrap();
    // The copy holds ten amendments that it does not know to be the daemon's.
    let copy = stand.dir.path().join("copy.db");
    copy_of(&stand.dir.path().join("outbox.db"), &copy).await;
    let first = stand.uplink();
    stand.outbox.push_raw(amendments(10..30)).await.unwrap();
    stand.until(|log| log.head == 30).await;
    first.cancel();
    let restored = open(&copy).await;
    restored.push_raw(amendments(90..91)).await.unwrap();
    let before = restored.position().store;
    stand.uplink_of(restored.clone());
    stand.until(|log| log.head > 30).await;
    stand
        .until_async(async || restored.position().acked_seq == 31)
        .await;
    assert_ne!(restored.position().store, before);
    let mut all = expected(0..30, 1);
    all.extend(expected(90..91, 31));
    assert_eq!(stand.taken(), all);
}

async fn copy_of(from: &Path, to: &Path) {
    use sqlx::Connection as _;
    let mut conn = sqlx::SqliteConnection::connect(&format!("sqlite://{}", from.display()))
        .await
        .unwrap();
    sqlx::query("VACUUM INTO ?")
        .bind(to.display().to_string())
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_daemon_behind_its_own_acknowledgements_is_filled_up_again() {
    let stand = Stand::start().await;
    let patient = r#"{"resourceType":"Patient","id":"p","identifier":[
        {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}"#;
    let codec = Codec::new(PrivateCodes::default(), 100_000);
    let change = |text: &str| match codec.document(text.as_bytes()).unwrap() {
        Document::Resource(change) => *change,
        Document::Bundle(_) => panic!("a Bundle"),
    };
    let condition = r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p"}}"#;
    stand
        .outbox
        .take(vec![change(patient), change(condition)])
        .await
        .unwrap();
    let first = stand.uplink();
    stand
        .until_async(async || stand.outbox.position().acked_seq == 2)
        .await;
    first.cancel();
    // Restored from a backup taken before.
    {
        let mut log = stand.fake.0.lock();
        log.head = 1;
        log.chain = Chain::start(StoreId::from_random([1; 16])).as_bytes().to_vec();
        log.store = vec![7; 16];
        log.taken.clear();
    }
    stand.uplink();
    stand.until(|log| log.head == 3).await;
    let records: Vec<_> = stand.taken().into_iter().map(|(_, record)| record).collect();
    assert_eq!(records, ["Patient/p", "Condition/c"]);
}

#[tokio::test]
async fn a_refusal_is_shown_and_tried_again() {
    let stand = Stand::start().await;
    stand.fake.0.lock().refuse = Some(Status::failed_precondition(
        "another store of unit Z00101 is connected",
    ));
    stand.outbox.push_raw(amendments(0..1)).await.unwrap();
    stand.uplink();
    let refused = LinkState::Refused {
        why: "another store of unit Z00101 is connected".to_owned(),
    };
    stand
        .until_async(async || stand.board.snapshot().uplink.link == refused)
        .await;
    stand.fake.0.lock().refuse = None;
    stand.until(|log| log.head == 1).await;
}

#[tokio::test]
async fn small_commits_made_while_the_daemon_was_away_travel_together() {
    let stand = Stand::start().await;
    for id in 0..500 {
        stand.outbox.push_raw(vec![amendment(id, 10)]).await.unwrap();
    }
    stand.uplink();
    stand.until(|log| log.head == 500).await;
    let messages = stand.fake.0.lock().messages;
    assert!(messages < 30, "{messages} messages");
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[
    {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}"#;

const DENIAL: &str = r#"{"resourceType":"Consent","id":"c","status":"active",
    "scope":{"coding":[{"code":"patient-privacy"}]},"patient":{"reference":"Patient/p"},
    "provision":{"type":"deny"}}"#;

async fn take(stand: &Stand, text: &str) {
    let codec = Codec::new(PrivateCodes::default(), 1 << 20);
    let Ok(Document::Resource(change)) = codec.document(text.as_bytes()) else {
        panic!("{text}")
    };
    stand.outbox.take(vec![*change]).await.unwrap();
}

#[tokio::test]
async fn a_word_is_known_to_be_in_force_and_what_is_asked_for_is_sent_again() {
    let stand = Stand::start().await;
    stand.uplink();
    take(&stand, PATIENT).await;
    stand.until(|log| log.head == 1).await;
    let in_force = |pending| Response::StatementInForce(StatementInForce { seq: 2, pending });
    let names = ["Patient/p", "Condition/never", "no name"].map(str::to_owned);
    let resend = Response::Resend(Resend {
        record: names.to_vec(),
    });
    stand.fake.0.lock().say = vec![in_force(true), resend.clone(), resend];
    take(&stand, DENIAL).await;
    stand.until(|log| log.head >= 3).await;
    let counts = async || stand.outbox.summary().await.unwrap().statements;
    stand.until_async(async || counts().await.pending == 2).await;
    stand.fake.0.lock().say = vec![in_force(false)];
    stand.outbox.push_raw(vec![amendment(9, 10)]).await.unwrap();
    stand.until_async(async || counts().await.in_force == 2).await;
    let taken: Vec<String> = stand.taken().into_iter().map(|(_, name)| name).collect();
    // Asked for twice, it may be sent twice only where the daemon had it in between.
    assert_eq!(taken[..3], ["Patient/p", "Consent/c", "Patient/p"]);
    assert_eq!(stand.board.snapshot().uplink.link, LinkState::Connected);
}

/// Detects a word of which nobody could be told that it is in force, shown as acknowledged for ever; and one that a
/// welcome does not speak of, taken to be in force.
#[tokio::test]
async fn what_came_into_force_unheard_is_learnt_from_a_welcome() {
    let stand = Stand::start().await;
    let mut link = stand.uplink();
    take(&stand, PATIENT).await;
    take(&stand, DENIAL).await;
    stand
        .until_async(async || stand.outbox.position().acked_seq == 2)
        .await;
    let said = async || stand.outbox.summary().await.unwrap().statements;
    for (seq, hellos, in_force) in [(1, 2, 0), (2, 3, 2)] {
        link.cancel();
        stand.fake.0.lock().in_force_seq = seq;
        link = stand.uplink();
        stand.until(|log| log.hellos.len() == hellos).await;
        // What is taken now is entered behind what the welcome said.
        take(
            &stand,
            &PATIENT.replace("}]}", &format!("}}],\"active\":{}}}", hellos == 2)),
        )
        .await;
        stand.until(|log| log.head == hellos as u64 + 1).await;
        stand
            .until_async(async || stand.outbox.position().acked_seq == hellos as u64 + 1)
            .await;
        let said = said().await;
        assert_eq!(
            (said.in_force, said.acknowledged),
            (in_force, 2 - in_force),
            "{seq}"
        );
    }
}
