//! Keeps an agent's two links up, with the agent's own backoff, and nothing on them but what keeps them alive.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use handfast_agent::link::{CONNECT_TIMEOUT, Retry, Windows};
use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        PublishHello, PublishRequest, SubscribeHello, SubscribeReceipt, SubscribeRequest, publish_request,
        publish_response, subscribe_request, subscribe_response, sync_client::SyncClient,
    },
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{
    counts::{Counting, Standing},
    link::Link,
};

/// As the agent's uplink and downlink have them.
const UPLINK: Windows = Windows {
    stream_bytes: 64 * 1024,
    connection_bytes: 128 * 1024,
};
const DOWNLINK: Windows = Windows {
    stream_bytes: 256 * 1024,
    connection_bytes: 512 * 1024,
};
/// How long an agent waits for a welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// An uplink that stood this long starts small again with its delays.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// Messages that wait for the transport.
const QUEUE: usize = 4;

/// Which of the two.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Up,
    Down,
}

/// What an agent remembers across connections.
struct Memory {
    store: [u8; 16],
    session: u64,
    durable: u64,
    tree: u64,
}

/// Keeps one link up for ever. The first try waits for a place among `first`: units did not all begin at once.
pub(super) async fn keep(link: Link, way: Way, counting: &Counting, first: &Semaphore) {
    let mut memory = Memory {
        store: rand::random(),
        session: 0,
        durable: 0,
        tree: 0,
    };
    let mut retry = Retry::new();
    let mut place = first.acquire().await.ok();
    loop {
        counting.attempts.fetch_add(1, Ordering::Relaxed);
        match timeout(CONNECT_TIMEOUT, link.connect(way.windows())).await {
            Ok(Ok(channel)) => {
                let begun = Instant::now();
                let standing = || {
                    place = None;
                    Standing::new(way.count(counting))
                };
                let stood = session(way, channel, &mut memory, standing).await;
                match stood {
                    Stood::Welcomed if matches!(way, Way::Down) || begun.elapsed() >= GOOD_SESSION => {
                        retry.reset();
                    }
                    Stood::Welcomed => {}
                    Stood::TurnedAway => count(&counting.turned_away),
                    Stood::Silent => count(&counting.timeouts),
                }
            }
            Ok(Err(_)) => count(&counting.refused),
            Err(_) => count(&counting.timeouts),
        }
        sleep(retry.next_delay()).await;
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

impl Way {
    fn windows(self) -> Windows {
        match self {
            Self::Up => UPLINK,
            Self::Down => DOWNLINK,
        }
    }

    fn count(self, counting: &Counting) -> &AtomicU64 {
        match self {
            Self::Up => &counting.publishing,
            Self::Down => &counting.subscribed,
        }
    }
}

enum Stood {
    Welcomed,
    TurnedAway,
    Silent,
}

async fn session<'a>(
    way: Way,
    channel: Channel,
    memory: &mut Memory,
    standing: impl FnOnce() -> Standing<'a>,
) -> Stood {
    let mut welcomed = false;
    let mut standing = Some(standing);
    let mut held = None;
    let mut welcome = || {
        welcomed = true;
        held = standing.take().map(|begin| begin());
    };
    // A stream that no one says anything on is silent only until its welcome.
    let outcome = match way {
        Way::Up => publish(channel, memory, &mut welcome).await,
        Way::Down => subscribe(channel, memory, &mut welcome).await,
    };
    drop(held);
    match outcome {
        _ if welcomed => Stood::Welcomed,
        Err(error) if error.is::<tokio::time::error::Elapsed>() => Stood::Silent,
        _ => Stood::TurnedAway,
    }
}

async fn publish(channel: Channel, memory: &Memory, welcome: &mut impl FnMut()) -> anyhow::Result<()> {
    let (out, requests) = mpsc::channel(QUEUE);
    let hello = PublishHello {
        store_id: memory.store.to_vec().into(),
        agent_version: "crowd".to_owned(),
        ..PublishHello::default()
    };
    out.send(PublishRequest {
        message: Some(publish_request::Message::Hello(hello)),
    })
    .await?;
    let opened = timeout(WELCOME_TIMEOUT, async {
        let mut stream = SyncClient::new(channel)
            .publish(ReceiverStream::new(requests))
            .await?
            .into_inner();
        let first = stream.message().await?.and_then(|first| first.message);
        anyhow::Ok((stream, first))
    });
    let (mut stream, first) = opened.await??;
    match first {
        Some(publish_response::Message::Welcome(said)) if said.accepted => welcome(),
        other => bail!("instead of a welcome: {other:?}"),
    }
    while stream.message().await?.is_some() {}
    Ok(())
}

async fn subscribe(channel: Channel, memory: &mut Memory, welcome: &mut impl FnMut()) -> anyhow::Result<()> {
    let (out, requests) = mpsc::channel(QUEUE);
    let hello = SubscribeHello {
        store_id: memory.store.to_vec().into(),
        session: memory.session,
        durable: memory.durable,
        credit_bytes: MAX_CREDIT_BYTES,
        agent_version: "crowd".to_owned(),
        tree_size: memory.tree,
    };
    out.send(request(subscribe_request::Message::Hello(hello)))
        .await?;
    let opened = timeout(WELCOME_TIMEOUT, async {
        let mut stream = SyncClient::new(channel)
            .subscribe(ReceiverStream::new(requests))
            .await?
            .into_inner();
        let first = stream.message().await?.context("the daemon ended the stream")?;
        anyhow::Ok((stream, first))
    });
    let (mut stream, first) = opened.await??;
    match first.message {
        Some(subscribe_response::Message::Welcome(said)) if said.accepted => {
            memory.session = said.session;
            welcome();
        }
        other => bail!("instead of a welcome: {other:?}"),
    }
    let mut number = first.number;
    loop {
        if number != BESIDE_THE_SESSION {
            memory.durable = number;
            let receipt = SubscribeReceipt {
                arrived: number,
                durable: number,
            };
            out.send(request(subscribe_request::Message::Receipt(receipt)))
                .await?;
        }
        let Some(next) = stream.message().await? else {
            return Ok(());
        };
        number = next.number;
        if let Some(subscribe_response::Message::TreeHead(head)) = next.message {
            memory.tree = head.size;
        }
    }
}

fn request(message: subscribe_request::Message) -> SubscribeRequest {
    SubscribeRequest {
        message: Some(message),
    }
}
