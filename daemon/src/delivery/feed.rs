//! The stream of one subscription. The gate is applied when the transport asks for the next message, not
//! before: what is queued here has not been handed over and goes nowhere once its grant has ended.

use std::{
    collections::BTreeSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use handfast_proto::{
    amendment::Encoded,
    limits::{MAX_BATCH_BODY_BYTES, MAX_PIECE_BYTES},
    v1::{self, subscribe_response::Message},
};
use tokio::sync::mpsc;

use super::{
    fence::Fence,
    handover,
    ledger::{Disclosed, Effect},
    pair_feed::{Candidate, CatchUpMarker, Chosen, Take},
    subscriber::Subscriber,
};
use crate::{
    clock::Clock,
    consent::{Book, GrantId, Pair, Verdict},
    ingest::Committer,
    store::CatchUpMove,
};

/// Candidates looked at in one poll before others get their turn.
const MAX_CANDIDATES_A_POLL: usize = 64;

/// Takes remembered as dropped: more than a subscription can have on its way at once.
const MAX_REFUSED_TAKES: usize = 4096;

/// Bytes that a message takes beside its header and body, about.
const FRAME_BYTES: usize = 64;

/// The stream of one subscription.
pub struct Feed {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) fence: Arc<Fence>,
    pub(super) committer: Committer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) candidates: mpsc::Receiver<Candidate>,
    pub(super) welcome: Option<v1::SubscribeWelcome>,
    pub(super) next: Option<Candidate>,
    pub(super) pieces: Option<Pieces>,
    pub(super) refused: BTreeSet<Take>,
}

/// An amendment too large for one message, on its way.
#[derive(Debug)]
pub(super) struct Pieces {
    chosen: Chosen,
    header: Bytes,
    body: Bytes,
    offset: usize,
}

/// What became of a candidate.
enum Handed {
    Message(Box<v1::SubscribeResponse>),
    Nothing,
}

impl Stream for Feed {
    type Item = v1::SubscribeResponse;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        for _ in 0..MAX_CANDIDATES_A_POLL {
            if this.subscriber.over.is_cancelled() {
                return Poll::Ready(None);
            }
            if let Some(welcome) = this.welcome.take() {
                return Poll::Ready(Some(this.marker(Message::Welcome(welcome), Effect::None)));
            }
            if this.pieces.is_none() && this.next.is_none() {
                match this.candidates.poll_recv(cx) {
                    Poll::Ready(Some(candidate)) => this.next = Some(candidate),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let ledger = &this.subscriber.ledger;
            let room = match (&this.pieces, &this.next) {
                (Some(_), _) => ledger.has_room_for_piece(cx.waker()),
                (None, Some(Candidate::Batch(_))) => ledger.has_room(cx.waker()),
                (None, _) => true,
            };
            if !room {
                return Poll::Pending;
            }
            if let Handed::Message(message) = this.hand_next() {
                return Poll::Ready(Some(*message));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Feed {
    fn hand_next(&mut self) -> Handed {
        if let Some(pieces) = self.pieces.take() {
            return self.hand_piece(pieces);
        }
        match self.next.take() {
            Some(Candidate::Batch(chosen)) => self.hand_batch(chosen),
            Some(Candidate::CatchUp(edge)) => self.hand_edge(edge),
            Some(Candidate::Fenced { pair, grant }) => {
                let message = v1::Fenced {
                    source: pair.source.to_string(),
                    grant: grant.0,
                };
                Handed::message(self.marker(Message::Fenced(message), Effect::None))
            }
            Some(Candidate::Withdraw { pair, grant, job }) => {
                let source = pair.source.to_string();
                let message = v1::Withdraw {
                    job: job.0,
                    source,
                    ended_grant: grant.0,
                    patient: 0,
                };
                Handed::message(self.marker(Message::Withdraw(message), Effect::Withdrawal(job)))
            }
            None => Handed::Nothing,
        }
    }

    /// Runs `hand` under the guard if the grant is in force. Otherwise the take is dropped: nothing more of
    /// it goes, so that nothing can go out of order or be passed over.
    fn guarded(
        &mut self,
        pair: Pair,
        grant: GrantId,
        take: Take,
        hand: impl FnOnce(&mut Self, &Book) -> Handed,
    ) -> Handed {
        if self.refused.contains(&take) {
            return Handed::Nothing;
        }
        let fence = Arc::clone(&self.fence);
        fence.hand(|book| match book.verdict(pair, grant) {
            Verdict::InForce => hand(self, book),
            Verdict::Ended | Verdict::Paused => {
                self.refuse(take);
                Handed::Nothing
            }
        })
    }

    fn refuse(&mut self, take: Take) {
        // Takes rise, and the pump lets go of one before it sends anything of the next: older ones are past.
        if self.refused.len() >= MAX_REFUSED_TAKES {
            self.refused.pop_first();
        }
        self.refused.insert(take);
        self.subscriber.dropped.lock().insert(take);
        self.subscriber.refresh();
    }

    fn hand_edge(&mut self, edge: CatchUpMarker) -> Handed {
        let CatchUpMarker {
            pair,
            grant,
            take,
            job,
            upto,
            complete,
        } = edge;
        let message = v1::CatchUp {
            job: job.0,
            source: pair.source.to_string(),
            grant: grant.0,
            complete,
            upto_seq: upto,
            scope: v1::ReconcileScope::Everything.into(),
            patient: 0,
        };
        let done = Effect::CatchUp(CatchUpMove {
            job,
            through: upto,
            complete: true,
        });
        let effect = if complete { done } else { Effect::None };
        self.guarded(pair, grant, take, |this, _| {
            Handed::message(this.marker(Message::CatchUp(message), effect))
        })
    }

    fn hand_batch(&mut self, chosen: Chosen) -> Handed {
        self.guarded(chosen.pair, chosen.grant, chosen.take, |this, book| {
            this.gate(book, chosen)
        })
    }

    fn gate(&mut self, book: &Book, chosen: Chosen) -> Handed {
        let Chosen {
            pair,
            grant,
            batch,
            mask,
            counters,
            ..
        } = &chosen;
        let Some(carrier) = book.carrier(*pair, *grant) else {
            return Handed::Nothing;
        };
        let Some(Encoded { header, body }) =
            handover::pass(&carrier, batch, *mask, self.clock.now_ms(), counters)
        else {
            let moves = self.subscriber.ledger.pass(effect(&chosen));
            if !moves.is_empty() {
                self.committer.offer_moves(moves);
            }
            return Handed::Nothing;
        };
        if body.len() > MAX_BATCH_BODY_BYTES {
            return self.piece(Pieces {
                chosen,
                header,
                body,
                offset: 0,
            });
        }
        let bytes = header.len() + body.len() + FRAME_BYTES;
        let number = self
            .subscriber
            .ledger
            .hand(bytes, effect(&chosen), Some(disclosed(&chosen)));
        let deliver = v1::Deliver {
            source: pair.source.to_string(),
            grant: chosen.grant.0,
            job: chosen.job.map_or(0, |j| j.0),
            header,
            body,
        };
        Handed::message(v1::SubscribeResponse {
            number,
            message: Some(Message::Deliver(deliver)),
        })
    }

    /// Hands over one more piece; each is checked anew, and the rest is dropped once the grant has ended.
    fn hand_piece(&mut self, pieces: Pieces) -> Handed {
        let Chosen {
            pair, grant, take, ..
        } = pieces.chosen;
        self.guarded(pair, grant, take, |this, _| this.piece(pieces))
    }

    fn piece(&mut self, mut pieces: Pieces) -> Handed {
        let end = (pieces.offset + MAX_PIECE_BYTES).min(pieces.body.len());
        let last = end == pieces.body.len();
        let chosen = &pieces.chosen;
        let header = if pieces.offset == 0 {
            pieces.header.clone()
        } else {
            Bytes::new()
        };
        let data = pieces.body.slice(pieces.offset..end);
        let bytes = header.len() + data.len() + FRAME_BYTES;
        let done = if last { effect(chosen) } else { Effect::None };
        let number = self.subscriber.ledger.hand(bytes, done, Some(disclosed(chosen)));
        let piece = v1::DeliverPiece {
            source: chosen.pair.source.to_string(),
            grant: chosen.grant.0,
            job: chosen.job.map_or(0, |j| j.0),
            header,
            offset: pieces.offset as u64,
            data,
        };
        if !last {
            pieces.offset = end;
            self.pieces = Some(pieces);
        }
        Handed::message(v1::SubscribeResponse {
            number,
            message: Some(Message::Piece(piece)),
        })
    }

    fn marker(&self, message: Message, effect: Effect) -> v1::SubscribeResponse {
        let number = self.subscriber.ledger.hand(0, effect, None);
        v1::SubscribeResponse {
            number,
            message: Some(message),
        }
    }
}

impl Handed {
    fn message(message: v1::SubscribeResponse) -> Self {
        Self::Message(Box::new(message))
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("recipient", &self.subscriber.recipient)
            .finish_non_exhaustive()
    }
}

impl Drop for Feed {
    /// The transport has let go of the stream; what it holds of it must not leave either.
    fn drop(&mut self) {
        self.subscriber.over.cancel();
    }
}

fn effect(chosen: &Chosen) -> Effect {
    match chosen.job {
        Some(job) => Effect::CatchUp(CatchUpMove {
            job,
            through: chosen.through,
            complete: false,
        }),
        None => Effect::Cursor {
            pair: chosen.pair,
            grant: chosen.grant,
            through: chosen.through,
        },
    }
}

fn disclosed(chosen: &Chosen) -> Disclosed {
    let (first, last) = (chosen.batch.first_seq(), chosen.batch.last_seq());
    Disclosed {
        pair: chosen.pair,
        grant: chosen.grant,
        first,
        last,
    }
}
