//! A recipient that counts and keeps no store. Its receipts say arrived and durable at once; those that the
//! transport has not taken yet are coalesced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        Deliver, SubscribeHello, SubscribeReceipt, SubscribeRequest, SubscribeResponse,
        subscribe_request::Message, subscribe_response, sync_client::SyncClient,
    },
};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tonic::{Streaming, transport::Channel};

use super::flood::PAYLOAD_BYTES;
use crate::harness::{Identity, Windows, connect};

/// What a sink counts.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// Amendments delivered.
    pub(super) delivered: Arc<AtomicU64>,
    /// Where payloads begin with their intended time (microseconds since `base`, big endian): how much
    /// later they arrived, in microseconds.
    pub(super) latency: Option<(Instant, Arc<Mutex<Histogram<u64>>>)>,
}

/// Subscribes until it is aborted.
pub(super) fn start(url: &str, identity: &Identity, counted: Counted) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(sink(url.to_owned(), identity.clone(), counted))
}

async fn sink(url: String, identity: Identity, counted: Counted) -> anyhow::Result<()> {
    let (arrived, mut stream) = subscribe(&url, &identity, tokio_stream::empty()).await?;
    loop {
        let message = stream.message().await?.context("the daemon ended the stream")?;
        if let Some(subscribe_response::Message::Deliver(deliver)) = &message.message {
            count(deliver, &counted);
        }
        if message.number != BESIDE_THE_SESSION {
            arrived.send_replace(received(message.number));
        }
    }
}

/// Opens a subscription of a new store. What is told to the sender goes out as a receipt, and `more` beside it.
pub(super) async fn subscribe(
    url: &str,
    identity: &Identity,
    more: impl Stream<Item = SubscribeRequest> + Send + 'static,
) -> anyhow::Result<(watch::Sender<SubscribeReceipt>, Streaming<SubscribeResponse>)> {
    let hello = SubscribeHello {
        store_id: rand::random::<[u8; 16]>().to_vec().into(),
        session: 0,
        durable: 0,
        credit_bytes: MAX_CREDIT_BYTES,
        agent_version: "bench".to_owned(),
        tree_size: 0,
    };
    let channel = connect(url, identity, Windows::default()).await?;
    subscribe_as(channel, hello, more).await
}

/// The same in the name of the store that a hello names.
pub(crate) async fn subscribe_as(
    channel: Channel,
    hello: SubscribeHello,
    more: impl Stream<Item = SubscribeRequest> + Send + 'static,
) -> anyhow::Result<(watch::Sender<SubscribeReceipt>, Streaming<SubscribeResponse>)> {
    let (arrived, receipts) = watch::channel(SubscribeReceipt::default());
    let receipts = WatchStream::from_changes(receipts).map(|receipt| request(Message::Receipt(receipt)));
    let requests = tokio_stream::once(request(Message::Hello(hello))).chain(receipts.merge(more));
    let stream = SyncClient::new(channel).subscribe(requests).await?.into_inner();
    Ok((arrived, stream))
}

/// Arrived, and durable at once.
pub(super) fn received(number: u64) -> SubscribeReceipt {
    SubscribeReceipt {
        arrived: number,
        durable: number,
    }
}

fn count(deliver: &Deliver, counted: &Counted) {
    let amendments = deliver.body.len() / PAYLOAD_BYTES;
    counted.delivered.fetch_add(amendments as u64, Ordering::Relaxed);
    let Some((base, histogram)) = &counted.latency else {
        return;
    };
    let now = u64::try_from(base.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut histogram = histogram.lock();
    for payload in deliver.body.chunks_exact(PAYLOAD_BYTES) {
        if let Some(intended) = payload.first_chunk::<8>() {
            histogram.saturating_record(now.saturating_sub(u64::from_be_bytes(*intended)).max(1));
        }
    }
}

pub(crate) fn request(message: Message) -> SubscribeRequest {
    SubscribeRequest {
        message: Some(message),
    }
}
