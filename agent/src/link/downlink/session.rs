//! One subscription: a reader that says at once what has arrived, an applier that commits
//! whatever has come while the last commit ran, and a reporter.

use std::time::Duration;

use futures::TryFutureExt as _;
use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES, MAX_SYNC_MESSAGE_BYTES},
    v1::{SubscribeHello, SubscribeResponse, sync_client::SyncClient},
};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::{
    heads,
    outbound::Outbound,
    queue::{Emptying, Filling, queue},
    report::report,
    run::DownlinkContext,
    translate::{Arrival, ProtocolError, Translator},
};
use crate::{
    link::{Connection, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, Retry},
    retry::{MAX_DELAY_ON_A_FULL_DISK, START_DELAY},
    status::LinkState,
    store::inbox::{Applied, Group, InboxError, Incoming, Message},
};

/// How long the daemon may take to say welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is noted that the stream stands.
const HEARD_EVERY: Duration = Duration::from_secs(10);

/// A stream that stands now was answered by the daemon no longer ago than this.
const HEARD_WITHIN: Duration = KEEPALIVE_INTERVAL.saturating_add(KEEPALIVE_TIMEOUT);

/// Why a subscription has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The daemon closed the stream.
    #[error("the daemon closed the stream")]
    Closed,
    /// The daemon does not take this store; a new store id was taken.
    #[error("the daemon does not know this inbox as it is; a new store id was taken")]
    StoreRefused,
    #[error("{}", .0.message())]
    Status(Box<Status>),
    #[error("the daemon broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("{0}")]
    Inbox(#[from] InboxError),
    #[error("the daemon said no welcome within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Subscribes over a connection and stays until something ends it. Once a subscription was open, its end is the
/// connection's: the daemon cuts it, so that nothing of the subscription leaves any more.
pub(super) async fn subscribe(ctx: &DownlinkContext, connection: Connection, retry: &mut Retry) -> Ended {
    let hello = match ctx.inbox.hello().await {
        Ok(hello) => hello,
        Err(error) => return error.into(),
    };
    let tree_size = match ctx.inbox.kept_head().await {
        Ok(kept) => kept.map_or(0, |kept| kept.size),
        Err(error) => return error.into(),
    };
    let (outbound, requests) = Outbound::new(SubscribeHello {
        store_id: hello.store.as_bytes().to_vec().into(),
        session: hello.session,
        durable: hello.durable,
        credit_bytes: MAX_CREDIT_BYTES,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        tree_size,
    });
    let mut client = SyncClient::new(connection.channel()).max_decoding_message_size(MAX_SYNC_MESSAGE_BYTES);
    let welcomed = timeout(WELCOME_TIMEOUT, async {
        let mut stream = client.subscribe(requests).await?.into_inner();
        let first = stream.message().await?.ok_or(Ended::Closed)?;
        Ok::<_, Ended>((stream, first))
    });
    let (stream, first) = match welcomed.await {
        Ok(Ok(both)) => both,
        Ok(Err(ended)) => return ended,
        Err(_) => {
            connection.give_up();
            return Ended::NoWelcome;
        }
    };
    outbound.arrived(first.number);
    let ended = follow(ctx, &outbound, stream, first, retry).await;
    let ended = ended.err().unwrap_or(Ended::Closed);
    if !matches!(ended, Ended::StoreRefused) {
        connection.give_up();
    }
    ended
}

async fn follow(
    ctx: &DownlinkContext,
    outbound: &Outbound,
    stream: Streaming<SubscribeResponse>,
    first: SubscribeResponse,
    retry: &mut Retry,
) -> Result<(), Ended> {
    let mut translator = Translator::default();
    let welcome = translator.welcome(first)?;
    if !welcome.accepted {
        ctx.inbox.renew_store().await?;
        return Err(Ended::StoreRefused);
    }
    let grants = Translator::grants(&welcome)?;
    tracing::info!(
        session = welcome.session,
        anew = welcome.anew,
        grants = grants.len(),
        "subscribed"
    );
    ctx.board.downlink_session(welcome.session);
    ctx.board.downlink(LinkState::Connected);
    retry.reset();
    let (filling, emptying) = queue();
    let first = Arrival {
        message: Message {
            number: 1,
            content: Incoming::Welcome {
                anew: welcome.anew,
                grants,
            },
        },
        durable: 1,
        weight: 0,
        head: None,
    };
    let reading = read(stream, translator, filling, first, outbound);
    let applying = apply(ctx, welcome.session, emptying, outbound);
    let both = async {
        tokio::pin!(applying);
        // Where the applier ends first, the connection is dropped at once. Where the reader does, what
        // had arrived is committed all the same.
        let read = tokio::select! {
            applied = &mut applying => return applied,
            read = reading => read,
        };
        applying.await.and(read)
    };
    tokio::select! {
        ended = both => ended,
        failed = report(&ctx.inbox, outbound).map_err(Ended::from) => failed,
        never = note_heard(ctx) => never,
    }
}

/// Notes for ever that the stream stands: what is shown of each source is as old as this.
async fn note_heard(ctx: &DownlinkContext) -> Result<(), Ended> {
    let within = i64::try_from(HEARD_WITHIN.as_millis()).unwrap_or(i64::MAX);
    loop {
        sleep(HEARD_EVERY).await;
        heard(ctx, ctx.inbox.now_ms().saturating_sub(within)).await?;
    }
}

/// A full disk is no reason to end: the time is noted in memory all the same.
async fn heard(ctx: &DownlinkContext, at: i64) -> Result<(), Ended> {
    match ctx.inbox.heard(at).await {
        Err(error) if !error.is_disk_full() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads until the stream ends.
async fn read(
    mut stream: Streaming<SubscribeResponse>,
    mut translator: Translator,
    filling: Filling,
    first: Arrival,
    outbound: &Outbound,
) -> Result<(), Ended> {
    if !filling.put(first).await {
        return Ok(());
    }
    while let Some(response) = stream.message().await? {
        if response.number != BESIDE_THE_SESSION {
            // A revocation waits for this.
            outbound.arrived(response.number);
        }
        if !filling.put(translator.read(response)?).await {
            return Ok(());
        }
    }
    Ok(())
}

/// Commits until the queue ends or the protocol is broken.
async fn apply(
    ctx: &DownlinkContext,
    session: u64,
    mut emptying: Emptying,
    outbound: &Outbound,
) -> Result<(), Ended> {
    let mut head_before = false;
    heard(ctx, ctx.inbox.now_ms()).await?;
    while let Some(taken) = emptying.take().await {
        let mut arrivals = taken.arrivals;
        let heads: Vec<_> = arrivals.iter_mut().filter_map(|a| a.head.take()).collect();
        let durable = arrivals.last().map_or(0, |a| a.durable);
        let group = Group {
            session,
            durable,
            messages: arrivals.drain(..).map(|a| a.message).collect(),
        };
        let applied = commit(ctx, &group).await?;
        outbound.durable(applied.durable);
        ctx.board.downlink_durable(ctx.inbox.now_ms());
        if let Some(violation) = applied.violation {
            return Err(ProtocolError::EndedGrant {
                number: violation.number,
                source_unit: violation.source,
                grant: violation.grant,
            }
            .into());
        }
        for head in heads {
            heads::take(&ctx.inbox, &ctx.trust_domain, &head, !head_before).await?;
            head_before = true;
        }
    }
    Ok(())
}

/// Commits a group. Where the disk is full it stays in memory and is tried until there is room: the
/// daemon sends no more than the credit meanwhile.
async fn commit(ctx: &DownlinkContext, group: &Group) -> Result<Applied, Ended> {
    let mut retry = Retry::between(START_DELAY, MAX_DELAY_ON_A_FULL_DISK);
    let mut full = false;
    loop {
        match ctx.inbox.apply(group).await {
            Ok(applied) => {
                if full {
                    tracing::info!("there is room for the inbox again");
                    ctx.board.disk_full(INBOX, false);
                }
                return Ok(applied);
            }
            Err(InboxError::DiskFull) => {
                if !full {
                    tracing::error!(
                        "the disk that holds the inbox is full or takes no writes; make room on it or see to it, work goes on by itself"
                    );
                    ctx.board.disk_full(INBOX, true);
                    full = true;
                }
                sleep(retry.next_delay()).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The inbox's name on the status board.
const INBOX: &str = "inbox";
