//! One Publish stream, from hello to its end.
//!
//! Whatever ends it, nothing is lost: what was not acknowledged stays in the outbox, and the next hello
//! tells from where to go on.

use std::time::Duration;

use bytes::Bytes;
use handfast_proto::{
    chain::Chain,
    limits::MAX_SYNC_MESSAGE_BYTES,
    v1::{
        PublishCompare, PublishHello, PublishRequest, PublishResponse, PublishWelcome,
        publish_request::Message as Request, publish_response::Message as Response, sync_client::SyncClient,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use super::{run::UplinkContext, window::Window};
use crate::{
    link::for_people,
    status::LinkState,
    store::outbox::{DaemonHead, OutboxError, Welcomed},
};

/// Messages handed to the transport ahead of it.
const MAX_MESSAGES_AHEAD: usize = 8;

/// How long the daemon may take to answer a hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Records that the daemon asks for in one message.
const MAX_RESENT: usize = 1024;

/// Hellos on one stream: the first, and one after each rebase.
const MAX_HELLOS: usize = 3;

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Worth trying again.
    Lost(String),
    /// The daemon refuses this agent; tried again, but a person should look.
    Refused(String),
}

/// A stream that the daemon has opened.
struct Session<'a> {
    ctx: &'a UplinkContext,
    out: mpsc::Sender<PublishRequest>,
    inbound: Streaming<PublishResponse>,
}

/// Publishes over a connection until it ends. `progress` is set once something was acknowledged.
pub(super) async fn publish(ctx: &UplinkContext, channel: Channel, progress: &mut bool) -> Ended {
    let session = match timeout(WELCOME_TIMEOUT, Box::pin(Session::open(ctx, channel))).await {
        Ok(Ok(session)) => session,
        Ok(Err(ended)) => return ended,
        Err(_) => return silent(),
    };
    let Err(ended) = session.run(progress).await;
    ended
}

impl<'a> Session<'a> {
    /// Says hello: the daemon may answer the call only once it has read that.
    async fn open(ctx: &'a UplinkContext, channel: Channel) -> Result<Self, Ended> {
        let (out, requests) = mpsc::channel(MAX_MESSAGES_AHEAD);
        out.send(hello(ctx)).await.map_err(|_| closed())?;
        let inbound = SyncClient::new(channel)
            .max_decoding_message_size(MAX_SYNC_MESSAGE_BYTES)
            .publish(ReceiverStream::new(requests))
            .await
            .map_err(|status| ended(&status))?
            .into_inner();
        Ok(Self { ctx, out, inbound })
    }

    async fn run(mut self, progress: &mut bool) -> Result<std::convert::Infallible, Ended> {
        let mut window = Window::after(self.settle().await?);
        self.ctx.board.uplink(LinkState::Connected);
        tracing::info!(from_seq = window.sent() + 1, "publishing to the daemon");
        let mut news = self.ctx.outbox.news();
        loop {
            news.borrow_and_update();
            if let Some(room) = window.room() {
                let rows = self
                    .ctx
                    .outbox
                    .after(window.sent(), room)
                    .await
                    .map_err(|e| broken(&e))?;
                if rows.first().is_some_and(|row| row.first_seq != window.sent() + 1) {
                    return Err(broken(&OutboxError::Damaged("it has a gap".to_owned())));
                }
                window.fill(rows);
            }
            tokio::select! {
                biased;
                response = self.inbound.message() => {
                    self.answered(response, &mut window).await?;
                    *progress = true;
                }
                permit = self.out.reserve(), if window.has_messages() => {
                    let permit = permit.map_err(|_| closed())?;
                    if let Some(message) = window.next_message() {
                        permit.send(message);
                    }
                }
                changed = news.changed(), if window.room().is_some() => {
                    changed.map_err(|_| broken(&OutboxError::Closed))?;
                }
            }
        }
    }

    /// Comes to terms with the daemon on where it stands; gives the seq of its head.
    async fn settle(&mut self) -> Result<u64, Ended> {
        for _ in 0..MAX_HELLOS {
            let (mut head, in_force) = match self.answer().await? {
                Response::Welcome(welcome) => (daemon_head(&welcome)?, welcome.in_force_seq),
                _ => {
                    return Err(Ended::Lost(
                        "the daemon did not answer the hello with a welcome".to_owned(),
                    ));
                }
            };
            let mut welcomed = self.ctx.outbox.welcomed(head).await.map_err(|e| broken(&e))?;
            if welcomed == Welcomed::Compare {
                head.agreed = Some(self.compare().await?);
                welcomed = self.ctx.outbox.welcomed(head).await.map_err(|e| broken(&e))?;
            }
            if welcomed == Welcomed::Continue {
                self.ctx.board.uplink_acked(head.seq, self.ctx.clock.now_ms());
                // What came into force while nobody here could be told.
                self.ctx
                    .outbox
                    .statements_in_force_through(in_force.min(head.seq));
                return Ok(head.seq);
            }
            self.out.send(hello(self.ctx)).await.map_err(|_| closed())?;
        }
        Err(Ended::Refused(
            "the daemon does not take this outbox although it was numbered anew behind its head".to_owned(),
        ))
    }

    /// Asks up to where the daemon has what is unsent here.
    async fn compare(&mut self) -> Result<u64, Ended> {
        let unsent = self.ctx.outbox.unsent().await.map_err(|e| broken(&e))?;
        let bytes = |chain: Chain| Bytes::copy_from_slice(chain.as_bytes());
        let question = PublishCompare {
            from_seq: unsent.from.0,
            from_chain: bytes(unsent.from.1),
            seq: unsent.points.iter().map(|(seq, _)| *seq).collect(),
            chain: unsent.points.iter().map(|(_, chain)| bytes(*chain)).collect(),
        };
        let request = PublishRequest {
            message: Some(Request::Compare(question)),
        };
        self.out.send(request).await.map_err(|_| closed())?;
        match self.answer().await? {
            Response::Compared(compared) => Ok(compared.agreed_seq),
            _ => Err(Ended::Lost("the daemon did not answer a comparison".to_owned())),
        }
    }

    /// The answer to what was asked. What the daemon says beside it may come first.
    async fn answer(&mut self) -> Result<Response, Ended> {
        timeout(WELCOME_TIMEOUT, async {
            loop {
                let answer = match self.inbound.message().await {
                    Ok(Some(PublishResponse {
                        message: Some(answer),
                    })) => answer,
                    Ok(Some(_)) => return Err(Ended::Lost("the daemon sent an empty message".to_owned())),
                    Ok(None) => return Err(closed()),
                    Err(status) => return Err(ended(&status)),
                };
                if let Some(answer) = self.beside(answer).await? {
                    return Ok(answer);
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(silent()))
    }

    /// Takes what the daemon says without being asked; gives back what is an answer.
    async fn beside(&self, message: Response) -> Result<Option<Response>, Ended> {
        match message {
            Response::StatementInForce(said) => {
                if said.pending {
                    tracing::warn!(
                        seq = said.seq,
                        "a patient's word is committed, but it is not established yet that nothing is in flight"
                    );
                }
                self.ctx.outbox.statement_in_force(said.seq, said.pending);
                Ok(None)
            }
            Response::Resend(resend) => {
                // What is no record of this unit's cannot be held.
                let names = resend.record.iter().filter_map(|name| name.parse().ok());
                let names: Vec<_> = names.take(MAX_RESENT).collect();
                self.ctx.outbox.send_again(names).await.map_err(|e| broken(&e))?;
                Ok(None)
            }
            answer => Ok(Some(answer)),
        }
    }

    async fn answered(
        &self,
        response: Result<Option<PublishResponse>, Status>,
        window: &mut Window,
    ) -> Result<(), Ended> {
        let message = match response {
            Ok(Some(response)) => response.message,
            Ok(None) => return Err(closed()),
            Err(status) => return Err(ended(&status)),
        };
        match message {
            Some(Response::Ack(ack)) => self.acknowledged(ack.seq, window),
            Some(message) => match self.beside(message).await? {
                None => Ok(()),
                Some(_) => Err(Ended::Lost("the daemon said welcome without a hello".to_owned())),
            },
            None => Err(Ended::Lost("the daemon sent an empty message".to_owned())),
        }
    }

    fn acknowledged(&self, seq: u64, window: &mut Window) -> Result<(), Ended> {
        if !window.acknowledge(seq) {
            return Err(Ended::Lost(
                "the daemon acknowledged what was not sent".to_owned(),
            ));
        }
        self.ctx.outbox.acknowledge(window.acked());
        self.ctx
            .board
            .uplink_acked(window.acked(), self.ctx.clock.now_ms());
        Ok(())
    }
}

fn daemon_head(welcome: &PublishWelcome) -> Result<DaemonHead, Ended> {
    let chain = match welcome.head_seq {
        0 => None,
        _ => Some(
            Chain::from_slice(&welcome.head_chain)
                .ok_or_else(|| Ended::Lost("the daemon's welcome has no valid chain".to_owned()))?,
        ),
    };
    Ok(DaemonHead {
        seq: welcome.head_seq,
        chain,
        accepted: welcome.accepted,
        agreed: None,
    })
}

fn hello(ctx: &UplinkContext) -> PublishRequest {
    let position = ctx.outbox.position();
    PublishRequest {
        message: Some(Request::Hello(PublishHello {
            store_id: position.store.as_bytes().to_vec().into(),
            acked_seq: position.acked_seq,
            acked_chain: position.acked_chain.as_bytes().to_vec().into(),
            last_seq: position.last_seq,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        })),
    }
}

fn closed() -> Ended {
    Ended::Lost("the daemon closed the stream".to_owned())
}

fn silent() -> Ended {
    Ended::Lost(format!(
        "the daemon did not answer within {} s",
        WELCOME_TIMEOUT.as_secs()
    ))
}

fn broken(error: &OutboxError) -> Ended {
    Ended::Lost(error.to_string())
}

fn ended(status: &Status) -> Ended {
    let why = match status.message() {
        "" => format!("the daemon ended the stream ({})", status.code()),
        message => for_people(message),
    };
    match status.code() {
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
            Ended::Refused(why)
        }
        _ => Ended::Lost(why),
    }
}
