//! The FHIR output against a real inbox and a server of the test's own: what is written, what is waited for.

use std::time::Duration;

use handfast_proto::amendment::Op::{Amend, Create};

use super::{FhirOutput, testing::*};
use crate::store::inbox::{OutputSpec, testing::*};

#[tokio::test]
async fn two_sources_and_the_unit_itself_may_have_the_same_ids() {
    let mut rig = Rig::new().await;
    let own = serde_json::json!({"resourceType": "Observation", "id": "1", "note": "the unit's own"});
    rig.server
        .shelf
        .lock()
        .held
        .insert("Observation/1".to_owned(), own.clone());
    let (p, o) = (patient("x"), observation("1.50"));
    for (source, grant) in [(A, 1), (B, 2)] {
        let lines = [
            (1, Create, "Patient/1", p.as_str()),
            (2, Create, "Observation/1", o.as_str()),
        ];
        rig.receive(vec![live(source, grant, &lines)]).await;
    }
    assert_eq!(rig.settle().await, None);
    let mut expected = vec!["Observation/1".to_owned()];
    for source in [A, B] {
        expected.extend([at(source, "Patient/1"), at(source, "Observation/1")]);
    }
    expected.sort();
    assert_eq!(rig.held(), expected);
    {
        let shelf = rig.server.shelf.lock();
        let one = &shelf.held[&at(A, "Observation/1")];
        assert_eq!(one["subject"]["reference"], at(A, "Patient/1"));
        assert_eq!(one["meta"]["source"], format!("urn:handfast:{A}:Observation/1"));
        assert_eq!(shelf.held["Observation/1"], own);
    }
    // One source is withdrawn: only its own records go, the patient last.
    rig.asked();
    rig.receive(vec![withdraw(A, 7, 1)]).await;
    assert!(rig.inbox.confirmations(false).await.unwrap().list.is_empty());
    assert_eq!(rig.settle().await, None);
    let expected = [at(A, "Observation/1"), at(A, "Patient/1")].map(|name| format!("DELETE {name}"));
    assert_eq!(rig.asked(), expected);
    assert_eq!(rig.server.shelf.lock().held["Observation/1"], own);
    assert_eq!(rig.held().len(), 3);
    let confirmed = rig.inbox.confirmations(false).await.unwrap().list;
    assert_eq!((confirmed[0].removed, confirmed[0].not_removed), (2, 0));
}

#[tokio::test]
async fn a_server_in_trouble_is_waited_for_and_nothing_is_lost() {
    let mut rig = Rig::new().await;
    rig.server.shelf.lock().retry_after = Some("7");
    let (p, first, last) = (patient("x"), observation("1"), observation("2"));
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", first.as_str()),
        (3, Amend, "Observation/1", last.as_str()),
    ];
    rig.instead(A, "Patient/1", &[429, 503, 401, 500, 408, 200]);
    rig.receive(vec![live(A, 1, &lines)]).await;
    let pause = rig.settle().await.unwrap();
    assert_eq!(pause.retry_after, Some(Duration::from_secs(7)));
    assert!(pause.why.contains("429"), "{}", pause.why);
    assert!(rig.held().is_empty(), "the order is kept");
    rig.settle_through().await;
    assert_eq!(rig.held(), [at(A, "Observation/1"), at(A, "Patient/1")]);
    assert_eq!(
        rig.server.shelf.lock().held[&at(A, "Observation/1")]["valueDecimal"],
        2
    );
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
    // Only the newest version was written.
    let asked = rig.asked();
    assert_eq!(
        asked.iter().filter(|a| a.contains("Observation")).count(),
        1,
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let mut rig = Rig::new().await;
    let mut away = settings(&rig.server);
    // A port that nothing listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    away.base_url = format!("http://{port}/fhir");
    let server = settings(&rig.server);
    rig.output = FhirOutput::new("out", away, rig.inbox.clone());
    let p = patient("x");
    rig.receive(vec![live(A, 1, &[(1, Create, "Patient/1", p.as_str())])])
        .await;
    for _ in 0..12 {
        assert!(rig.settle().await.unwrap().why.contains("cannot be reached"));
    }
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
    rig.output = FhirOutput::new("out", server, rig.inbox.clone());
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Patient/1")]);
}

#[tokio::test]
async fn an_output_that_is_new_begins_with_all_that_is_held() {
    let mut rig = Rig::new().await;
    let (p, o) = (patient("x"), observation("1"));
    let lines = [
        (1, Create, "Patient/1", p.as_str()),
        (2, Create, "Observation/1", o.as_str()),
    ];
    rig.receive(vec![live(A, 1, &lines)]).await;
    let spec = OutputSpec {
        name: "out".to_owned(),
        kind: "fhir, at another address".to_owned(),
    };
    rig.inbox.set_outputs(&[spec]).await.unwrap();
    assert!(rig.inbox.output("out").await.unwrap().resync);
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Observation/1"), at(A, "Patient/1")]);
    assert!(!rig.inbox.output("out").await.unwrap().resync);
}

#[tokio::test]
async fn credentials_are_shown_and_read_again_after_a_pause() {
    let mut rig = Rig::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "agent:old").unwrap();
    let mut with = settings(&rig.server);
    with.credentials_file = Some(file.path().to_owned());
    rig.output = FhirOutput::new("out", with, rig.inbox.clone());
    rig.instead(A, "Patient/1", &[401, 200]);
    let p = patient("x");
    rig.receive(vec![live(A, 1, &[(1, Create, "Patient/1", p.as_str())])])
        .await;
    assert!(rig.settle().await.unwrap().why.contains("credentials"));
    std::fs::write(file.path(), "token-2").unwrap();
    assert_eq!(rig.settle().await, None);
    let shown = rig.server.shelf.lock().authorization.clone();
    assert_eq!(shown, ["Basic YWdlbnQ6b2xk", "Bearer token-2"]);
}
