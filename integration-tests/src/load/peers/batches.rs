//! Batches of `handfast.v1.Sync`, their headers made beforehand, so that what a source does beside sending is little
//! for every peer.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use handfast_proto::{
    limits::MAX_BATCH_AMENDMENTS,
    v1::{BatchHeader, Op, PublishBatch},
};
use prost::{Message as _, encoding::encode_varint};

use super::payloads::{PAYLOAD_BYTES, Payloads};
use crate::{bench::flood::chain, load::data::Patients};

/// Amendments of a full batch.
pub(super) const BATCH: u64 = MAX_BATCH_AMENDMENTS as u64;
/// Full batches with records of their own; the same records are amended by those that follow.
const TEMPLATES: u64 = 1_024;
const RECORDS: u64 = TEMPLATES * BATCH;
/// Patients whom the amendments are about.
pub(super) const PATIENTS: u32 = 500;
/// The key of a batch header's first field, a varint: `first_seq`.
pub(super) const FIRST_SEQ_KEY: u8 = 0x08;
/// `Category::Observations` and the like: any that an agreement carries.
const CATEGORY: u32 = 6;
const RECORDED_AT: i64 = 1_700_000_000_000;
const CONTENT_TYPE: &str = "application/fhir+json";

/// Headers without their first seq, and the payloads.
#[derive(Debug)]
pub(super) struct Batches {
    create: Vec<Bytes>,
    amend: Vec<Bytes>,
    payloads: Arc<Payloads>,
}

impl Batches {
    pub(super) fn new(payloads: Arc<Payloads>) -> Arc<Self> {
        let templates = |op| {
            (0..TEMPLATES)
                .map(|t| header(op, t * BATCH, BATCH).encode_to_vec().into())
                .collect()
        };
        Arc::new(Self {
            create: templates(Op::Create),
            amend: templates(Op::Amend),
            payloads,
        })
    }

    /// A source's amendments from `first` on: so many, or fewer where a full batch ends; and how many these are.
    pub(super) fn batch(&self, source: usize, first: u64, most: u64) -> (PublishBatch, u64) {
        let before = first.saturating_sub(1);
        let count = most.min(BATCH - before % BATCH);
        let batch = PublishBatch {
            header: self.header(before, count),
            body: self.payloads.stretch(source, first, count),
            chain_before: chain(before),
            chain_after: chain(before + count),
        };
        (batch, count)
    }

    fn header(&self, before: u64, count: u64) -> Bytes {
        let (op, templates) = if before < RECORDS {
            (Op::Create, &self.create)
        } else {
            (Op::Amend, &self.amend)
        };
        let made = templates.get((before / BATCH % TEMPLATES) as usize);
        let rest = match made {
            Some(full) if count == BATCH => full.clone(),
            _ => header(op, before % RECORDS, count).encode_to_vec().into(),
        };
        let mut out = BytesMut::with_capacity(rest.len() + 11);
        out.put_u8(FIRST_SEQ_KEY);
        encode_varint(before + 1, &mut out);
        out.put(rest);
        out.freeze()
    }
}

/// Of records from `first` on.
fn header(op: Op, first: u64, count: u64) -> BatchHeader {
    let n = count as usize;
    let mut header = BatchHeader {
        op: vec![op as u32; n],
        category: vec![CATEGORY; n],
        confidentiality: vec![0; n],
        recorded_at: vec![RECORDED_AT; n],
        payload_len: vec![PAYLOAD_BYTES as u32; n],
        author: vec![0; n],
        content_type: vec![0; n],
        authors: vec![String::new()],
        content_types: vec![CONTENT_TYPE.to_owned()],
        ..BatchHeader::default()
    };
    for record in first..first + count {
        let patient = (record % u64::from(PATIENTS)) as u32;
        header
            .record
            .push(format!("Observation/p-{record}").into_bytes().into());
        header.patient.push(Patients::nhs(patient).as_u64());
    }
    header
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::{Batch, Form};

    use super::*;

    #[test]
    fn batches_are_sound_and_follow_on_whatever_their_size() {
        let payloads = Payloads::new();
        let batches = Batches::new(Arc::clone(&payloads));
        for start in [0, RECORDS - 2 * BATCH] {
            let mut before = start;
            for most in [BATCH, 1, 40, BATCH, 300, 7] {
                let (batch, count) = batches.batch(5, before + 1, most);
                assert!(count > 0 && count <= most);
                let parsed = Batch::parse(batch.header, batch.body.clone(), Form::Published).unwrap();
                assert_eq!((parsed.first_seq(), parsed.len() as u64), (before + 1, count));
                for (seq, part) in (before + 1..).zip(batch.body.chunks_exact(PAYLOAD_BYTES)) {
                    assert!(payloads.is(5, seq, part));
                }
                before += count;
            }
        }
    }
}
