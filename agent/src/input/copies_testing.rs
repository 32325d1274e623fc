//! A unit that holds what it received, and short ways to say what its clinical system sends.

use std::sync::Arc;

use handfast_proto::amendment::{Amendment, Op};
use serde_json::{Value, json};

use super::InputContext;
use crate::{
    clock::{Clock, SystemClock},
    codec::fhir::{Change, Codec, Document, NHS_NUMBER_SYSTEM, PrivateCodes, derived_id, rewrite},
    status::StatusBoard,
    store::{
        inbox::{Inbox, testing::*},
        outbox::{Outbox, OutboxLimits, Outcome},
    },
};

pub(super) const A: &str = "Z00101";
pub(super) const OWN: &str = "Z00102";
pub(super) const NUMBER: &str = "9990000018";

pub(super) struct Stand {
    pub(super) ctx: InputContext,
    pub(super) inbox: Inbox,
    pub(super) dir: tempfile::TempDir,
    messages: std::cell::Cell<u64>,
}

impl Stand {
    /// The unit holds these of `A`, and has an output at a FHIR server.
    pub(super) async fn holding(resources: &[&Value]) -> Self {
        Self::with_output("fhir", resources).await
    }

    /// The unit holds these of `A`, and has an output of this kind.
    pub(super) async fn with_output(kind: &str, resources: &[&Value]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let path = dir.path().join("outbox.db");
        let outbox = Outbox::open(&path, Arc::clone(&clock), OutboxLimits::default());
        let inbox = open_with_output(dir.path(), kind).await;
        let ctx = InputContext {
            unit: OWN.parse().unwrap(),
            outbox: outbox.await.unwrap(),
            inbox: inbox.clone(),
            codec: Arc::new(Codec::new(PrivateCodes::default(), 1 << 20)),
            board: StatusBoard::new().input("in", "fhir"),
            clock,
        };
        let stand = Self {
            ctx,
            inbox,
            dir,
            messages: std::cell::Cell::new(1),
        };
        stand
            .receive(vec![welcome(true, &[(A, 1)]), begins(A, 1, 5)])
            .await;
        let texts: Vec<_> = resources.iter().map(|r| (name_of(r), r.to_string())).collect();
        let lines = (1..)
            .zip(&texts)
            .map(|(seq, (name, text))| (seq, Op::Create, name.as_str(), text.as_str()));
        stand
            .receive(vec![in_job(A, 1, 5, &lines.collect::<Vec<_>>())])
            .await;
        stand.receive(vec![complete(A, 1, 5, texts.len() as u64)]).await;
        stand
    }

    pub(super) async fn receive(&self, contents: Vec<crate::store::inbox::Incoming>) {
        let first = self.messages.get();
        self.messages.set(first + contents.len() as u64);
        self.inbox.apply(&group(7, first, contents)).await.unwrap();
    }

    pub(super) async fn send(&self, resource: &Value) -> Outcome {
        self.ctx
            .take(vec![change(resource)], false, Vec::new())
            .await
            .unwrap()
            .remove(0)
    }

    pub(super) async fn published(&self) -> Vec<Amendment> {
        let batches = self.ctx.outbox.after(0, 1 << 20).await.unwrap();
        batches.iter().flat_map(|b| b.amendments().unwrap()).collect()
    }

    pub(super) async fn names(&self) -> Vec<String> {
        self.published()
            .await
            .iter()
            .map(|a| a.record.to_string())
            .collect()
    }

    pub(super) async fn echoes(&self) -> u64 {
        self.ctx.outbox.summary().await.unwrap().echoes
    }
}

pub(super) fn change(resource: &Value) -> Change {
    match Codec::new(PrivateCodes::default(), 1 << 20)
        .document(resource.to_string().as_bytes())
        .unwrap()
    {
        Document::Resource(change) => *change,
        Document::Bundle(_) => panic!("a Bundle"),
    }
}

pub(super) fn name_of(resource: &Value) -> String {
    let text = |key: &str| resource[key].as_str().unwrap();
    format!("{}/{}", text("resourceType"), text("id"))
}

pub(super) fn patient(id: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": "Synthetic"}], "birthDate": "1970-01-01",
        "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": NUMBER}]})
}

pub(super) fn observation(id: &str, patient: &str, value: u64) -> Value {
    json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "Heart rate"},
        "subject": {"reference": format!("Patient/{patient}")}, "valueQuantity": {"value": value}})
}

/// As the output writes it at the unit's server, and the server gives it out.
pub(super) fn at_server(resource: &Value) -> Value {
    let record = name_of(resource).parse().unwrap();
    let written = rewrite(resource.to_string().as_bytes(), ods(A), &record).unwrap();
    let mut written: Value = serde_json::from_slice(&written).unwrap();
    written["meta"]["versionId"] = json!("4");
    written["meta"]["lastUpdated"] = json!("2026-01-01T00:00:00Z");
    written
}

pub(super) fn copy_id(name: &str) -> String {
    derived_id(ods(A), &name.parse().unwrap())
}
