//! A source that speaks `Sync.Publish` itself: it numbers, batches, pipelines and resends as an agent does,
//! with its outbox in memory.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, bail};
use handfast_proto::{
    amendment::{Amendment, BatchBuilder},
    chain::Chain,
    ids::StoreId,
    v1::{
        PublishBatch, PublishHello, PublishRequest, PublishResponse, publish_request::Message,
        publish_response, sync_client::SyncClient,
    },
};
use tokio::{sync::mpsc, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{identity::Identity, shared::SharedConnection, wait::wait_until};

/// Lists of amendments that may wait to be numbered.
const OFFERS: usize = 4;
/// Batches that may wait for the transport.
const OUT_QUEUE_BATCHES: usize = 16;
/// What may be sent and not acknowledged.
const MAX_UNACKNOWLEDGED_BYTES: usize = 4 * 1024 * 1024;
/// How long after a connection's end the next is tried.
const RECONNECT_AFTER: Duration = Duration::from_millis(30);

/// A source in a task of its own, which reconnects until it is dropped.
#[derive(Debug)]
pub struct Publisher {
    offers: mpsc::Sender<Vec<Amendment>>,
    acked: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Connects, and again whenever the connection ends.
    pub fn start(url: &str, identity: &Identity) -> Self {
        Self::over(SharedConnection::new(url, identity))
    }

    /// Over a connection that others may share.
    pub fn over(shared: SharedConnection) -> Self {
        let (offers, offered) = mpsc::channel(OFFERS);
        let (acks, acked) = watch::channel(0);
        let id = StoreId::from_random(rand::random());
        let outbox = Outbox {
            store: id,
            next_seq: 1,
            chain: Chain::start(id),
            acked_chain: Vec::new(),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            acks,
        };
        let task = tokio::spawn(run(shared, outbox, offered));
        Self { offers, acked, task }
    }

    /// Hands over amendments; waits while too much is unacknowledged.
    pub async fn offer(&self, amendments: Vec<Amendment>) -> anyhow::Result<()> {
        self.offers
            .send(amendments)
            .await
            .context("the publishing task has ended")
    }

    /// The last seq that the daemon has acknowledged.
    pub fn acked(&self) -> u64 {
        *self.acked.borrow()
    }

    /// Waits until a seq is acknowledged.
    pub async fn wait_acked(&self, seq: u64, timeout: Duration) -> anyhow::Result<()> {
        wait_until(&format!("seq {seq} is acknowledged"), timeout, || {
            let acked = self.acked();
            if acked >= seq {
                Ok(())
            } else {
                Err(format!("acknowledged up to {acked}"))
            }
        })
        .await
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sent {
    last_seq: u64,
    batch: PublishBatch,
}

struct Outbox {
    store: StoreId,
    next_seq: u64,
    chain: Chain,
    acked_chain: Vec<u8>,
    unacked: VecDeque<Sent>,
    unacked_bytes: usize,
    acks: watch::Sender<u64>,
}

impl Outbox {
    /// Numbers amendments and lays them into batches.
    fn take(&mut self, amendments: &[Amendment], to_send: &mut VecDeque<PublishBatch>) {
        let mut rest = amendments;
        while !rest.is_empty() {
            let mut builder = BatchBuilder::new(self.next_seq);
            let before = self.chain;
            while let Some((first, tail)) = rest.split_first() {
                if !builder.is_empty() && !builder.fits(first) {
                    break;
                }
                self.chain = self.chain.extend(self.next_seq, first);
                builder.push(first);
                self.next_seq += 1;
                rest = tail;
            }
            let encoded = builder.finish();
            self.unacked_bytes += encoded.body.len();
            let batch = PublishBatch {
                header: encoded.header,
                body: encoded.body,
                chain_before: before.as_bytes().to_vec().into(),
                chain_after: self.chain.as_bytes().to_vec().into(),
            };
            to_send.push_back(batch.clone());
            self.unacked.push_back(Sent {
                last_seq: self.next_seq - 1,
                batch,
            });
        }
    }

    fn acknowledge(&mut self, seq: u64) {
        while let Some(front) = self.unacked.front() {
            if front.last_seq > seq {
                break;
            }
            self.unacked_bytes -= front.batch.body.len();
            self.acked_chain = front.batch.chain_after.to_vec();
            self.unacked.pop_front();
        }
        self.acks.send_if_modified(|a| {
            let newer = seq > *a;
            *a = seq.max(*a);
            newer
        });
    }

    fn hello(&self) -> PublishHello {
        PublishHello {
            store_id: self.store.as_bytes().to_vec().into(),
            acked_seq: *self.acks.borrow(),
            acked_chain: self.acked_chain.clone().into(),
            last_seq: self.next_seq - 1,
            agent_version: "test".to_owned(),
        }
    }
}

async fn run(shared: SharedConnection, mut outbox: Outbox, mut offers: mpsc::Receiver<Vec<Amendment>>) {
    while connection(&shared, &mut outbox, &mut offers).await.is_err() {
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Ends with `Ok` when nothing more can be offered and all is acknowledged.
async fn connection(
    shared: &SharedConnection,
    outbox: &mut Outbox,
    offers: &mut mpsc::Receiver<Vec<Amendment>>,
) -> anyhow::Result<()> {
    let held = shared.hold().await?;
    let (out, requests) = mpsc::channel(OUT_QUEUE_BATCHES);
    out.send(request(Message::Hello(outbox.hello()))).await?;
    let mut stream = SyncClient::new(held.channel())
        .publish(ReceiverStream::new(requests))
        .await?
        .into_inner();
    welcome(&mut stream, outbox).await?;
    let mut to_send: VecDeque<PublishBatch> = outbox.unacked.iter().map(|s| s.batch.clone()).collect();
    loop {
        let room = outbox.unacked_bytes < MAX_UNACKNOWLEDGED_BYTES && to_send.len() < OUT_QUEUE_BATCHES;
        tokio::select! {
            answer = stream.message() => match answer?.context("the daemon ended the stream")?.message {
                Some(publish_response::Message::Ack(ack)) => outbox.acknowledge(ack.seq),
                other => bail!("instead of an acknowledgement: {other:?}"),
            },
            permit = out.reserve(), if !to_send.is_empty() => {
                let permit = permit?;
                if let Some(batch) = to_send.pop_front() {
                    permit.send(request(Message::Batch(batch)));
                }
            }
            offer = offers.recv(), if room => match offer {
                Some(amendments) => outbox.take(&amendments, &mut to_send),
                None => return Ok(()),
            },
        }
    }
}

async fn welcome(stream: &mut Streaming<PublishResponse>, outbox: &mut Outbox) -> anyhow::Result<()> {
    let first = stream
        .message()
        .await?
        .context("the stream ended before the welcome")?;
    match first.message {
        Some(publish_response::Message::Welcome(w)) if w.accepted => {
            outbox.acknowledge(w.head_seq);
            Ok(())
        }
        other => bail!("instead of a welcome: {other:?}"),
    }
}

fn request(message: Message) -> PublishRequest {
    PublishRequest {
        message: Some(message),
    }
}
