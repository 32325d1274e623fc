//! An open loop: amendments are due at fixed times whatever the daemon does, and each is measured from the
//! time it was due, so that a stall counts against every amendment that it held up.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use handfast_proto::{
    amendment::{Amendment, BatchBuilder},
    v1::{PublishBatch, PublishRequest, publish_request::Message},
};
use tokio::sync::mpsc;

use super::flood::{PAYLOAD_BYTES, ack, chain, open};
use crate::harness::{Identity, amendment};

/// Batches that may wait; far more than a daemon that keeps up ever needs.
const OUT_QUEUE_BATCHES: usize = 1024;
/// Records amended round and round.
const RECORDS: u64 = 5_000;

/// Sends `rate` amendments a second from `base` on, for `lasting`.
pub(super) async fn drive(
    url: &str,
    identity: &Identity,
    base: Instant,
    rate: u64,
    lasting: Duration,
) -> anyhow::Result<()> {
    let (out, mut stream) = open(url, identity, OUT_QUEUE_BATCHES).await?;
    let clock = std::thread::spawn(move || tick(&out, base, rate, lasting));
    let total = rate * lasting.as_secs();
    let mut acked = 0;
    while acked < total {
        acked = ack(stream.message().await?)?;
    }
    match clock.join() {
        Ok(result) => result,
        Err(_) => anyhow::bail!("the sending thread failed"),
    }
}

/// A thread of its own: the runtime's timer counts whole milliseconds.
fn tick(
    out: &mpsc::Sender<PublishRequest>,
    base: Instant,
    rate: u64,
    lasting: Duration,
) -> anyhow::Result<()> {
    let total = rate * lasting.as_secs();
    let due = |seq: u64| Duration::from_nanos((seq - 1) * 1_000_000_000 / rate);
    let start = base.elapsed();
    let mut seq = 1;
    while seq <= total {
        let wait = (start + due(seq)).saturating_sub(base.elapsed());
        std::thread::sleep(wait);
        let mut builder = BatchBuilder::new(seq);
        let first = seq;
        while seq <= total && start + due(seq) <= base.elapsed() {
            let intended = start + due(seq);
            let next = stamped(seq, intended)?;
            if !builder.fits(&next) {
                break;
            }
            builder.push(&next);
            seq += 1;
        }
        if builder.is_empty() {
            continue;
        }
        let encoded = builder.finish();
        let batch = PublishBatch {
            header: encoded.header,
            body: encoded.body,
            chain_before: chain(first - 1),
            chain_after: chain(seq - 1),
        };
        out.blocking_send(PublishRequest {
            message: Some(Message::Batch(batch)),
        })?;
    }
    Ok(())
}

fn stamped(seq: u64, intended: Duration) -> anyhow::Result<Amendment> {
    let mut next = amendment(seq % RECORDS, seq / RECORDS, PAYLOAD_BYTES)?;
    let mut payload = BytesMut::with_capacity(PAYLOAD_BYTES);
    payload.put_u64(u64::try_from(intended.as_micros()).unwrap_or(u64::MAX));
    payload.resize(PAYLOAD_BYTES, b'x');
    next.payload = payload.freeze();
    Ok(next)
}
