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
    ids::NhsNumber,
    limits::{MAX_BATCH_BODY_BYTES, MAX_PIECE_BYTES},
    v1::{self, subscribe_response::Message},
};
use tokio::sync::mpsc;

use super::{
    candidate::{Candidate, Chosen, Edge, Passed, Take, Withdraw},
    fence::Fence,
    handover::Gate,
    ledger::Effect,
    subscriber::Subscriber,
    told::OnItsWay,
};
use crate::{
    clock::Clock,
    consent::{Book, Carrier, GrantId, Pair, Verdict},
    ingest::{Committer, Moves},
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
    pub(super) candidates: mpsc::Receiver<Box<Candidate>>,
    pub(super) welcome: Option<v1::SubscribeWelcome>,
    pub(super) next: Option<Box<Candidate>>,
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
    told: OnItsWay,
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
                return Poll::Ready(Some(this.marker(Message::Welcome(welcome), 0, Effect::None)));
            }
            if this.pieces.is_none() && this.next.is_none() {
                match this.candidates.poll_recv(cx) {
                    Poll::Ready(Some(candidate)) => this.next = Some(candidate),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let ledger = &this.subscriber.ledger;
            let room = match (&this.pieces, this.next.as_deref()) {
                (Some(_), _) => ledger.has_room_for_piece(cx.waker()),
                (None, Some(Candidate::Batch(_) | Candidate::Edge(_) | Candidate::Passed(_))) => {
                    ledger.has_room(cx.waker())
                }
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
        match self.next.take().map(|next| *next) {
            Some(Candidate::Batch(chosen)) => self.hand_batch(chosen),
            Some(Candidate::Edge(edge)) => self.hand_edge(edge),
            Some(Candidate::Passed(passed)) => self.pass(passed),
            Some(Candidate::Fenced { pair, grant }) => {
                let message = v1::Fenced {
                    source: pair.source.to_string(),
                    grant: grant.0,
                };
                Handed::message(self.marker(Message::Fenced(message), 0, Effect::None))
            }
            Some(Candidate::Withdraw(withdraw)) => self.hand_withdrawal(withdraw),
            Some(Candidate::Stands { pair, grant, stands }) => self.hand_stands(pair, grant, stands),
            None => Handed::Nothing,
        }
    }

    fn hand_withdrawal(&self, withdraw: Withdraw) -> Handed {
        let message = v1::Withdraw {
            job: withdraw.job.0,
            source: withdraw.pair.source.to_string(),
            ended_grant: withdraw.grant.0,
            patient: withdraw.patient.map_or(0, NhsNumber::as_u64),
        };
        let effect = Effect::Withdrawal(withdraw.job);
        Handed::message(self.marker(Message::Withdraw(message), 0, effect))
    }

    /// How a grant stands is told while its source is suspended too, but not once it has ended.
    fn hand_stands(&self, pair: Pair, grant: GrantId, stands: v1::GrantInForce) -> Handed {
        let message = Message::GrantStands(v1::GrantStands { grant: Some(stands) });
        self.fence.hand(|book| match book.verdict(pair, grant) {
            Verdict::Ended => Handed::Nothing,
            Verdict::InForce | Verdict::Paused => Handed::message(self.marker(message, 0, Effect::None)),
        })
    }

    /// Runs `hand` under the guard if the grant is in force. Otherwise the take is dropped: nothing more of
    /// it goes, so that nothing can go out of order or be passed over.
    fn guarded(
        &mut self,
        pair: Pair,
        grant: GrantId,
        take: Take,
        hand: impl FnOnce(&mut Self, &Book, &Carrier<'_>) -> Handed,
    ) -> Handed {
        if self.refused.contains(&take) {
            return Handed::Nothing;
        }
        let fence = Arc::clone(&self.fence);
        fence.hand(
            |book| match (book.verdict(pair, grant), book.carrier(pair, grant)) {
                (Verdict::InForce, Some(carrier)) => hand(self, book, &carrier),
                _ => {
                    self.refuse(take);
                    Handed::Nothing
                }
            },
        )
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

    fn hand_edge(&mut self, edge: Edge) -> Handed {
        let (scope, patient) = edge.over.scope();
        let message = v1::CatchUp {
            job: edge.job.0,
            source: edge.pair.source.to_string(),
            grant: edge.grant.0,
            complete: edge.complete,
            upto_seq: edge.upto,
            scope: scope as i32,
            patient,
        };
        let done = Effect::Job(CatchUpMove {
            job: edge.job,
            through: edge.upto,
            complete: true,
        });
        let effect = if edge.complete { done } else { Effect::None };
        self.guarded(edge.pair, edge.grant, edge.take, |this, _, _| {
            Handed::message(this.marker(Message::CatchUp(message), FRAME_BYTES, effect))
        })
    }

    /// A job is past records of which nothing goes.
    fn pass(&mut self, passed: Passed) -> Handed {
        let done = Effect::Job(CatchUpMove {
            job: passed.job,
            through: passed.through,
            complete: false,
        });
        let on_its_way = OnItsWay::left_out(passed.stream(), passed.left_out);
        self.guarded(passed.pair, passed.grant, passed.take, |this, _, _| {
            let moves = this.subscriber.ledger.pass(done, on_its_way);
            this.offer(moves)
        })
    }

    fn offer(&self, moves: Moves) -> Handed {
        if !moves.is_empty() {
            self.committer.offer_moves(moves);
        }
        Handed::Nothing
    }

    fn hand_batch(&mut self, chosen: Chosen) -> Handed {
        self.guarded(chosen.pair, chosen.grant, chosen.take, |this, book, carrier| {
            this.gate(book, carrier, chosen)
        })
    }

    fn gate(&mut self, book: &Book, carrier: &Carrier<'_>, mut chosen: Chosen) -> Handed {
        let gate = Gate::new(book, chosen.pair, chosen.grant, carrier, self.clock.now_ms());
        let (passed, mut told) = gate.pass(&chosen.batch, chosen.mask, chosen.what_for(), &chosen.counters);
        let mut left_out = std::mem::take(&mut chosen.left_out);
        let mut moves = Moves::default();
        if chosen.job.is_some() {
            told.leave_out(&mut left_out);
        } else {
            told.enter_withheld(chosen.stream(), &mut moves.disclosures);
        }
        let Some(Encoded { header, body }) = passed else {
            let on_its_way = OnItsWay::left_out(chosen.stream(), left_out);
            moves.merge(self.subscriber.ledger.pass(effect(&chosen), on_its_way));
            return self.offer(moves);
        };
        self.offer(moves);
        let on_its_way = Box::new(OnItsWay {
            stream: chosen.stream(),
            versions: told.versions,
            removals: told.removals,
            left_out,
            whole: true,
        });
        if body.len() > MAX_BATCH_BODY_BYTES {
            return self.piece(Pieces {
                chosen,
                header,
                body,
                offset: 0,
                told: *on_its_way,
            });
        }
        let bytes = header.len() + body.len() + FRAME_BYTES;
        let (done, discloses) = (effect(&chosen), Some(chosen.disclosed()));
        let ledger = &self.subscriber.ledger;
        let number = ledger.hand_telling(bytes, done, discloses, Some(on_its_way));
        let deliver = v1::Deliver {
            source: chosen.pair.source.to_string(),
            grant: chosen.grant.0,
            job: chosen.job_number(),
            header,
            body,
        };
        Handed::message(v1::SubscribeResponse {
            number,
            message: Some(Message::Deliver(deliver)),
        })
    }

    /// Hands over one more piece, if the amendment still passes. Otherwise, unless the grant's end clears it
    /// away, the recipient would wait for the rest among what goes on: the subscription ends, and the next
    /// begins without.
    fn hand_piece(&mut self, pieces: Pieces) -> Handed {
        let chosen = &pieces.chosen;
        let (pair, grant, take) = (chosen.pair, chosen.grant, chosen.take);
        let handed = self.guarded(pair, grant, take, |this, book, carrier| {
            let chosen = &pieces.chosen;
            let gate = Gate::new(book, pair, grant, carrier, this.clock.now_ms());
            if gate.keeps(&chosen.batch, chosen.mask, chosen.what_for()) {
                this.piece(pieces)
            } else {
                Handed::Nothing
            }
        });
        let ended = || self.fence.book().verdict(pair, grant) == Verdict::Ended;
        if matches!(handed, Handed::Nothing) && !ended() {
            self.subscriber.over.cancel();
        }
        handed
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
        let left_out = std::mem::take(&mut pieces.told.left_out);
        let mut told = OnItsWay {
            whole: last,
            ..pieces.told.clone()
        };
        if last {
            told.left_out = left_out;
        } else {
            pieces.told.left_out = left_out;
        }
        let ledger = &self.subscriber.ledger;
        let number = ledger.hand_telling(bytes, done, Some(chosen.disclosed()), Some(Box::new(told)));
        let piece = v1::DeliverPiece {
            source: chosen.pair.source.to_string(),
            grant: chosen.grant.0,
            job: chosen.job_number(),
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

    fn marker(&self, message: Message, bytes: usize, effect: Effect) -> v1::SubscribeResponse {
        let number = self.subscriber.ledger.hand(bytes, effect, None);
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
    chosen.progress().map_or(
        Effect::Cursor {
            pair: chosen.pair,
            grant: chosen.grant,
            through: chosen.through,
        },
        Effect::Job,
    )
}
