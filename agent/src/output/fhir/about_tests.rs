//! What the FHIR output tells clinicians of a source.

use handfast_proto::amendment::Op::{Create, Remove};

use super::testing::*;
use crate::{
    codec::fhir::about_id,
    output::Output as _,
    store::inbox::{About, testing::*},
};

impl Rig {
    async fn abouts(&self) -> Vec<About> {
        self.inbox.abouts(Some("out")).await.unwrap()
    }

    /// Tells all, and gives what the server holds about source A.
    async fn told(&mut self) -> serde_json::Value {
        let abouts = self.abouts().await;
        let told = self.output.tell(&abouts).await.unwrap();
        assert_eq!(told.len(), abouts.len());
        let name = format!("Basic/{}", about_id(ods(A)));
        self.server.shelf.lock().held.get(&name).unwrap().clone()
    }
}

#[tokio::test]
async fn a_source_has_one_resource_that_names_nobody() {
    let mut rig = Rig::new().await;
    let o = observation("1");
    rig.receive(vec![
        begins(A, 1, 1),
        in_job(A, 1, 1, &[(1, Create, "Observation/1", o.as_str())]),
        complete(A, 1, 1, 1),
        live(A, 1, &[(2, Remove, "Observation/1", "")]),
    ])
    .await;
    assert_eq!(rig.settle().await, None);
    let resource = rig.told().await;
    assert_eq!(resource["identifier"][0]["value"], A);
    assert_eq!(resource["meta"]["source"], format!("urn:handfast:{A}"));
    let narrative = resource["text"]["div"].as_str().unwrap();
    assert!(narrative.contains("As of 2026-11-23T10:00:00Z."), "{narrative}");
    assert!(narrative.contains("Records were withdrawn"), "{narrative}");
    let text = resource.to_string();
    assert!(
        !text.contains("subject") && !text.contains("Observation"),
        "{text}"
    );
    let notice = resource["extension"].as_array().unwrap().last().unwrap();
    assert_eq!(notice["extension"][0]["valueCode"], "withdrawn");
    assert_eq!(notice["extension"][1]["valueDate"], "2026-11-23");
    // It is kept where everything is withdrawn, and by a comparison of everything.
    rig.receive(vec![fenced(A, 1), withdraw(A, 9, 1)]).await;
    let spec = crate::store::inbox::OutputSpec {
        name: "out".to_owned(),
        kind: "fhir".to_owned(),
    };
    rig.inbox.set_outputs(&[spec]).await.unwrap();
    assert_eq!(rig.settle().await, None);
    let resource = rig.told().await;
    assert_eq!(resource["extension"][1]["valueBoolean"], false);
    assert!(rig.inbox.orphans("out", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_take_it_holds_up_no_record() {
    let mut rig = Rig::new().await;
    let o = observation("1");
    rig.receive(vec![live(A, 1, &[(1, Create, "Observation/1", o.as_str())])])
        .await;
    let name = format!("Basic/{}", about_id(ods(A)));
    let answer = |status: u16| std::collections::VecDeque::from([status]);
    rig.server.shelf.lock().instead.insert(name.clone(), answer(503));
    let abouts = rig.abouts().await;
    assert!(
        rig.output.tell(&abouts).await.unwrap().is_empty(),
        "to be tried again"
    );
    rig.server.shelf.lock().instead.insert(name, answer(422));
    assert_eq!(
        rig.output.tell(&abouts).await.unwrap(),
        [ods(A)],
        "refused for good"
    );
    assert_eq!(rig.settle().await, None);
    assert_eq!(rig.held(), [at(A, "Observation/1")]);
    assert!(rig.inbox.letters(false).await.unwrap().is_empty());
}
