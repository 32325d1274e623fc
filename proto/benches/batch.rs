//! What one batch of 64 amendments of 1 KiB costs to make, to read and check, and to cut. `cargo micro batch`.
//!
//! Nothing here touches a disk or a socket. Payloads are shared bytes: reading a batch and cutting out nothing copy
//! none of them, and a figure that grows with the payload would say that this no longer holds.

#![expect(clippy::unwrap_used, reason = "a benchmark panics where it fails")]

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use handfast_proto::{
    amendment::{
        Amendment, Batch, BatchBuilder, Category, Confidentiality, Cut, Encoded, Form, Op, Subject, Text,
    },
    ids::{NhsNumber, RecordId},
    limits::MAX_BATCH_AMENDMENTS,
};

/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 1024;

/// Every so many amendments one does not go.
const ONE_IN: usize = 10;

fn main() {
    divan::main();
}

fn amendments() -> Vec<Amendment> {
    let patients = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    let one = |(index, patient): (usize, NhsNumber)| Amendment {
        op: Op::Create,
        record: RecordId::new("Observation", &format!("reading-{index:08}")).unwrap(),
        subject: Some(Subject {
            patient,
            category: Category::Observations,
            confidentiality: Confidentiality::NORMAL,
        }),
        former: None,
        author: Text::new(format!("Dr {}", index % 4)).unwrap(),
        recorded_at: 1_800_000_000_000,
        content_type: Text::new("application/fhir+json").unwrap(),
        payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
    };
    patients.take(MAX_BATCH_AMENDMENTS).enumerate().map(one).collect()
}

fn encoded(amendments: &[Amendment]) -> Encoded {
    let mut builder = BatchBuilder::new(1);
    amendments.iter().for_each(|a| builder.push(a));
    builder.finish()
}

fn read(made: Encoded) -> Batch {
    Batch::parse(made.header, made.body, Form::Published).unwrap()
}

/// divan counts amendments.
fn a_batch<'a, 'b>(bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(MAX_BATCH_AMENDMENTS))
}

/// At the source's agent: the header's columns, and every payload copied into one body.
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let amendments = amendments();
    a_batch(bencher).bench(|| encoded(&amendments));
}

/// At the daemon, and at the recipient: the header is decoded and every value of it checked.
#[divan::bench]
fn check(bencher: Bencher<'_, '_>) {
    let made = encoded(&amendments());
    a_batch(bencher).with_inputs(|| made.clone()).bench_values(read);
}

/// Everything goes: the batch as it came.
#[divan::bench]
fn cut_nothing(bencher: Bencher<'_, '_>) {
    let batch = read(encoded(&amendments()));
    let cuts = [Cut::Keep; MAX_BATCH_AMENDMENTS];
    a_batch(bencher).bench(|| batch.cut(&cuts));
}

/// One in ten does not go: a new header, and a body without its payloads.
#[divan::bench]
fn cut_one_in_ten(bencher: Bencher<'_, '_>) {
    let batch = read(encoded(&amendments()));
    let cuts: [Cut; MAX_BATCH_AMENDMENTS] =
        std::array::from_fn(|i| if i % ONE_IN == 0 { Cut::Drop } else { Cut::Keep });
    a_batch(bencher).bench(|| batch.cut(&cuts));
}
