//! One peer at one shape: recipients first, then sources, a warm-up after which something of every source is durable, a
//! stretch of it measured, and at the end everything that was sent has come to everyone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use super::{
    options::Shape, pacer::Pacer, payloads::Payloads, peer::Peer, schedule::Schedule, usage::cpu_of_tree,
    work::Work,
};
use crate::{
    harness::cpu,
    load::{Latency, watch::latency},
};

/// How long sources send before the measured stretch, at most.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long recipients, and then sources, may take until they are there.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long what is on its way may take to arrive after the last was sent.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked at whether they are, or it has.
const LOOK: Duration = Duration::from_millis(5);

/// What a round is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) shape: Shape,
    pub(super) seconds: u64,
    /// Amendments a second, of all sources together; none: as fast as it goes.
    pub(super) per_second: Option<u64>,
}

/// What a round measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    /// Amendments that came to every recipient in that time.
    pub(super) amendments: u64,
    pub(super) server_cpu_s: f64,
    /// Of this process, which is the clients.
    pub(super) client_cpu_s: f64,
    /// Amendments sent from the beginning to the end; all of them came to everyone.
    pub(super) sent: u64,
    /// Deliveries that were held against what was sent.
    pub(super) checked: u64,
    /// Where amendments were due at times.
    pub(super) latency: Option<Latency>,
}

/// Measures a peer that is up.
pub(super) async fn measure(
    peer: &dyn Peer,
    stretch: Stretch,
    payloads: Arc<Payloads>,
) -> anyhow::Result<Measured> {
    let (shape, lasting) = (stretch.shape, Duration::from_secs(stretch.seconds));
    let warm_up = WARM_UP.min(lasting);
    let schedule = stretch
        .per_second
        .map(|per_second| Schedule::new(shape, per_second, warm_up, lasting));
    let work = Work::new(shape, payloads, schedule.transpose()?);
    let pid = peer.pid()?;
    let mut clients = JoinSet::new();
    connect(peer, shape, &work, &mut clients).await?;
    let pacer = stretch
        .per_second
        .map(|per_second| Pacer::start(Arc::clone(&work), per_second));
    if let Some(schedule) = work.schedule() {
        schedule.begin();
    }
    while_they_run(&mut clients, tokio::time::sleep(warm_up)).await?;
    if let Some(source) = work.unconfirmed() {
        bail!("nothing of source {source} is durable after the warm-up of {warm_up:?}");
    }
    let own = std::process::id();
    let (begun, through) = (Instant::now(), work.through());
    let (server, clients_before) = (cpu_of_tree(pid)?, cpu(own)?);
    while_they_run(&mut clients, tokio::time::sleep(lasting)).await?;
    let measured = Measured {
        seconds: begun.elapsed().as_secs_f64(),
        amendments: work.through() - through,
        server_cpu_s: cpu_of_tree(pid)?.saturating_sub(server).as_secs_f64(),
        client_cpu_s: cpu(own)?.saturating_sub(clients_before).as_secs_f64(),
        sent: 0,
        checked: 0,
        latency: None,
    };
    // What is due at times is sent to the last, however late.
    if stretch.per_second.is_none() {
        work.stop();
    }
    let all = "all that was to be sent is durable and has come to everyone";
    until(all, &mut clients, DRAINED_WITHIN, || work.drained()).await?;
    drop(pacer);
    clients.shutdown().await;
    Ok(Measured {
        sent: work.sent_in_all(),
        checked: work.got_in_all(),
        latency: work
            .schedule()
            .map(Schedule::took)
            .transpose()?
            .and_then(|took| latency(&took)),
        ..measured
    })
}

/// Recipients first, then sources, so that all that is sent comes to everyone and the warm-up is no one's handshake.
async fn connect(
    peer: &dyn Peer,
    shape: Shape,
    work: &Arc<Work>,
    clients: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    for place in 0..shape.recipients {
        clients.spawn(peer.recipient(place, Arc::clone(work))?);
    }
    until("every recipient is there", clients, READY_WITHIN, || {
        work.all_ready()
    })
    .await?;
    for place in 0..shape.sources {
        clients.spawn(peer.source(place, Arc::clone(work))?);
    }
    until("every source is there", clients, READY_WITHIN, || {
        work.all_there()
    })
    .await
}

/// Lets the clients run while something else does; fails where one of them ends.
async fn while_they_run(
    clients: &mut JoinSet<anyhow::Result<()>>,
    other: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = clients.join_next() => {
            ended.context("there are no clients")?.context("a client")??;
            bail!("a client ended by itself")
        }
        () = other => Ok(()),
    }
}

async fn until(
    what: &str,
    clients: &mut JoinSet<anyhow::Result<()>>,
    within: Duration,
    done: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let end = tokio::time::Instant::now() + within;
    while !done() {
        if tokio::time::Instant::now() >= end {
            bail!("it is not so within {within:?} that {what}");
        }
        while_they_run(clients, tokio::time::sleep(LOOK)).await?;
    }
    Ok(())
}
