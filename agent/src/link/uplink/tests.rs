//! The uplink against a daemon in this process that keeps what it is sent, on loopback without TLS.

use std::{collections::BTreeMap, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use handfast_proto::{
    amendment::{Amendment, Batch, Category, Confidentiality, Form, Op, Subject, Text},
    chain::Chain,
    ids::{RecordId, StoreId},
    v1::{
        PublishAck, PublishHello, PublishRequest, PublishResponse, PublishWelcome, SubscribeRequest,
        SubscribeResponse,
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

use super::{UplinkContext, run};
use crate::{
    clock::SystemClock,
    link::Connector,
    status::{LinkState, StatusBoard},
    store::outbox::{Outbox, OutboxLimits},
};

#[derive(Default)]
struct Log {
    head: u64,
    chain: Vec<u8>,
    store: Vec<u8>,
    /// Seq → record and payload length.
    taken: BTreeMap<u64, (String, usize)>,
    hellos: Vec<PublishHello>,
    /// Answers to give instead of acknowledging.
    refuse: Option<Status>,
    /// Break the stream after this many more batches, before acknowledging the last.
    break_after: Option<u32>,
    messages: u32,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Log>>);

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
                    Ok(Some(answer)) => drop(out.send(Ok(answer)).await),
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

struct Stand {
    fake: Fake,
    outbox: Arc<Outbox>,
    board: StatusBoard,
    stop: CancellationToken,
    dir: tempfile::TempDir,
    addr: std::net::SocketAddr,
}

impl Stand {
    async fn start() -> Self {
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

    fn uplink(&self) -> CancellationToken {
        self.uplink_of(self.outbox.clone())
    }

    fn uplink_of(&self, outbox: Arc<Outbox>) -> CancellationToken {
        let stop = self.stop.child_token();
        let ctx = UplinkContext {
            connector: Connector::plaintext(self.addr).unwrap(),
            outbox,
            board: self.board.clone(),
            clock: Arc::new(SystemClock),
        };
        tokio::spawn(run(ctx, stop.clone()));
        stop
    }

    async fn until(&self, what: impl Fn(&Log) -> bool) {
        self.until_async(async || what(&self.fake.0.lock())).await;
    }

    async fn until_async(&self, what: impl AsyncFn() -> bool) {
        let wait = async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    fn taken(&self) -> Vec<(u64, String)> {
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

async fn open(path: &Path) -> Arc<Outbox> {
    Outbox::open(path, Arc::new(SystemClock), OutboxLimits::default())
        .await
        .unwrap()
}

fn amendment(id: u64, bytes: usize) -> Amendment {
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

fn amendments(ids: std::ops::Range<u64>) -> Vec<Amendment> {
    ids.map(|id| amendment(id, 1000)).collect()
}

fn expected(ids: std::ops::Range<u64>, first_seq: u64) -> Vec<(u64, String)> {
    ids.zip(first_seq..)
        .map(|(id, seq)| (seq, format!("Observation/{id}")))
        .collect()
}

#[tokio::test]
async fn everything_arrives_in_order_and_is_forgotten_once_acknowledged() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..300)).await.unwrap();
    stand.uplink();
    for id in 300..340 {
        stand.outbox.push_raw(vec![amendment(id, 10)]).await.unwrap();
    }
    stand
        .outbox
        .push_raw(vec![amendment(340, 6_000_000), amendment(341, 1)])
        .await
        .unwrap();
    stand.until(|log| log.head == 342).await;
    assert_eq!(stand.taken(), expected(0..342, 1));
    assert_eq!(stand.fake.0.lock().taken[&341].1, 6_000_000);
    stand
        .until_async(async || stand.outbox.position().acked_seq == 342)
        .await;
    let status = stand.board.snapshot().uplink;
    assert_eq!((status.link, status.acked_seq), (LinkState::Connected, 342));
    assert_eq!(
        stand.outbox.position().acked_chain.as_bytes().to_vec(),
        stand.fake.0.lock().chain
    );
}

#[tokio::test]
async fn a_lost_acknowledgement_repeats_nothing() {
    let stand = Stand::start().await;
    stand.fake.0.lock().break_after = Some(2);
    stand.outbox.push_raw(amendments(0..1000)).await.unwrap();
    stand.uplink();
    stand.until(|log| log.head == 1000).await;
    assert_eq!(stand.taken(), expected(0..1000, 1));
    let log = stand.fake.0.lock();
    assert_eq!(log.hellos.len(), 2);
    assert_eq!(
        log.hellos[0].store_id, log.hellos[1].store_id,
        "the same store goes on"
    );
}

#[tokio::test]
async fn a_new_store_goes_on_behind_the_head() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..10)).await.unwrap();
    stand.uplink();
    stand.until(|log| log.head == 10).await;
    let fresh = open(&stand.dir.path().join("fresh.db")).await;
    fresh.push_raw(amendments(50..60)).await.unwrap();
    stand.uplink_of(fresh.clone());
    stand.until(|log| log.head == 20).await;
    assert_eq!(stand.taken()[10..], expected(50..60, 11));
    assert_eq!(
        fresh.position().store.as_bytes().to_vec(),
        stand.fake.0.lock().store
    );
}

#[tokio::test]
async fn a_restored_copy_loses_nothing_and_breaks_no_chain() {
    let stand = Stand::start().await;
    stand.outbox.push_raw(amendments(0..10)).await.unwrap();
    // The copy has one amendment that the daemon will never see from the original.
    let copy = stand.dir.path().join("copy.db");
    copy_of(&stand.dir.path().join("outbox.db"), &copy).await;
    let first = stand.uplink();
    stand.outbox.push_raw(amendments(10..30)).await.unwrap();
    stand.until(|log| log.head == 30).await;
    first.cancel();
    let restored = open(&copy).await;
    restored.push_raw(amendments(90..91)).await.unwrap();
    let before = restored.position().store;
    stand.uplink_of(restored.clone());
    stand
        .until(|log| log.taken.values().any(|(record, _)| record == "Observation/90"))
        .await;
    assert_ne!(restored.position().store, before);
    let taken = stand.taken();
    assert_eq!(taken[..30], expected(0..30, 1)[..]);
    assert_eq!(
        taken.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (1..=41).collect::<Vec<_>>()
    );
}

async fn copy_of(from: &Path, to: &Path) {
    use sqlx::Connection as _;
    let mut conn = sqlx::SqliteConnection::connect(&format!("sqlite://{}", from.display()))
        .await
        .unwrap();
    sqlx::query("VACUUM INTO ?")
        .bind(to.display().to_string())
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_daemon_behind_its_own_acknowledgements_is_filled_up_again() {
    let stand = Stand::start().await;
    let patient = r#"{"resourceType":"Patient","id":"p","identifier":[
        {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}"#;
    let codec = crate::codec::fhir::Codec::new(crate::codec::fhir::PrivateCodes::default(), 100_000);
    let change = |text: &str| match codec.document(text.as_bytes()).unwrap() {
        crate::codec::fhir::Document::Resource(change) => *change,
        crate::codec::fhir::Document::Bundle(_) => panic!("a Bundle"),
    };
    let condition = r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p"}}"#;
    stand
        .outbox
        .take(vec![change(patient), change(condition)])
        .await
        .unwrap();
    let first = stand.uplink();
    stand
        .until_async(async || stand.outbox.position().acked_seq == 2)
        .await;
    first.cancel();
    // Restored from a backup taken before.
    {
        let mut log = stand.fake.0.lock();
        log.head = 1;
        log.chain = Chain::start(StoreId::from_random([1; 16])).as_bytes().to_vec();
        log.store = vec![7; 16];
        log.taken.clear();
    }
    stand.uplink();
    stand.until(|log| log.head == 3).await;
    let records: Vec<_> = stand.taken().into_iter().map(|(_, record)| record).collect();
    assert_eq!(records, ["Patient/p", "Condition/c"]);
}

#[tokio::test]
async fn a_refusal_is_shown_and_tried_again() {
    let stand = Stand::start().await;
    stand.fake.0.lock().refuse = Some(Status::failed_precondition(
        "another store of unit Z00101 is connected",
    ));
    stand.outbox.push_raw(amendments(0..1)).await.unwrap();
    stand.uplink();
    let refused = LinkState::Refused {
        why: "another store of unit Z00101 is connected".to_owned(),
    };
    stand
        .until_async(async || stand.board.snapshot().uplink.link == refused)
        .await;
    stand.fake.0.lock().refuse = None;
    stand.until(|log| log.head == 1).await;
}

#[tokio::test]
async fn small_commits_made_while_the_daemon_was_away_travel_together() {
    let stand = Stand::start().await;
    for id in 0..500 {
        stand.outbox.push_raw(vec![amendment(id, 10)]).await.unwrap();
    }
    stand.uplink();
    stand.until(|log| log.head == 500).await;
    let messages = stand.fake.0.lock().messages;
    assert!(messages < 30, "{messages} messages");
}
