//! The downlink against a daemon of the test's own, over loopback without TLS.

use std::{net::SocketAddr, path::Path, pin::Pin, time::Duration};

use futures::Stream;
use handfast_proto::{
    amendment::Op::{Amend, Create, Retract},
    v1::{
        CatchUp, DeadLetter, Deliver, DeliverPiece, Fenced, GrantInForce, PublishRequest, PublishResponse,
        SubscribeHello, SubscribeReceipt, SubscribeRequest, SubscribeResponse, SubscribeWelcome, Withdraw,
        WithdrawalConfirmed,
        subscribe_request::Message as Said,
        subscribe_response::Message as Says,
        sync_server::{Sync, SyncServer},
    },
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming};

use super::{DownlinkContext, run};
use crate::{
    link::Connector,
    status::{LinkState, StatusBoard},
    store::inbox::{Inbox, LetterOp, LetterState, NewLetter, Progress, testing::*},
};

const A: &str = "Z00101";
const PATIENCE: Duration = Duration::from_secs(20);

/// One subscription as the daemon sees it.
struct Session {
    said: Streaming<SubscribeRequest>,
    says: mpsc::Sender<Result<SubscribeResponse, Status>>,
    number: u64,
}

struct FakeSync(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Sync for FakeSync {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<PublishResponse, Status>> + Send>>;
    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn publish(
        &self,
        _: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (says, stream) = mpsc::channel(64);
        let session = Session {
            said: request.into_inner(),
            says,
            number: 0,
        };
        self.0.send(session).await.unwrap();
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Daemon {
    addr: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    _server: DropGuard,
}

impl Daemon {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(SyncServer::new(FakeSync(sender)))
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped),
        );
        Self {
            addr,
            sessions,
            _server: stop.drop_guard(),
        }
    }

    async fn session(&mut self) -> (Session, SubscribeHello) {
        let mut session = timeout(PATIENCE, self.sessions.recv()).await.unwrap().unwrap();
        match session.hears().await {
            Some(Said::Hello(hello)) => (session, hello),
            other => panic!("{other:?} instead of a hello"),
        }
    }

    /// A session that was welcomed.
    async fn welcomed(&mut self, number: u64) -> (Session, SubscribeHello) {
        let (mut session, hello) = self.session().await;
        session
            .say(Says::Welcome(SubscribeWelcome {
                session: number,
                accepted: true,
                anew: hello.session == 0,
                grants: vec![GrantInForce {
                    source: A.to_owned(),
                    grant: 1,
                }],
            }))
            .await;
        (session, hello)
    }
}

impl Session {
    /// Says something under the next number, which it returns.
    async fn say(&mut self, message: Says) -> u64 {
        self.number += 1;
        let response = SubscribeResponse {
            number: self.number,
            message: Some(message),
        };
        self.says.send(Ok(response)).await.unwrap();
        self.number
    }

    /// What the agent says next; `None` once it has gone.
    async fn hears(&mut self) -> Option<Said> {
        let next = timeout(PATIENCE, self.said.message())
            .await
            .expect("the agent says nothing");
        next.ok().flatten().map(|request| request.message.unwrap())
    }

    /// Waits until everything up to `number` is durable; gives all receipts on the way.
    async fn durable(&mut self, number: u64) -> Vec<SubscribeReceipt> {
        let mut receipts = Vec::new();
        loop {
            if let Some(Said::Receipt(receipt)) = self.hears().await {
                receipts.push(receipt);
                if receipt.durable >= number {
                    return receipts;
                }
            }
        }
    }

    /// Waits until the agent has gone.
    async fn gone(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(message) = self.hears().await {
            said.push(message);
        }
        said
    }
}

fn deliver(grant: u64, lines: &[Line<'_>]) -> Says {
    let (header, body) = encoded(lines);
    Says::Deliver(Deliver {
        source: A.to_owned(),
        grant,
        job: 0,
        header,
        body,
    })
}

fn fenced(grant: u64) -> Says {
    Says::Fenced(Fenced {
        source: A.to_owned(),
        grant,
    })
}

struct Agent {
    inbox: Inbox,
    board: StatusBoard,
    _running: DropGuard,
}

async fn agent(folder: &Path, daemon: &Daemon) -> Agent {
    let inbox = open(folder).await;
    let board = StatusBoard::new();
    let stop = CancellationToken::new();
    let ctx = DownlinkContext {
        connector: Connector::plaintext(daemon.addr).unwrap(),
        inbox: inbox.clone(),
        board: board.clone(),
    };
    tokio::spawn(run(ctx, stop.clone()));
    Agent {
        inbox,
        board,
        _running: stop.drop_guard(),
    }
}

async fn content(inbox: &Inbox, record: &str) -> Option<usize> {
    let held = inbox.held(ods(A), &record.parse().unwrap()).await.unwrap();
    held.map(|h| h.payload.len())
}

#[tokio::test]
async fn what_is_durable_is_in_the_inbox_and_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, hello) = daemon.welcomed(41).await;
    assert_eq!((hello.session, hello.durable, hello.store_id.len()), (0, 0, 16));
    assert_eq!(hello.credit_bytes, 1024 * 1024);
    session
        .say(Says::CatchUp(CatchUp {
            job: 9,
            source: A.to_owned(),
            grant: 1,
            complete: false,
            upto_seq: 0,
        }))
        .await;
    session
        .say(Says::CatchUp(CatchUp {
            job: 9,
            source: A.to_owned(),
            grant: 1,
            complete: true,
            upto_seq: 0,
        }))
        .await;
    session
        .say(deliver(
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ))
        .await;
    let last = session
        .say(deliver(1, &[(3, Retract, "Observation/1", "")]))
        .await;
    let receipts = session.durable(last).await;
    assert!(receipts.iter().all(|r| r.arrived >= r.durable), "{receipts:?}");
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    assert_eq!(content(&agent.inbox, "Observation/1").await, None);
    assert_eq!(agent.board.snapshot().downlink.link, LinkState::Connected);
    drop(session);
    let (_session, again) = daemon.welcomed(42).await;
    assert_eq!((again.session, again.durable), (41, last));
    assert_eq!(again.store_id, hello.store_id);
}

#[tokio::test]
async fn a_store_that_is_refused_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let _agent = agent(folder.path(), &daemon).await;
    let (mut session, first) = daemon.session().await;
    session.say(Says::Welcome(SubscribeWelcome::default())).await;
    let (_session, second) = daemon.session().await;
    assert_ne!(first.store_id, second.store_id);
    assert_eq!((second.session, second.durable), (0, 0));
}

fn pieces(lines: &[Line<'_>], piece_bytes: usize) -> Vec<Says> {
    let (header, body) = encoded(lines);
    let mut header = Some(header);
    let mut found = Vec::new();
    for (place, data) in body.chunks(piece_bytes).enumerate() {
        found.push(Says::Piece(DeliverPiece {
            source: A.to_owned(),
            grant: 1,
            job: 0,
            header: header.take().unwrap_or_default(),
            offset: (place * piece_bytes) as u64,
            data: bytes::Bytes::copy_from_slice(data),
        }));
    }
    found
}

#[tokio::test]
async fn a_large_amendment_is_durable_with_its_last_piece_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let large = "x".repeat(3 * 1024 * 1024);
    let mut parts = pieces(&[(1, Create, "DocumentReference/1", &large)], 128 * 1024);
    let last = parts.pop().unwrap();
    for part in parts {
        session.say(part).await;
    }
    // Something between the pieces is committed, but does not count as durable.
    let between = session.say(deliver(2, &[(1, Create, "Patient/9", "p")])).await;
    loop {
        let Some(Said::Receipt(receipt)) = session.hears().await else {
            continue;
        };
        assert!(receipt.durable <= 1, "{receipt:?}");
        if receipt.arrived == between && content(&agent.inbox, "Patient/9").await.is_some() {
            break;
        }
    }
    assert_eq!(content(&agent.inbox, "DocumentReference/1").await, None);
    let number = session.say(last).await;
    session.durable(number).await;
    assert_eq!(
        content(&agent.inbox, "DocumentReference/1").await,
        Some(large.len())
    );
}

#[tokio::test]
async fn pieces_of_an_ended_grant_are_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let large = "x".repeat(300 * 1024);
    let mut parts = pieces(&[(1, Create, "DocumentReference/1", &large)], 128 * 1024);
    let last = parts.pop().unwrap();
    for part in parts {
        session.say(part).await;
    }
    let number = session.say(fenced(1)).await;
    session.durable(number).await;
    session.say(last).await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "DocumentReference/1").await, None);
}

#[tokio::test]
async fn a_message_after_the_fence_ends_the_connection_and_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    session.say(deliver(1, &[(1, Create, "Patient/1", "p")])).await;
    let fence = session.say(fenced(1)).await;
    session.durable(fence).await;
    session
        .say(deliver(1, &[(2, Amend, "Patient/1", "too late")]))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    // The connection is made again, and the grant is still remembered as ended.
    let (mut session, hello) = daemon.welcomed(2).await;
    assert_eq!(hello.durable, fence);
    session
        .say(deliver(1, &[(2, Amend, "Patient/1", "too late")]))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_connection_and_keeps_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let good = session.say(deliver(1, &[(1, Create, "Patient/1", "p")])).await;
    session
        .say(Says::Deliver(Deliver {
            source: A.to_owned(),
            grant: 1,
            job: 0,
            header: bytes::Bytes::from_static(b"\xff\xff"),
            body: bytes::Bytes::new(),
        }))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    let (_session, hello) = daemon.welcomed(2).await;
    assert_eq!(hello.durable, good);
}

#[tokio::test]
async fn withdrawals_are_confirmed_and_confirmed_again_on_a_new_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    session
        .say(deliver(
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ))
        .await;
    session.say(fenced(1)).await;
    session
        .say(Says::Withdraw(Withdraw {
            job: 77,
            source: A.to_owned(),
            ended_grant: 1,
        }))
        .await;
    let expected = WithdrawalConfirmed {
        job: 77,
        removed: 2,
        not_removed: 0,
    };
    let confirmation = |said: Option<Said>| match said {
        Some(Said::WithdrawalConfirmed(confirmed)) => Some(confirmed),
        _ => None,
    };
    let confirmed = loop {
        if let Some(confirmed) = confirmation(session.hears().await) {
            break confirmed;
        }
    };
    assert_eq!(confirmed, expected);
    assert_eq!(content(&agent.inbox, "Patient/1").await, None);
    drop(session);
    let (mut session, _) = daemon.welcomed(2).await;
    let again = loop {
        if let Some(confirmed) = confirmation(session.hears().await) {
            break confirmed;
        }
    };
    assert_eq!(again, expected);
}

#[tokio::test]
async fn dead_letters_are_reported_and_their_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    drop(open_with_output(folder.path(), "fhir").await);
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let number = session
        .say(deliver(1, &[(7, Create, "Observation/1", "o")]))
        .await;
    session.durable(number).await;
    let letter = NewLetter {
        source: ods(A),
        record: "Observation/1".parse().unwrap(),
        seq: 7,
        op: LetterOp::Write,
        state: LetterState::Refused,
        status: Some(422),
        reason: "the server refuses it (422)".to_owned(),
        attempts: 1,
        next_at: 0,
    };
    let progress = Progress {
        position: 1,
        letters: vec![letter],
        ..Progress::default()
    };
    agent.inbox.commit_output("out", &progress).await.unwrap();
    let mut expected = DeadLetter {
        source: A.to_owned(),
        seq: 7,
        record: "Observation/1".to_owned(),
        reason: "the server refuses it (422)".to_owned(),
        resolved: false,
    };
    for resolved in [false, true] {
        expected.resolved = resolved;
        let reported = loop {
            if let Some(Said::DeadLetter(reported)) = session.hears().await {
                break reported;
            }
        };
        assert_eq!(reported, expected);
        let done = Progress {
            position: 1,
            written: vec![(ods(A), "Observation/1".parse().unwrap(), 7)],
            ..Progress::default()
        };
        agent.inbox.commit_output("out", &done).await.unwrap();
    }
}
