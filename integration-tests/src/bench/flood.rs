//! A source that publishes as fast as the daemon takes it, with batches made beforehand and no store.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use handfast_proto::{
    limits::MAX_BATCH_AMENDMENTS,
    v1::{
        BatchHeader, Op, PublishBatch, PublishHello, PublishRequest, PublishResponse,
        publish_request::Message, publish_response, sync_client::SyncClient,
    },
};
use prost::{Message as _, encoding::encode_varint};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use crate::harness::{Identity, Windows, connect, nhs_number};

/// Bytes of every payload.
pub(super) const PAYLOAD_BYTES: usize = 1024;
/// Distinct batches; with 64 records each, 65,536 records a source, amended again and again.
const TEMPLATES: u64 = 1024;
/// Batches sent and not acknowledged: 4 MiB.
const IN_FLIGHT_BATCHES: u64 = 64;
/// Batches that may wait for the transport.
const OUT_QUEUE_BATCHES: usize = 8;
const BATCH: u64 = MAX_BATCH_AMENDMENTS as u64;

/// Batch headers without their first seq, and one body for all.
pub(super) struct Templates {
    create: Vec<Bytes>,
    amend: Vec<Bytes>,
    body: Bytes,
}

impl Templates {
    pub(super) fn new() -> anyhow::Result<Arc<Self>> {
        let make = |op| {
            (0..TEMPLATES)
                .map(|t| template(t, op))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        Ok(Arc::new(Self {
            create: make(Op::Create)?,
            amend: make(Op::Amend)?,
            body: vec![b'x'; PAYLOAD_BYTES * MAX_BATCH_AMENDMENTS].into(),
        }))
    }

    /// The header of batch `n` of a stream, counted from 0.
    fn header(&self, n: u64) -> Bytes {
        let set = if n < TEMPLATES { &self.create } else { &self.amend };
        let place = usize::try_from(n % TEMPLATES).unwrap_or(0);
        let rest = set.get(place).cloned().unwrap_or_default();
        let mut out = BytesMut::with_capacity(rest.len() + 11);
        // Field 1, a varint: `first_seq`. The template was encoded without it.
        out.put_u8(0x08);
        encode_varint(n * BATCH + 1, &mut out);
        out.put(rest);
        out.freeze()
    }
}

fn template(t: u64, op: Op) -> anyhow::Result<Bytes> {
    let n = MAX_BATCH_AMENDMENTS;
    let mut header = BatchHeader {
        op: vec![op as u32; n],
        category: vec![6; n],
        confidentiality: vec![0; n],
        recorded_at: vec![1_700_000_000_000; n],
        payload_len: vec![u32::try_from(PAYLOAD_BYTES)?; n],
        author: vec![0; n],
        content_type: vec![0; n],
        authors: vec![String::new()],
        content_types: vec!["application/fhir+json".to_owned()],
        ..BatchHeader::default()
    };
    for i in 0..BATCH {
        let record = format!("Observation/b-{}", t * BATCH + i);
        header.record.push(record.into_bytes().into());
        header.patient.push(nhs_number((t + i) % 500)?.as_u64());
    }
    Ok(header.encode_to_vec().into())
}

/// A chain that the daemon compares and nobody computes: the seq itself.
pub(crate) fn chain(seq: u64) -> Bytes {
    Bytes::copy_from_slice(&u128::from(seq).to_be_bytes())
}

/// Publishes until it is aborted; `acked` counts what is durable.
pub(super) fn start(
    url: &str,
    identity: &Identity,
    templates: Arc<Templates>,
    acked: Arc<AtomicU64>,
) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(flood(url.to_owned(), identity.clone(), templates, acked))
}

async fn flood(
    url: String,
    identity: Identity,
    templates: Arc<Templates>,
    acked: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let (out, mut stream) = open(&url, &identity, OUT_QUEUE_BATCHES).await?;
    let mut sent = 0;
    loop {
        let done = acked.load(Ordering::Relaxed) / BATCH;
        tokio::select! {
            answer = stream.message() => {
                acked.store(ack(answer?)?, Ordering::Relaxed);
            }
            permit = out.reserve(), if sent - done < IN_FLIGHT_BATCHES => {
                let batch = PublishBatch {
                    header: templates.header(sent),
                    body: templates.body.clone(),
                    chain_before: chain(sent * BATCH),
                    chain_after: chain((sent + 1) * BATCH),
                };
                permit?.send(PublishRequest { message: Some(Message::Batch(batch)) });
                sent += 1;
            }
        }
    }
}

/// Opens a publish stream of a new store and waits for its welcome.
pub(super) async fn open(
    url: &str,
    identity: &Identity,
    queue: usize,
) -> anyhow::Result<(mpsc::Sender<PublishRequest>, Streaming<PublishResponse>)> {
    let hello = PublishHello {
        store_id: rand::random::<[u8; 16]>().to_vec().into(),
        agent_version: "bench".to_owned(),
        ..PublishHello::default()
    };
    let channel = connect(url, identity, Windows::default()).await?;
    let (out, stream, _) = open_with(channel, hello, queue).await?;
    Ok((out, stream))
}

/// A stream's two ends, and the last seq that the daemon has.
pub(crate) type Opened = (mpsc::Sender<PublishRequest>, Streaming<PublishResponse>, u64);

/// Opens a publish stream of the store that a hello names, which the daemon must accept.
pub(crate) async fn open_with(channel: Channel, hello: PublishHello, queue: usize) -> anyhow::Result<Opened> {
    let (out, requests) = mpsc::channel(queue);
    out.send(PublishRequest {
        message: Some(Message::Hello(hello)),
    })
    .await?;
    let mut stream = SyncClient::new(channel)
        .publish(ReceiverStream::new(requests))
        .await?
        .into_inner();
    match stream.message().await?.and_then(|m| m.message) {
        Some(publish_response::Message::Welcome(w)) if w.accepted => Ok((out, stream, w.head_seq)),
        other => bail!("instead of a welcome: {other:?}"),
    }
}

pub(super) fn ack(answer: Option<PublishResponse>) -> anyhow::Result<u64> {
    match answer.context("the daemon ended the stream")?.message {
        Some(publish_response::Message::Ack(ack)) => Ok(ack.seq),
        other => bail!("instead of an acknowledgement: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::{Batch, Form};

    use super::*;

    #[test]
    fn templates_are_sound_batches() {
        let templates = Templates::new().unwrap();
        for n in [0, 1, TEMPLATES, TEMPLATES + 3] {
            let batch = Batch::parse(templates.header(n), templates.body.clone(), Form::Published).unwrap();
            assert_eq!(batch.first_seq(), n * BATCH + 1);
            assert_eq!(batch.len(), MAX_BATCH_AMENDMENTS);
        }
    }
}
