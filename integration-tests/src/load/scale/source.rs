//! A source whose payloads all have the same size: it publishes as fast as the daemon takes it, or so many a
//! second, in one stream without an end.
//!
//! Invariant: no two amendments are of one record, so that as many are current as were published.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use handfast_proto::{
    amendment::Category,
    ids::NhsNumber,
    limits::MAX_BATCH_AMENDMENTS,
    v1::{
        BatchHeader, Op, PublishBatch, PublishHello, PublishRequest, PublishResponse,
        publish_request::Message, publish_response,
    },
};
use prost::Message as _;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::watch::bar;
use crate::{
    bench::flood::{chain, open_with},
    harness::{Identity, Windows, connect},
};

/// Amendments sent and not acknowledged while it is published as fast as it goes.
const IN_FLIGHT_AMENDMENTS: u64 = 32 * BATCH;
/// Batches that may wait for the transport.
const QUEUE_BATCHES: usize = 8;
const BATCH: u64 = MAX_BATCH_AMENDMENTS as u64;
/// How often a steady flow looks what is due.
const TICK: Duration = Duration::from_millis(1);
/// The most bytes of a payload: a full batch of them fits into a message.
pub(super) const MAX_PAYLOAD_BYTES: u32 = 1_800;
/// The least: the time at which it was due, and one more.
pub(super) const MIN_PAYLOAD_BYTES: u32 = 9;
/// What follows the time. No zero: a payload of zeroes alone is what the daemon leaves of one that was erased, and
/// reaches nobody.
const FILLER: u8 = b'x';
/// Bytes of that time.
const TIME_BYTES: usize = 8;
/// How long the daemon may take to welcome it.
const OPENED_WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may become durable while there is something to wait for.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// What the times in payloads count from.
static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since then; never 0, which a payload without a time has.
pub(super) fn now_ns() -> u64 {
    u64::try_from(BASE.elapsed().as_nanos())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// Whose records, and how large.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// Round and round.
    pub(super) patients: Arc<[NhsNumber]>,
    pub(super) payload_bytes: u32,
}

/// Open until it is dropped.
pub(super) struct Source {
    content: Content,
    out: mpsc::Sender<PublishRequest>,
    stream: Streaming<PublishResponse>,
    sent: u64,
    acked: Arc<AtomicU64>,
}

impl Source {
    /// A new one: its stream begins at 1.
    pub(super) async fn open(url: &str, identity: &Identity, content: Content) -> anyhow::Result<Self> {
        let hello = PublishHello {
            store_id: rand::random::<[u8; 16]>().to_vec().into(),
            agent_version: "scale".to_owned(),
            ..PublishHello::default()
        };
        let opened = tokio::time::timeout(OPENED_WITHIN, async {
            let channel = connect(url, identity, Windows::default()).await?;
            open_with(channel, hello, QUEUE_BATCHES).await
        });
        let opened = opened.await;
        let (out, stream, _) = opened.with_context(|| format!("no welcome within {OPENED_WITHIN:?}"))??;
        Ok(Self {
            content,
            out,
            stream,
            sent: 0,
            acked: Arc::default(),
        })
    }

    /// How many are durable, now and later.
    pub(super) fn acked(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.acked)
    }

    /// Publishes so many more in whole batches, as fast as the daemon takes them; how long that took until all were
    /// durable.
    pub(super) async fn fill(&mut self, records: u64, what: &'static str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let (first, last) = (self.sent, self.sent + whole(records));
        let progress = bar(what, usize::try_from(whole(records))?);
        while self.acked.load(Ordering::Relaxed) < last {
            let under_way = self.sent - self.acked.load(Ordering::Relaxed);
            tokio::select! {
                answer = next(&mut self.stream) => {
                    let acked = ack(answer?)?;
                    self.acked.store(acked, Ordering::Relaxed);
                    progress.set_position(acked.saturating_sub(first));
                }
                permit = self.out.reserve(), if self.sent < last && under_way < IN_FLIGHT_AMENDMENTS => {
                    permit?.send(self.content.batch(self.sent + 1, MAX_BATCH_AMENDMENTS, |_| 0)?);
                    self.sent += BATCH;
                }
            }
        }
        progress.finish_and_clear();
        Ok(begun.elapsed())
    }

    /// Publishes so many a second until it is told to stop; every payload begins with the time at which it was due,
    /// whether it was sent then or later. How many were published in all, once all are durable.
    pub(super) async fn flow(mut self, per_second: f64, stop: CancellationToken) -> anyhow::Result<u64> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (begun, first) = (now_ns(), self.sent);
        let due_at = |n: u64| begun + ((n - first) as f64 * 1e9 / per_second) as u64;
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.ended().await,
                answer = self.stream.message() => self.acked.store(ack(answer?)?, Ordering::Relaxed),
                _ = ticks.tick() => {}
            }
            let now = now_ns();
            loop {
                let due = (0..BATCH).take_while(|n| due_at(self.sent + n) <= now).count();
                let Ok(permit) = self.out.try_reserve() else { break };
                if due == 0 {
                    break;
                }
                permit.send(self.content.batch(self.sent + 1, due, due_at)?);
                self.sent += due as u64;
            }
        }
    }

    async fn ended(mut self) -> anyhow::Result<u64> {
        while self.acked.load(Ordering::Relaxed) < self.sent {
            let answer = next(&mut self.stream).await?;
            self.acked.store(ack(answer)?, Ordering::Relaxed);
        }
        Ok(self.sent)
    }
}

/// Records in whole batches.
pub(super) fn whole(records: u64) -> u64 {
    records.div_ceil(BATCH) * BATCH
}

impl Content {
    /// So many amendments from a seq on; `due_at` is asked when the one behind so many others is due.
    fn batch(&self, first_seq: u64, n: usize, due_at: impl Fn(u64) -> u64) -> anyhow::Result<PublishRequest> {
        let size = usize::try_from(self.payload_bytes)?;
        let mut body = BytesMut::with_capacity(size * n);
        for before in (first_seq - 1..).take(n) {
            body.put_u64(due_at(before));
            body.put_bytes(FILLER, size.saturating_sub(TIME_BYTES));
        }
        let batch = PublishBatch {
            header: self.header(first_seq, n)?,
            body: body.freeze(),
            chain_before: chain(first_seq - 1),
            chain_after: chain(first_seq - 1 + n as u64),
        };
        Ok(PublishRequest {
            message: Some(Message::Batch(batch)),
        })
    }

    fn header(&self, first_seq: u64, n: usize) -> anyhow::Result<Bytes> {
        let mut header = BatchHeader {
            first_seq,
            op: vec![Op::Create as u32; n],
            category: vec![Category::Observations as u32; n],
            confidentiality: vec![0; n],
            recorded_at: vec![1_700_000_000_000; n],
            payload_len: vec![self.payload_bytes; n],
            author: vec![0; n],
            content_type: vec![0; n],
            authors: vec![String::new()],
            content_types: vec!["application/fhir+json".to_owned()],
            ..BatchHeader::default()
        };
        for seq in (first_seq..).take(n) {
            header
                .record
                .push(format!("Observation/t-{seq}").into_bytes().into());
            let place = usize::try_from(seq % self.patients.len().max(1) as u64)?;
            let patient = self.patients.get(place).context("a synthetic NHS number")?;
            header.patient.push(patient.as_u64());
        }
        Ok(header.encode_to_vec().into())
    }
}

/// What the daemon says next, where it owes something. Cancellation-safe.
async fn next(stream: &mut Streaming<PublishResponse>) -> anyhow::Result<Option<PublishResponse>> {
    let answer = tokio::time::timeout(STALLED_AFTER, stream.message()).await;
    Ok(answer.with_context(|| format!("nothing became durable within {STALLED_AFTER:?}"))??)
}

fn ack(answer: Option<PublishResponse>) -> anyhow::Result<u64> {
    match answer.context("the daemon ended the stream")?.message {
        Some(publish_response::Message::Ack(ack)) => Ok(ack.seq),
        other => bail!("instead of an acknowledgement: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use handfast_proto::amendment::{Batch, Form};

    use super::*;
    use crate::harness::nhs_numbers;

    #[test]
    fn no_payload_is_all_zeroes_also_where_it_has_no_time() {
        let content = Content {
            patients: nhs_numbers().take(3).collect(),
            payload_bytes: MIN_PAYLOAD_BYTES,
        };
        let Some(Message::Batch(sent)) = content.batch(1, 5, |_| 0).unwrap().message else {
            panic!("no batch");
        };
        let payloads = sent.body.chunks(usize::try_from(MIN_PAYLOAD_BYTES).unwrap());
        assert_eq!(
            payloads
                .map(|p| p.iter().any(|byte| *byte != 0))
                .collect::<Vec<_>>(),
            [true; 5]
        );
    }

    #[test]
    fn batches_are_sound_have_no_record_in_common_and_say_when_each_was_due() {
        let content = Content {
            patients: nhs_numbers().take(100).collect(),
            payload_bytes: 32,
        };
        let mut seen = BTreeSet::new();
        for (first, n) in [(1, 64), (65, 3), (68, 1)] {
            let request = content.batch(first, n, |before| 7 + before).unwrap();
            let Some(Message::Batch(sent)) = request.message else {
                panic!("no batch");
            };
            let due: Vec<u64> = sent
                .body
                .chunks(32)
                .map(|p| u64::from_be_bytes(p[..8].try_into().unwrap()))
                .collect();
            assert_eq!(due, (first - 1 + 7..).take(n).collect::<Vec<_>>());
            let batch = Batch::parse(sent.header, sent.body, Form::Published).unwrap();
            assert_eq!(
                (batch.first_seq(), batch.last_seq()),
                (first, first - 1 + n as u64)
            );
            seen.extend(batch.entries().map(|entry| entry.record.as_str().to_owned()));
        }
        assert_eq!((seen.len(), whole(65)), (68, 128));
    }
}
