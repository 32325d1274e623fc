//! Sources and recipients that speak `handfast.v1.Sync`: of handfastd and of the bare relay.
//!
//! Sources are named `Z00000`, `Z00001` …: the daemon takes the name from the certificate, the relay from the
//! hello.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Buf as _;
use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        Deliver, PublishHello, PublishRequest, ReconcileScope, SubscribeHello, SubscribeReceipt,
        publish_request, publish_response, subscribe_response::Message,
    },
};
use prost::encoding::decode_varint;
use tokio::sync::mpsc;

use super::{
    batches::{BATCH, Batches, FIRST_SEQ_KEY},
    payloads::PAYLOAD_BYTES,
    work::{CURSOR_EVERY, MAX_UNACKED, Work},
};
use crate::{
    bench::{flood::open_with, sink::subscribe_as},
    harness::{Identity, Windows, connect},
    load::report::words::count,
};

/// Batches that may wait for the transport.
const OUT_QUEUE_BATCHES: usize = 8;

/// The name of a source.
pub(super) fn name(place: usize) -> String {
    format!("Z{place:05}")
}

/// How such clients work, in words.
pub(super) fn about() -> Vec<String> {
    vec![format!(
        "clients: one stream each, batches of up to {BATCH}, {} amendments on their way unconfirmed at most; a receipt \
         for what has come, which moves the cursor every {} ms at most",
        count(MAX_UNACKED),
        CURSOR_EVERY.as_millis()
    )]
}

/// A source of its own connection.
pub(super) async fn source(
    url: String,
    identity: Identity,
    place: usize,
    batches: Arc<Batches>,
    work: Arc<Work>,
) -> anyhow::Result<()> {
    let hello = PublishHello {
        store_id: rand::random::<[u8; 16]>().to_vec().into(),
        agent_version: name(place),
        ..PublishHello::default()
    };
    let channel = connect(&url, &identity, Windows::default()).await?;
    let (out, mut answers, _) = open_with(channel, hello, OUT_QUEUE_BATCHES).await?;
    let mut next = 1;
    loop {
        tokio::select! {
            answer = answers.message() => {
                match answer?.context("the stream was ended")?.message {
                    Some(publish_response::Message::Ack(ack)) => work.acked(place, ack.seq)?,
                    other => bail!("instead of an acknowledgement: {other:?}"),
                }
            }
            permit = permit(&out, &work, place) => {
                let (permit, most) = permit?;
                let (batch, count) = batches.batch(place, next, most);
                work.sent(place, count);
                next += count;
                permit.send(PublishRequest { message: Some(publish_request::Message::Batch(batch)) });
            }
        }
    }
}

/// Room at the transport once it is the source's turn, and for how many.
async fn permit<'a>(
    out: &'a mpsc::Sender<PublishRequest>,
    work: &Work,
    place: usize,
) -> anyhow::Result<(mpsc::Permit<'a, PublishRequest>, u64)> {
    let most = work.turn(place, BATCH).await;
    let permit = out.reserve().await.context("the connection is gone")?;
    Ok((permit, most))
}

/// A recipient of its own connection. It is ready when each of its grants has been caught up, with nothing.
pub(super) async fn recipient(
    url: String,
    identity: Identity,
    place: usize,
    work: Arc<Work>,
) -> anyhow::Result<()> {
    let hello = SubscribeHello {
        store_id: rand::random::<[u8; 16]>().to_vec().into(),
        credit_bytes: MAX_CREDIT_BYTES,
        agent_version: "load".to_owned(),
        ..SubscribeHello::default()
    };
    let channel = connect(&url, &identity, Windows::default()).await?;
    let (receipts, mut stream) = subscribe_as(channel, hello, tokio_stream::empty()).await?;
    let mut to_catch_up = None;
    loop {
        let answer = stream.message().await?.context("the stream was ended")?;
        match answer.message {
            Some(Message::Welcome(welcome)) => {
                ensure!(welcome.accepted, "the subscription was not accepted");
                to_catch_up = Some(welcome.grants.len());
            }
            Some(Message::CatchUp(catch_up)) => {
                if catch_up.complete && catch_up.scope() == ReconcileScope::Everything {
                    to_catch_up = to_catch_up.map(|n: usize| n.saturating_sub(1));
                }
            }
            Some(Message::Deliver(deliver)) => take(&deliver, place, &work)?,
            Some(Message::TreeHead(_) | Message::GrantStands(_)) => {}
            other => bail!("a message that nothing asked for: {other:?}"),
        }
        if to_catch_up == Some(0) {
            work.ready();
            to_catch_up = None;
        }
        if answer.number != BESIDE_THE_SESSION {
            receipts.send_replace(SubscribeReceipt {
                arrived: answer.number,
                durable: answer.number,
            });
        }
    }
}

fn take(deliver: &Deliver, place: usize, work: &Work) -> anyhow::Result<()> {
    let source = deliver.source.strip_prefix('Z').and_then(|n| n.parse().ok());
    let source: usize = source.with_context(|| format!("a delivery of “{}”", deliver.source))?;
    ensure!(deliver.job == 0, "a catch-up brought amendments");
    let (parts, rest) = deliver.body.as_chunks::<PAYLOAD_BYTES>();
    ensure!(rest.is_empty(), "a payload of another size");
    let mut header = deliver.header.clone();
    ensure!(
        header.try_get_u8().ok() == Some(FIRST_SEQ_KEY),
        "a header without its first seq"
    );
    let first = decode_varint(&mut header)?;
    work.got(
        source,
        place,
        (first..).zip(parts.iter().map(<[u8; PAYLOAD_BYTES]>::as_slice)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::peers::{options::Shape, payloads::Payloads};

    #[test]
    fn a_delivery_is_counted_where_it_follows_on_and_is_what_was_sent() {
        let shape = Shape {
            sources: 2,
            recipients: 1,
        };
        let payloads = Payloads::new();
        let work = Work::new(shape, Arc::clone(&payloads), None);
        let (batch, _) = Batches::new(payloads).batch(1, 1, BATCH);
        let deliver = |source: &str, job| Deliver {
            source: source.to_owned(),
            grant: 1,
            job,
            header: batch.header.clone(),
            body: batch.body.clone(),
        };
        assert!(take(&deliver("Z00002", 0), 0, &work).is_err(), "of nobody");
        assert!(take(&deliver("Z00000", 0), 0, &work).is_err(), "of another");
        assert!(take(&deliver("Z00001", 9), 0, &work).is_err(), "of a catch-up");
        let mut altered = deliver("Z00001", 0);
        altered.body = altered.body.slice(PAYLOAD_BYTES..);
        assert!(take(&altered, 0, &work).is_err(), "shifted");
        take(&deliver("Z00001", 0), 0, &work).unwrap();
        assert!(take(&deliver("Z00001", 0), 0, &work).is_err(), "the same again");
        assert_eq!(work.got_in_all(), BATCH);
    }
}
