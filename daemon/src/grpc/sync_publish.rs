//! One Publish stream: reads batches while it acknowledges, each at its own pace.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    amendment::{Batch, Form},
    chain::Chain,
    ids::{OdsCode, StoreId},
    limits::MAX_COMPARE_POINTS,
    v1::{
        PublishAck, PublishBatch, PublishCompare, PublishCompared, PublishHello, PublishPiece,
        PublishRequest, PublishResponse, PublishWelcome, Resend, StatementInForce, publish_request,
        publish_response,
    },
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::sync::SyncParts;
use crate::{
    ingest::{Assembly, NotOffered, Notice, OutboxHello, PieceError, Point, Session, SessionEnd},
    store::LogBatch,
};

/// Responses waiting for the transport. Acknowledgements are merged before they get here.
pub(super) const RESPONSES: usize = 4;

/// How long a stream whose agent has ended its side stays for the last acknowledgements.
const REST_BOUND: Duration = Duration::from_secs(10);

/// One Publish stream.
pub(super) struct PublishStream {
    parts: SyncParts,
    session: Arc<Session>,
    inbound: Streaming<PublishRequest>,
    responses: mpsc::Sender<Result<PublishResponse, Status>>,
    first: OutboxHello,
    /// Whether the last hello was accepted: only then are batches taken.
    accepted: bool,
    assembly: Option<Assembly>,
    /// The last seq that was handed to the committer; 0 = none.
    offered: u64,
}

impl PublishStream {
    /// Opens the unit's session, or says why not.
    pub(super) fn open(
        unit: OdsCode,
        parts: SyncParts,
        inbound: Streaming<PublishRequest>,
        responses: mpsc::Sender<Result<PublishResponse, Status>>,
        hello: &PublishHello,
    ) -> Result<Self, Status> {
        let first = parse_hello(hello)?;
        let opened = parts.publishers.open(unit, first.store);
        let session = opened.map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        Ok(Self {
            parts,
            session,
            inbound,
            responses,
            first,
            accepted: false,
            assembly: None,
            offered: 0,
        })
    }

    /// Runs until either side ends it.
    pub(super) async fn run(mut self) {
        let session = Arc::clone(&self.session);
        let responses = self.responses.clone();
        let ended = tokio::select! {
            ended = notify(&session, &responses) => ended,
            ended = acknowledge(&session, &responses, u64::MAX) => ended,
            read = self.read() => match read {
                // The agent has said all it had to say, and still waits for its acknowledgements.
                Ok(()) => acknowledge_rest(&session, &responses, self.offered).await,
                Err(status) => Err(status),
            },
            () = responses.closed() => Ok(()),
        };
        self.parts.publishers.close(&session);
        if let Err(status) = ended {
            // The stream may be gone already: then nobody is there to be told.
            let _told = self.responses.send(Err(status)).await;
        }
    }

    async fn read(&mut self) -> Result<(), Status> {
        let first = self.first;
        self.greet(&first).await?;
        while let Some(request) = self.inbound.message().await? {
            match request.message {
                Some(publish_request::Message::Hello(hello)) => self.greet(&parse_hello(&hello)?).await?,
                Some(publish_request::Message::Batch(batch)) => self.batch(batch).await?,
                Some(publish_request::Message::Piece(piece)) => self.piece(&piece).await?,
                Some(publish_request::Message::Compare(question)) => self.compare(&question).await?,
                None => return Err(Status::invalid_argument("a message of a Publish stream is empty")),
            }
        }
        Ok(())
    }

    async fn greet(&mut self, hello: &OutboxHello) -> Result<(), Status> {
        let head = self.parts.committer.heads().of(self.session.source);
        let welcome = self.parts.publishers.greet(&self.session, hello, head);
        self.accepted = welcome.accepted;
        let chain = welcome
            .head
            .chain
            .map(|chain| chain.as_bytes().to_vec())
            .unwrap_or_default();
        let message = PublishWelcome {
            head_seq: welcome.head.seq,
            head_chain: chain.into(),
            accepted: welcome.accepted,
            in_force_seq: welcome.in_force_seq,
        };
        self.respond(publish_response::Message::Welcome(message)).await?;
        if welcome.accepted {
            self.parts.delivery.connected(self.session.source);
        }
        Ok(())
    }

    /// Only of the caller's own stream: that is the session's.
    async fn compare(&self, question: &PublishCompare) -> Result<(), Status> {
        let (from, points) = parse_compare(question)?;
        let agreed = self
            .parts
            .committer
            .agreed(self.session.source, from, &points)
            .await;
        let agreed_seq = agreed.map_err(|e| Status::unavailable(e.to_string()))?;
        self.respond(publish_response::Message::Compared(PublishCompared {
            agreed_seq,
        }))
        .await
    }

    async fn batch(&mut self, batch: PublishBatch) -> Result<(), Status> {
        if self.assembly.is_some() {
            return Err(invalid(&PieceError::OutOfOrder));
        }
        let before = Chain::from_slice(&batch.chain_before);
        let after = Chain::from_slice(&batch.chain_after).ok_or_else(|| invalid(&PieceError::Chain))?;
        let parsed = Batch::parse(batch.header, batch.body, Form::Published).map_err(|e| invalid(&e))?;
        self.offer(parsed, before, after).await
    }

    async fn piece(&mut self, piece: &PublishPiece) -> Result<(), Status> {
        let mut assembly = match self.assembly.take() {
            Some(assembly) if piece.header.is_empty() => assembly,
            Some(_) => return Err(invalid(&PieceError::OutOfOrder)),
            None => Assembly::begin(piece, self.parts.max_payload_bytes).map_err(|e| invalid(&e))?,
        };
        if !assembly.add(piece).map_err(|e| invalid(&e))? {
            self.assembly = Some(assembly);
            return Ok(());
        }
        let (batch, before, after) = assembly.finish().map_err(|e| invalid(&e))?;
        self.offer(batch, before, after).await
    }

    async fn offer(&mut self, batch: Batch, before: Option<Chain>, after: Chain) -> Result<(), Status> {
        if !self.accepted {
            return Err(Status::failed_precondition(
                "the last hello was not accepted: rebase and say hello again",
            ));
        }
        let source = self.session.source;
        let last = batch.last_seq();
        self.parts.rate.admit(source, batch.len()).await;
        let log = LogBatch {
            source,
            store: self.session.store(),
            batch: Arc::new(batch),
            chain_before: before,
            chain_after: after,
        };
        let offered = self.parts.committer.offer(&self.session, log).await;
        offered.map_err(|not| match not {
            NotOffered::Statement(_) | NotOffered::Erased(_) => invalid(&not),
            NotOffered::Stopped(stopped) => Status::unavailable(stopped.to_string()),
        })?;
        self.offered = last;
        Ok(())
    }

    async fn respond(&self, message: publish_response::Message) -> Result<(), Status> {
        respond(&self.responses, message).await
    }
}

async fn respond(
    responses: &mpsc::Sender<Result<PublishResponse, Status>>,
    message: publish_response::Message,
) -> Result<(), Status> {
    let sent = responses
        .send(Ok(PublishResponse {
            message: Some(message),
        }))
        .await;
    sent.map_err(|_| Status::cancelled("the stream is gone"))
}

/// Tells the agent what it is told beside its acknowledgements, for as long as there may be something.
async fn notify(
    session: &Session,
    responses: &mpsc::Sender<Result<PublishResponse, Status>>,
) -> Result<(), Status> {
    if let Some(mut notices) = session.notices() {
        while let Some(notice) = notices.recv().await {
            let message = match notice {
                Notice::InForce { seq, pending } => {
                    publish_response::Message::StatementInForce(StatementInForce { seq, pending })
                }
                Notice::Resend(records) => publish_response::Message::Resend(Resend {
                    record: records.iter().map(|record| record.as_str().to_owned()).collect(),
                }),
            };
            respond(responses, message).await?;
        }
    }
    std::future::pending().await
}

/// Acknowledges what is still on its way, within [`REST_BOUND`].
async fn acknowledge_rest(
    session: &Session,
    responses: &mpsc::Sender<Result<PublishResponse, Status>>,
    offered: u64,
) -> Result<(), Status> {
    let rest = acknowledge(session, responses, offered);
    let done = tokio::time::timeout(REST_BOUND, rest).await;
    done.unwrap_or_else(|_| {
        Err(Status::unavailable(
            "what was sent last is not committed yet: say hello again",
        ))
    })
}

/// Acknowledges what is committed, as often as the transport takes it, until the session is over or `until`
/// is acknowledged.
async fn acknowledge(
    session: &Session,
    responses: &mpsc::Sender<Result<PublishResponse, Status>>,
    until: u64,
) -> Result<(), Status> {
    let mut progress = session.watch();
    let mut told = 0;
    loop {
        let now = progress.borrow_and_update().clone();
        if now.acked > told {
            told = now.acked;
            respond(
                responses,
                publish_response::Message::Ack(PublishAck { seq: told }),
            )
            .await?;
        }
        if let Some(end) = now.end {
            return Err(ended(&end));
        }
        if told >= until {
            return Ok(());
        }
        if progress.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn ended(end: &SessionEnd) -> Status {
    match end {
        SessionEnd::TakenOver => {
            Status::aborted("the session was ended: another connection of this store took its place")
        }
        SessionEnd::Stuck => {
            Status::aborted("the agent did not take what it was told for too long; say hello again")
        }
        SessionEnd::OutOfStep(expected) => Status::aborted(format!(
            "a batch did not follow: expected seq {expected}; say hello again"
        )),
        SessionEnd::NotCommitted(why) => Status::unavailable(format!("not committed: {why}")),
    }
}

fn invalid(error: &dyn std::error::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn parse_hello(hello: &PublishHello) -> Result<OutboxHello, Status> {
    let store = StoreId::from_slice(&hello.store_id).map_err(|e| invalid(&e))?;
    Ok(OutboxHello {
        store,
        acked_seq: hello.acked_seq,
        acked_chain: Chain::from_slice(&hello.acked_chain),
    })
}

fn parse_compare(question: &PublishCompare) -> Result<(Point, Vec<Point>), Status> {
    let point = |seq: u64, chain: &[u8]| {
        let chain =
            Chain::from_slice(chain).ok_or_else(|| Status::invalid_argument("a chain is 16 bytes"))?;
        Ok::<_, Status>(Point { seq, chain })
    };
    let from = point(question.from_seq, &question.from_chain)?;
    let rising =
        question.seq.windows(2).all(|w| w[0] < w[1]) && question.seq.first().is_none_or(|s| *s > from.seq);
    if question.seq.len() != question.chain.len() || question.seq.len() > MAX_COMPARE_POINTS || !rising {
        return Err(Status::invalid_argument(
            "a comparison asks about up to 1,024 rising seqs with a chain each",
        ));
    }
    let points = question
        .seq
        .iter()
        .zip(&question.chain)
        .map(|(seq, chain)| point(*seq, chain));
    Ok((from, points.collect::<Result<_, _>>()?))
}
