//! A daemon of the test's own, over loopback without TLS, and an agent's downlink that speaks to it.

use std::{net::SocketAddr, path::Path, pin::Pin, time::Duration};

use futures::Stream;
use handfast_proto::{
    limits::BESIDE_THE_SESSION,
    v1::{
        Deliver, Fenced, GrantInForce, PublishRequest, PublishResponse, SignedTreeHead, SubscribeHello,
        SubscribeReceipt, SubscribeRequest, SubscribeResponse, SubscribeWelcome,
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
    link::{Connector, Link},
    status::StatusBoard,
    store::inbox::{
        Inbox,
        testing::{Line, encoded, ods, open},
    },
};

pub(super) const A: &str = "Z00101";
pub(super) const TRUST_DOMAIN: &str = "care.example";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// One subscription as the daemon sees it.
pub(super) struct Session {
    pub(super) said: Streaming<SubscribeRequest>,
    pub(super) says: mpsc::Sender<Result<SubscribeResponse, Status>>,
    pub(super) number: u64,
}

pub(super) struct FakeSync(mpsc::Sender<Session>);

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

pub(super) struct Daemon {
    pub(super) addr: SocketAddr,
    pub(super) sessions: mpsc::Receiver<Session>,
    pub(super) _server: DropGuard,
}

impl Daemon {
    pub(super) async fn start() -> Self {
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

    pub(super) async fn session(&mut self) -> (Session, SubscribeHello) {
        let mut session = timeout(PATIENCE, self.sessions.recv()).await.unwrap().unwrap();
        match session.hears().await {
            Some(Said::Hello(hello)) => (session, hello),
            other => panic!("{other:?} instead of a hello"),
        }
    }

    /// A session that was welcomed.
    pub(super) async fn welcomed(&mut self, number: u64) -> (Session, SubscribeHello) {
        let (mut session, hello) = self.session().await;
        session
            .say(Says::Welcome(SubscribeWelcome {
                session: number,
                accepted: true,
                anew: hello.session == 0,
                grants: vec![GrantInForce {
                    source: A.to_owned(),
                    grant: 1,
                    ..GrantInForce::default()
                }],
            }))
            .await;
        (session, hello)
    }
}

impl Session {
    /// Says something under the next number, which it returns.
    pub(super) async fn say(&mut self, message: Says) -> u64 {
        self.number += 1;
        let response = SubscribeResponse {
            number: self.number,
            message: Some(message),
        };
        self.says.send(Ok(response)).await.unwrap();
        self.number
    }

    /// Says a head of the audit log, beside the session's messages.
    pub(super) async fn head(&mut self, head: SignedTreeHead) {
        let response = SubscribeResponse {
            number: BESIDE_THE_SESSION,
            message: Some(Says::TreeHead(head)),
        };
        self.says.send(Ok(response)).await.unwrap();
    }

    /// What the agent says next; `None` once it has gone.
    pub(super) async fn hears(&mut self) -> Option<Said> {
        let next = timeout(PATIENCE, self.said.message())
            .await
            .expect("the agent says nothing");
        next.ok().flatten().map(|request| request.message.unwrap())
    }

    /// Waits until everything up to `number` is durable; gives all receipts on the way.
    pub(super) async fn durable(&mut self, number: u64) -> Vec<SubscribeReceipt> {
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
    pub(super) async fn gone(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(message) = self.hears().await {
            said.push(message);
        }
        said
    }
}

pub(super) fn deliver(grant: u64, lines: &[Line<'_>]) -> Says {
    let (header, body) = encoded(lines);
    Says::Deliver(Deliver {
        source: A.to_owned(),
        grant,
        job: 0,
        header,
        body,
    })
}

pub(super) fn fenced(grant: u64) -> Says {
    Says::Fenced(Fenced {
        source: A.to_owned(),
        grant,
    })
}

pub(super) struct Agent {
    pub(super) inbox: Inbox,
    pub(super) board: StatusBoard,
    pub(super) _running: DropGuard,
}

pub(super) async fn agent(folder: &Path, daemon: &Daemon) -> Agent {
    let inbox = open(folder).await;
    let board = StatusBoard::new();
    let stop = CancellationToken::new();
    let ctx = DownlinkContext {
        link: Link::new(Connector::plaintext(daemon.addr).unwrap()),
        inbox: inbox.clone(),
        board: board.clone(),
        trust_domain: TRUST_DOMAIN.to_owned(),
    };
    tokio::spawn(run(ctx, stop.clone()));
    Agent {
        inbox,
        board,
        _running: stop.drop_guard(),
    }
}

pub(super) async fn content(inbox: &Inbox, record: &str) -> Option<usize> {
    let held = inbox.held(ods(A), &record.parse().unwrap()).await.unwrap();
    held.map(|h| h.payload.len())
}
