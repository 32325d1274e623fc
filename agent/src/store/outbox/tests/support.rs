//! An outbox in a temporary folder, and short ways to say what a clinical system sends.

use std::{path::PathBuf, sync::Arc};

use handfast_proto::{
    amendment::{Amendment, Op},
    chain::Chain,
    ids::NhsNumber,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    clock::ManualClock,
    codec::fhir::{Change, Codec, Document, NHS_NUMBER_SYSTEM, PrivateCodes},
    store::outbox::{Outbox, OutboxLimits, Outcome},
};

pub(super) const N1: &str = "9990000018";
pub(super) const N2: &str = "9990000085";
pub(super) const NOW: i64 = 1_767_225_600_000;

pub(super) struct Desk {
    pub(super) outbox: Arc<Outbox>,
    pub(super) path: PathBuf,
    _dir: TempDir,
}

impl Desk {
    pub(super) async fn open() -> Self {
        Self::with(OutboxLimits::default()).await
    }

    pub(super) async fn with(limits: OutboxLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        let outbox = open(&path, limits).await;
        Self {
            outbox,
            path,
            _dir: dir,
        }
    }

    /// Takes one resource.
    pub(super) async fn send(&self, resource: &Value) -> Outcome {
        self.outbox.take(vec![change(resource)]).await.unwrap().remove(0)
    }

    pub(super) async fn delete(&self, record: &str) -> Outcome {
        let change = Change::retraction(record.parse().unwrap());
        self.outbox.take(vec![change]).await.unwrap().remove(0)
    }

    /// Every amendment in the outbox, the chain checked.
    pub(super) async fn amendments(&self) -> Vec<(u64, Amendment)> {
        self.amendments_after(0).await
    }

    pub(super) async fn amendments_after(&self, mut seq: u64) -> Vec<(u64, Amendment)> {
        let mut all = Vec::new();
        let mut chain: Option<Chain> = None;
        loop {
            let batches = self.outbox.after(seq, 1 << 20).await.unwrap();
            if batches.is_empty() {
                return all;
            }
            for batch in batches {
                assert_eq!(batch.first_seq, seq + 1, "no gap");
                let mut at = chain.unwrap_or(batch.chain_before);
                assert_eq!(at, batch.chain_before, "the chain goes on");
                for amendment in batch.amendments().unwrap() {
                    seq += 1;
                    at = at.extend(seq, &amendment);
                    all.push((seq, amendment));
                }
                assert_eq!(at, batch.chain_after);
                chain = Some(at);
                assert_eq!(batch.last_seq, seq);
            }
        }
    }

    /// The last amendment in short: seq, op, record, NHS number, marks as bits, whether it has a payload,
    /// and what number and marks were.
    pub(super) async fn last(&self) -> Short {
        short(self.amendments().await.last().unwrap())
    }
}

pub(super) type Short = (u64, Op, String, String, u8, bool, Option<(String, u8)>);

pub(super) fn short((seq, a): &(u64, Amendment)) -> Short {
    let number = |n: NhsNumber| n.reveal();
    let subject = a.subject.unwrap();
    (
        *seq,
        a.op,
        a.record.to_string(),
        number(subject.patient),
        subject.confidentiality.bits(),
        !a.payload.is_empty(),
        a.former.map(|f| (number(f.patient), f.confidentiality.bits())),
    )
}

pub(super) async fn open(path: &std::path::Path, limits: OutboxLimits) -> Arc<Outbox> {
    Outbox::open(path, Arc::new(ManualClock::at(NOW)), limits)
        .await
        .unwrap()
}

pub(super) fn change(resource: &Value) -> Change {
    let codec = Codec::new(PrivateCodes::default(), 1 << 20).of_unit("Z00101".parse().unwrap());
    match codec.document(resource.to_string().as_bytes()).unwrap() {
        Document::Resource(change) => *change,
        Document::Bundle(_) => panic!("a Bundle"),
    }
}

pub(super) fn patient(id: &str, number: Option<&str>) -> Value {
    let identifiers: Vec<Value> = number
        .map(|n| json!({"system": NHS_NUMBER_SYSTEM, "value": n}))
        .into_iter()
        .collect();
    json!({"resourceType": "Patient", "id": id, "identifier": identifiers})
}

pub(super) fn condition(id: &str, patient: &str, text: &str) -> Value {
    json!({"resourceType": "Condition", "id": id, "subject": {"reference": format!("Patient/{patient}")},
           "code": {"text": text}})
}

pub(super) fn labelled(mut resource: Value) -> Value {
    resource["meta"] = json!({"security": [{"code": "R"}]});
    resource
}

pub(super) fn stamped(mut resource: Value, at: &str) -> Value {
    resource["meta"] = json!({"lastUpdated": at});
    resource
}
