//! A daemon in this process that keeps what it is sent, on loopback without TLS.

use std::{collections::BTreeMap, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use handfast_proto::{
    amendment::{Amendment, Batch, Category, Confidentiality, Form, Op, Subject, Text},
    chain::Chain,
    ids::RecordId,
    v1::{
        PublishAck, PublishCompare, PublishCompared, PublishHello, PublishRequest, PublishResponse,
        PublishWelcome, SubscribeRequest, SubscribeResponse,
        publish_request::Message as Request,
        publish_response::Message as Response,
        sync_server::{Sync, SyncServer},
    },
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request as Call, Response as Answer, Status, Streaming, transport::Server};

use super::super::{UplinkContext, run};
use crate::{
    clock::SystemClock,
    link::{Connector, Link},
    status::StatusBoard,
    store::outbox::{Outbox, OutboxLimits},
};

#[derive(Default)]
pub(super) struct Log {
    pub(super) head: u64,
    pub(super) chain: Vec<u8>,
    pub(super) store: Vec<u8>,
    /// Seq → record and payload length.
    pub(super) taken: BTreeMap<u64, (String, usize)>,
    pub(super) amendments: BTreeMap<u64, Amendment>,
    pub(super) hellos: Vec<PublishHello>,
    /// Answers to give instead of acknowledging.
    pub(super) refuse: Option<Status>,
    /// Break the stream after this many more batches, before acknowledging the last.
    pub(super) break_after: Option<u32>,
    /// What to say beside the next answer.
    pub(super) say: Vec<Response>,
    pub(super) messages: u32,
    /// What a welcome says of statements.
    pub(super) in_force_seq: u64,
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<Log>>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Sync for Fake {
    type PublishStream = Out<PublishResponse>;
    type SubscribeStream = Out<SubscribeResponse>;

    async fn publish(
        &self,
        call: Call<Streaming<PublishRequest>>,
    ) -> Result<Answer<Self::PublishStream>, Status> {
        if let Some(refused) = self.0.lock().refuse.clone() {
            return Err(refused);
        }
        let (out, answers) = mpsc::channel(64);
        let fake = self.clone();
        let mut inbound = call.into_inner();
        tokio::spawn(async move {
            let mut pieces: Option<(Bytes, BytesMut, Bytes, Bytes)> = None;
            while let Ok(Some(PublishRequest {
                message: Some(message),
            })) = inbound.message().await
            {
                let answer = fake.answer(message, &mut pieces);
                match answer {
                    Ok(Some(answer)) => {
                        let _ = out.send(Ok(answer)).await;
                        let said = std::mem::take(&mut fake.0.lock().say);
                        for message in said.into_iter().map(Some) {
                            let _ = out.send(Ok(PublishResponse { message })).await;
                        }
                    }
                    Ok(None) => {}
                    Err(status) => {
                        let _ = out.send(Err(status)).await;
                        return;
                    }
                }
            }
        });
        Ok(Answer::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn subscribe(
        &self,
        _: Call<Streaming<SubscribeRequest>>,
    ) -> Result<Answer<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

impl Fake {
    fn answer(
        &self,
        message: Request,
        pieces: &mut Option<(Bytes, BytesMut, Bytes, Bytes)>,
    ) -> Result<Option<PublishResponse>, Status> {
        let mut log = self.0.lock();
        log.messages += 1;
        match message {
            Request::Hello(hello) => Ok(Some(log.welcome(hello))),
            Request::Batch(b) => {
                log.append(b.header, b.body, &b.chain_before, &b.chain_after, Form::Published)
            }
            Request::Compare(question) => Ok(Some(log.compare(&question))),
            Request::Piece(p) => {
                let (header, mut body, before, after) =
                    pieces
                        .take()
                        .unwrap_or((p.header, BytesMut::new(), p.chain_before, p.chain_after));
                assert_eq!(p.offset as usize, body.len());
                assert!(p.data.len() <= 128 * 1024);
                body.extend_from_slice(&p.data);
                let whole =
                    Batch::parse(header.clone(), body.clone().freeze(), Form::PublishedInPieces).is_ok();
                if whole {
                    return log.append(header, body.freeze(), &before, &after, Form::PublishedInPieces);
                }
                *pieces = Some((header, body, before, after));
                Ok(None)
            }
        }
    }
}

impl Log {
    fn compare(&self, question: &PublishCompare) -> PublishResponse {
        let mut chain = Chain::from_slice(&question.from_chain).unwrap();
        let mut agreed_seq = question.from_seq;
        for (seq, amendment) in self.amendments.range(question.from_seq + 1..) {
            chain = chain.extend(*seq, amendment);
            if let Some(at) = question.seq.iter().position(|s| s == seq) {
                if question.chain[at] != chain.as_bytes()[..] {
                    break;
                }
                agreed_seq = *seq;
            }
        }
        let compared = PublishCompared { agreed_seq };
        PublishResponse {
            message: Some(Response::Compared(compared)),
        }
    }

    /// By the rules of the daemon.
    fn welcome(&mut self, hello: PublishHello) -> PublishResponse {
        let first = self.head == 0 && hello.acked_seq == 0;
        let current = self.store == hello.store_id;
        let continues = hello.acked_seq == self.head && hello.acked_chain == self.chain;
        let accepted = first || current || continues;
        if accepted {
            self.store = hello.store_id.to_vec();
        }
        self.hellos.push(hello);
        PublishResponse {
            message: Some(Response::Welcome(PublishWelcome {
                in_force_seq: self.in_force_seq,
                head_seq: self.head,
                head_chain: self.chain.clone().into(),
                accepted,
            })),
        }
    }

    fn append(
        &mut self,
        header: Bytes,
        body: Bytes,
        before: &[u8],
        after: &[u8],
        form: Form,
    ) -> Result<Option<PublishResponse>, Status> {
        let batch = Batch::parse(header, body, form).map_err(|e| Status::invalid_argument(e.to_string()))?;
        if batch.first_seq() != self.head + 1 || (self.head > 0 && before != self.chain) {
            return Err(Status::failed_precondition("mis-based"));
        }
        for (index, entry) in batch.entries().enumerate() {
            let len = batch.payload(index).len();
            self.taken.insert(entry.seq, (entry.record.to_string(), len));
            self.amendments.insert(entry.seq, batch.amendment(index));
        }
        self.head = batch.last_seq();
        self.chain = after.to_vec();
        if let Some(left) = &mut self.break_after {
            if *left == 0 {
                self.break_after = None;
                return Err(Status::unavailable("killed"));
            }
            *left -= 1;
        }
        let ack = PublishAck { seq: self.head };
        Ok(Some(PublishResponse {
            message: Some(Response::Ack(ack)),
        }))
    }
}

pub(super) struct Stand {
    pub(super) fake: Fake,
    pub(super) outbox: Arc<Outbox>,
    pub(super) board: StatusBoard,
    pub(super) stop: CancellationToken,
    pub(super) dir: tempfile::TempDir,
    pub(super) addr: std::net::SocketAddr,
}

impl Stand {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let fake = Fake::default();
        let stop = CancellationToken::new();
        let service = SyncServer::new(fake.clone()).max_decoding_message_size(256 * 1024);
        let serve = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        tokio::spawn(serve);
        let dir = tempfile::tempdir().unwrap();
        let outbox = open(&dir.path().join("outbox.db")).await;
        Self {
            fake,
            outbox,
            board: StatusBoard::new(),
            stop,
            dir,
            addr,
        }
    }

    pub(super) fn uplink(&self) -> CancellationToken {
        self.uplink_of(self.outbox.clone())
    }

    pub(super) fn uplink_of(&self, outbox: Arc<Outbox>) -> CancellationToken {
        let stop = self.stop.child_token();
        let ctx = UplinkContext {
            link: Link::new(Connector::plaintext(self.addr).unwrap()),
            outbox,
            board: self.board.clone(),
            clock: Arc::new(SystemClock),
        };
        tokio::spawn(run(ctx, stop.clone()));
        stop
    }

    pub(super) async fn until(&self, what: impl Fn(&Log) -> bool) {
        self.until_async(async || what(&self.fake.0.lock())).await;
    }

    pub(super) async fn until_async(&self, what: impl AsyncFn() -> bool) {
        let wait = async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    pub(super) fn taken(&self) -> Vec<(u64, String)> {
        self.fake
            .0
            .lock()
            .taken
            .iter()
            .map(|(seq, (record, _))| (*seq, record.clone()))
            .collect()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) async fn open(path: &Path) -> Arc<Outbox> {
    Outbox::open(path, Arc::new(SystemClock), OutboxLimits::default())
        .await
        .unwrap()
}

pub(super) fn amendment(id: u64, bytes: usize) -> Amendment {
    Amendment {
        op: Op::Create,
        record: RecordId::new("Observation", &id.to_string()).unwrap(),
        subject: Some(Subject {
            patient: "9990000018".parse().unwrap(),
            category: Category::Observations,
            confidentiality: Confidentiality::NORMAL,
        }),
        former: None,
        author: Text::default(),
        recorded_at: 1,
        content_type: Text::new("application/fhir+json").unwrap(),
        payload: vec![b'x'; bytes].into(),
    }
}

pub(super) fn amendments(ids: std::ops::Range<u64>) -> Vec<Amendment> {
    ids.map(|id| amendment(id, 1000)).collect()
}

pub(super) fn expected(ids: std::ops::Range<u64>, first_seq: u64) -> Vec<(u64, String)> {
    ids.zip(first_seq..)
        .map(|(id, seq)| (seq, format!("Observation/{id}")))
        .collect()
}
