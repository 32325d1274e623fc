//! A source of so many current records, each with a payload of a few bytes.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use handfast_proto::{
    amendment::Category,
    ids::NhsNumber,
    limits::MAX_BATCH_AMENDMENTS,
    v1::{BatchHeader, Op, PublishBatch, PublishRequest, publish_request::Message},
};
use prost::Message as _;

use super::super::{
    flood::{ack, chain, open},
    load::progress,
};
use crate::harness::{Identity, nhs_numbers};

/// Bytes of every payload.
pub(super) const PAYLOAD_BYTES: usize = 64;
/// Patients of the source; a million records are a hundred of each.
const PATIENTS: usize = 10_000;
/// Batches sent and not acknowledged.
const IN_FLIGHT_BATCHES: u64 = 64;
/// Batches that may wait for the transport.
const OUT_QUEUE_BATCHES: usize = 8;
const BATCH: u64 = MAX_BATCH_AMENDMENTS as u64;

/// Publishes so many records, in full batches, and returns how long that took until all were durable.
pub(super) async fn fill(url: &str, identity: &Identity, batches: u64) -> anyhow::Result<Duration> {
    let numbers: Vec<NhsNumber> = nhs_numbers().take(PATIENTS).collect();
    let body = Bytes::from(vec![b'x'; PAYLOAD_BYTES * MAX_BATCH_AMENDMENTS]);
    let (out, mut stream) = open(url, identity, OUT_QUEUE_BATCHES).await?;
    let progress = progress("records published", usize::try_from(batches * BATCH)?);
    let begun = Instant::now();
    let (mut sent, mut acked) = (0, 0);
    while acked < batches {
        tokio::select! {
            answer = stream.message() => {
                acked = ack(answer?)? / BATCH;
                progress.set_position(acked * BATCH);
            }
            permit = out.reserve(), if sent < batches && sent - acked < IN_FLIGHT_BATCHES => {
                let batch = PublishBatch {
                    header: header(sent, &numbers)?,
                    body: body.clone(),
                    chain_before: chain(sent * BATCH),
                    chain_after: chain((sent + 1) * BATCH),
                };
                permit?.send(PublishRequest { message: Some(Message::Batch(batch)) });
                sent += 1;
            }
        }
    }
    progress.finish_and_clear();
    Ok(begun.elapsed())
}

/// The header of batch `n`, counted from 0: records that no other batch has.
fn header(n: u64, numbers: &[NhsNumber]) -> anyhow::Result<Bytes> {
    let all = MAX_BATCH_AMENDMENTS;
    let mut header = BatchHeader {
        first_seq: n * BATCH + 1,
        op: vec![Op::Create as u32; all],
        category: vec![Category::Observations as u32; all],
        confidentiality: vec![0; all],
        recorded_at: vec![1_700_000_000_000; all],
        payload_len: vec![u32::try_from(PAYLOAD_BYTES)?; all],
        author: vec![0; all],
        content_type: vec![0; all],
        authors: vec![String::new()],
        content_types: vec!["application/fhir+json".to_owned()],
        ..BatchHeader::default()
    };
    for record in n * BATCH..(n + 1) * BATCH {
        header
            .record
            .push(format!("Observation/t-{record}").into_bytes().into());
        let place = usize::try_from(record % numbers.len().max(1) as u64)?;
        header
            .patient
            .push(numbers.get(place).context("a synthetic NHS number")?.as_u64());
    }
    Ok(header.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::{Batch, Form};

    use super::*;

    #[test]
    fn batches_are_sound_and_have_no_record_in_common() {
        let numbers: Vec<NhsNumber> = nhs_numbers().take(PATIENTS).collect();
        let body = Bytes::from(vec![b'x'; PAYLOAD_BYTES * MAX_BATCH_AMENDMENTS]);
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..4 {
            let header = header(n, &numbers).unwrap();
            let batch = Batch::parse(header, body.clone(), Form::Published).unwrap();
            assert_eq!(batch.first_seq(), n * BATCH + 1);
            seen.extend(batch.entries().map(|entry| entry.record.as_str().to_owned()));
        }
        assert_eq!(seen.len(), 4 * MAX_BATCH_AMENDMENTS);
    }
}
