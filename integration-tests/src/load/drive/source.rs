//! A source: it publishes as an agent's uplink does, with an outbox in memory, and goes on where it was when its
//! connection ends. It has no chain: it numbers where an agent digests (the daemon compares, and computes nothing).

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use handfast_proto::v1::{PublishHello, PublishRequest, publish_response};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    batches::{Batches, Outgoing},
    drops::Away,
};
use crate::{
    bench::flood::{chain, open_with},
    harness::SharedConnection,
};

/// Requests that may wait for the transport.
const OUT_QUEUE_REQUESTS: usize = 8;
/// Bytes that one source may have under way, as an agent's uplink.
const MAX_UNACKNOWLEDGED_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that all sources may have under way.
const MAX_ALL_UNACKNOWLEDGED_BYTES: usize = 64 * 1024 * 1024;
/// The least that one may have: two full batches.
const MIN_UNACKNOWLEDGED_BYTES: usize = 256 * 1024;
/// How long after a connection's end the next is tried.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// What of a source others see, and how it is told to go on.
#[derive(Debug, Default)]
pub(in crate::load) struct Gauge {
    /// The last seq that is durable.
    pub(in crate::load) acked: AtomicU64,
    /// When the next amendment is due, nanoseconds of the run's clock; 0: none is waited for.
    pub(super) due_ns: AtomicU64,
    /// Told when it is.
    pub(super) wake: Notify,
}

/// One source.
pub(in crate::load) struct Source {
    /// The unit's.
    pub(super) shared: SharedConnection,
    pub(super) batches: Batches,
    pub(super) gauge: Arc<Gauge>,
    pub(super) away: Away,
    /// Nothing new is made once it is told.
    pub(super) stop: CancellationToken,
    /// Bytes that it may have under way.
    pub(super) window: usize,
}

/// What one source of so many may have under way.
pub(super) fn window(sources: usize) -> usize {
    (MAX_ALL_UNACKNOWLEDGED_BYTES / sources.max(1)).clamp(MIN_UNACKNOWLEDGED_BYTES, MAX_UNACKNOWLEDGED_BYTES)
}

/// What was sent and is not acknowledged.
struct Outbox {
    store: Bytes,
    unacked: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbox {
    fn acknowledge(&mut self, seq: u64) {
        while self.unacked.front().is_some_and(|first| first.last_seq <= seq) {
            if let Some(first) = self.unacked.pop_front() {
                self.bytes -= first.bytes;
            }
        }
    }
}

impl Source {
    /// Publishes until it is told to stop, or its schedule ends, and all that it sent is durable.
    pub(in crate::load) async fn run(mut self) -> anyhow::Result<()> {
        let mut outbox = Outbox {
            store: rand::random::<[u8; 16]>().to_vec().into(),
            unacked: VecDeque::new(),
            bytes: 0,
        };
        loop {
            let ended = self.session(&mut outbox).await;
            self.gauge.due_ns.store(0, Relaxed);
            if self.is_done(&outbox) {
                return Ok(());
            }
            if let Err(error) = ended {
                if error.is::<super::Unworkable>() {
                    return Err(error);
                }
                tokio::time::sleep(RECONNECT_AFTER).await;
            } else {
                self.away.stay().await;
            }
        }
    }

    fn is_done(&self, outbox: &Outbox) -> bool {
        let nothing_new = self.stop.is_cancelled() || self.batches.pace().is_over() && !self.batches.is_due();
        nothing_new && outbox.unacked.is_empty()
    }

    /// One stream; `Ok` where it was told to go, or is done.
    async fn session(&mut self, outbox: &mut Outbox) -> anyhow::Result<()> {
        let acked = self.gauge.acked.load(Relaxed);
        let hello = PublishHello {
            store_id: outbox.store.clone(),
            acked_seq: acked,
            acked_chain: if acked > 0 { chain(acked) } else { Bytes::new() },
            last_seq: self.batches.last(),
            agent_version: "load".to_owned(),
        };
        let held = self.shared.hold().await?;
        let (out, mut stream, head) = open_with(held.channel(), hello, OUT_QUEUE_REQUESTS).await?;
        self.acknowledge(outbox, head);
        let mut to_send: VecDeque<PublishRequest> = outbox
            .unacked
            .iter()
            .flat_map(|sent| sent.requests.clone())
            .collect();
        loop {
            if self.is_done(outbox) {
                return Ok(());
            }
            let takes_more = to_send.is_empty() && !self.stop.is_cancelled() && outbox.bytes < self.window;
            if takes_more && let Some(outgoing) = self.make()? {
                to_send.extend(outgoing.requests.iter().cloned());
                outbox.bytes += outgoing.bytes;
                outbox.unacked.push_back(outgoing);
            }
            let wakes = to_send.is_empty() && outbox.bytes < self.window;
            tokio::select! {
                answer = stream.message() => {
                    match answer?.context("the daemon ended the stream")?.message {
                        Some(publish_response::Message::Ack(ack)) => self.acknowledge(outbox, ack.seq),
                        // Asked for where a no at the source was taken back, which none is here.
                        Some(publish_response::Message::Resend(_)) => {}
                        other => anyhow::bail!("instead of an acknowledgement: {other:?}"),
                    }
                }
                permit = out.reserve(), if !to_send.is_empty() => {
                    let permit = permit.context("the connection is gone")?;
                    if let Some(request) = to_send.pop_front() {
                        permit.send(request);
                    }
                }
                () = self.gauge.wake.notified(), if wakes => {}
                () = self.stop.cancelled(), if wakes && !self.stop.is_cancelled() => {}
                () = self.away.told() => return Ok(()),
            }
        }
    }

    /// What is due, or where nothing is, says when to be woken.
    fn make(&mut self) -> anyhow::Result<Option<Outgoing>> {
        let made = self.batches.next().map_err(super::Unworkable::of)?;
        let next = self.batches.pace().next().filter(|_| made.is_none());
        let due_ns = next.map_or(0, |due| u64::try_from(due.as_nanos()).unwrap_or(u64::MAX));
        self.gauge.due_ns.store(due_ns, Relaxed);
        Ok(made)
    }

    fn acknowledge(&self, outbox: &mut Outbox, seq: u64) {
        outbox.acknowledge(seq);
        self.gauge.acked.fetch_max(seq, Relaxed);
    }
}
