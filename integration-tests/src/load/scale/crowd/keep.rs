//! Keeps an agent's connection and its two streams up, with the agent's own backoff, and nothing on them but what keeps
//! them alive.
//!
//! Invariants: an agent has one connection at most; the end of it is the end of both streams, and a stream that the daemon
//! does not open is asked for again on the same connection.

use std::{
    error::Error as _,
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
use tonic::{Status, transport::Channel};

use super::{
    counts::{Counting, Standing},
    link::Link,
};

/// As the agent's connection has them.
const WINDOWS: Windows = Windows {
    stream_bytes: 256 * 1024,
    connection_bytes: 512 * 1024,
};
/// How long an agent waits for a welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that stood this long starts small again with its delays.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// Messages that wait for the transport.
const QUEUE: usize = 4;

/// What an agent remembers across connections.
struct Memory {
    store: [u8; 16],
    session: u64,
    durable: u64,
    tree: u64,
}

/// Keeps an agent connected for ever. The first try waits for a place among `first`: units did not all begin at once.
pub(super) async fn keep(link: Link, counting: &Counting, first: &Semaphore) {
    let store = rand::random();
    let mut memory = Memory {
        store,
        session: 0,
        durable: 0,
        tree: 0,
    };
    let mut retry = Retry::new();
    let mut place = first.acquire().await.ok();
    loop {
        count(&counting.attempts);
        match timeout(CONNECT_TIMEOUT, link.connect(WINDOWS)).await {
            Ok(Ok(channel)) => {
                let subscribed = || {
                    place = None;
                    retry.reset();
                };
                tokio::select! {
                    () = keep_publishing(&channel, store, counting) => {}
                    () = keep_subscribed(&channel, &mut memory, counting, subscribed) => {}
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

/// How a stream ended.
enum Ended {
    /// The daemon did not open it, or ended it, and the connection stands.
    TurnedAway,
    /// No welcome came.
    Silent,
    /// So did the connection.
    WithItsConnection,
}

impl Ended {
    /// What the daemon says comes with no cause; what the transport finds has one.
    fn of(outcome: &anyhow::Result<()>) -> Self {
        let Err(error) = outcome else {
            return Self::TurnedAway;
        };
        match error.downcast_ref::<Status>() {
            _ if error.is::<tokio::time::error::Elapsed>() => Self::Silent,
            Some(said) if said.source().is_some() => Self::WithItsConnection,
            _ => Self::TurnedAway,
        }
    }

    /// Whether the stream may be asked for again on the same connection; counts where it was in vain.
    fn may_try_again(&self, welcomed: bool, counting: &Counting) -> bool {
        match self {
            Self::TurnedAway if !welcomed => count(&counting.turned_away),
            Self::Silent => count(&counting.timeouts),
            _ => {}
        }
        matches!(self, Self::TurnedAway)
    }
}

/// Until the connection is over.
async fn keep_publishing(channel: &Channel, store: [u8; 16], counting: &Counting) {
    let mut retry = Retry::new();
    loop {
        let (begun, mut standing) = (Instant::now(), None);
        let outcome = publish(channel.clone(), store, || {
            standing = Some(Standing::new(&counting.publishing));
        })
        .await;
        if !Ended::of(&outcome).may_try_again(standing.take().is_some(), counting) {
            return;
        }
        if begun.elapsed() >= GOOD_SESSION {
            retry.reset();
        }
        sleep(retry.next_delay()).await;
    }
}

/// Until the connection is over: the end of a subscription that was open is its connection's too.
async fn keep_subscribed(
    channel: &Channel,
    memory: &mut Memory,
    counting: &Counting,
    mut subscribed: impl FnMut(),
) {
    let mut retry = Retry::new();
    loop {
        let mut standing = None;
        let outcome = subscribe(channel.clone(), memory, || {
            standing = Some(Standing::new(&counting.subscribed));
            subscribed();
        })
        .await;
        let welcomed = standing.take().is_some();
        if !Ended::of(&outcome).may_try_again(welcomed, counting) || welcomed {
            return;
        }
        sleep(retry.next_delay()).await;
    }
}

async fn publish(channel: Channel, store: [u8; 16], welcome: impl FnOnce()) -> anyhow::Result<()> {
    let (out, requests) = mpsc::channel(QUEUE);
    let hello = PublishHello {
        store_id: store.to_vec().into(),
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

async fn subscribe(channel: Channel, memory: &mut Memory, welcome: impl FnOnce()) -> anyhow::Result<()> {
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
