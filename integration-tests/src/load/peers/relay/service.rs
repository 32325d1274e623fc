//! `handfast.v1.Sync` of the relay: batches go to the log as they are, and to every subscriber.
//!
//! What it leaves out is the point: it asks nobody's consent, knows no pairs, checks no chain, drops no
//! doubles, keeps no audit, and begins anew with every connection.

use std::{pin::Pin, sync::Arc};

use handfast_proto::v1::{
    BatchHeader, Deliver, PublishAck, PublishBatch, PublishHello, PublishRequest, PublishResponse,
    PublishWelcome, SubscribeHello, SubscribeRequest, SubscribeResponse, SubscribeWelcome, publish_request,
    publish_response, subscribe_request, subscribe_response, sync_server,
};
use prost::Message as _;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, WatchStream},
};
use tonic::{Request, Response, Status, Streaming};

use super::log::{Cursor, Entry, Log};
use crate::load::peers::work::CURSOR_EVERY;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
pub(super) struct Service {
    log: Log,
}

impl Service {
    pub(super) fn new(log: Log) -> Self {
        Self { log }
    }
}

#[tonic::async_trait]
impl sync_server::Sync for Service {
    type PublishStream = Answers<PublishResponse>;
    type SubscribeStream = Answers<SubscribeResponse>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let mut batches = request.into_inner();
        let source = match batches.message().await?.and_then(|m| m.message) {
            Some(publish_request::Message::Hello(PublishHello { agent_version, .. })) => agent_version,
            _ => return Err(Status::invalid_argument("the first message must be hello")),
        };
        let (acks, acked) = watch::channel(0);
        let log = self.log.clone();
        tokio::spawn(async move {
            let acks = Arc::new(acks);
            // The end of the stream, of the log, or of sense ends the answers too.
            while let Ok(Some(message)) = batches.message().await {
                let Some(entry) = entry(message, &source, &acks) else {
                    return;
                };
                if !log.write(entry).await {
                    return;
                }
            }
        });
        let welcome = publish_response::Message::Welcome(PublishWelcome {
            accepted: true,
            ..PublishWelcome::default()
        });
        let acks =
            WatchStream::from_changes(acked).map(|seq| publish_response::Message::Ack(PublishAck { seq }));
        let answers = tokio_stream::once(welcome).chain(acks);
        Ok(Response::new(Box::pin(answers.map(|message| {
            Ok(PublishResponse {
                message: Some(message),
            })
        }))))
    }

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let mut receipts = request.into_inner();
        let consumer = match receipts.message().await?.and_then(|m| m.message) {
            Some(subscribe_request::Message::Hello(SubscribeHello { store_id, .. })) => store_id,
            _ => return Err(Status::invalid_argument("the first message must be hello")),
        };
        let consumer = <[u8; 16]>::try_from(consumer.as_ref())
            .map_err(|_| Status::invalid_argument("a store id has 16 bytes"))?;
        let log = self.log.clone();
        tokio::spawn(keep_cursor(receipts, Cursor::of(consumer), log));
        let welcome = subscribe_response::Message::Welcome(SubscribeWelcome {
            session: 1,
            accepted: true,
            anew: true,
            grants: Vec::new(),
        });
        let feed = ReceiverStream::new(self.log.subscribe()).map(subscribe_response::Message::Deliver);
        let mut number = 0;
        let answers = tokio_stream::once(welcome).chain(feed).map(move |message| {
            number += 1;
            Ok(SubscribeResponse {
                number,
                message: Some(message),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Writes how far a consumer is, at most every [`CURSOR_EVERY`], until its receipts or the log end.
async fn keep_cursor(mut receipts: Streaming<SubscribeRequest>, cursor: Arc<Cursor>, log: Log) {
    let mut every = interval(CURSOR_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut newest = None;
    loop {
        tokio::select! {
            receipt = receipts.message() => match receipt {
                Ok(Some(SubscribeRequest { message: Some(subscribe_request::Message::Receipt(receipt)) })) => {
                    newest = Some(receipt.durable);
                }
                Ok(Some(_)) => {}
                _ => return,
            },
            _ = every.tick(), if newest.is_some() => {
                let Some(at) = newest.take() else { continue };
                if !log.moved(&cursor, at).await {
                    return;
                }
            }
        }
    }
}

/// A batch as it is written and forwarded; none of anything else.
fn entry(message: PublishRequest, source: &str, acks: &Arc<watch::Sender<u64>>) -> Option<Entry> {
    let publish_request::Message::Batch(PublishBatch { header, body, .. }) = message.message? else {
        return None;
    };
    let seqs = BatchHeader::decode(header.clone()).ok()?;
    Some(Entry::Batch {
        deliver: Deliver {
            source: source.to_owned(),
            grant: 1,
            job: 0,
            header,
            body,
        },
        last_seq: (seqs.first_seq + seqs.op.len() as u64).checked_sub(1)?,
        acks: Arc::clone(acks),
    })
}
