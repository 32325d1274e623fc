//! What was handed over on one subscription, and how far the recipient has it.
//!
//! Invariants: numbers are given without gaps, 1, 2, 3 …; `durable <= arrived <= handed`, and none of them
//! goes back; an entry leaves the ledger only when it is durable at the recipient, and what it told is given on before
//! anybody finds it gone; what is withheld counts as done once everything handed over before it is durable.

use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
};

use futures::task::AtomicWaker;
use handfast_proto::{ids::OdsCode, v1::PerhapsCause};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::told::OnItsWay;
use crate::{
    audit::{Disclosures, Stream},
    consent::{GrantId, Pair},
    ingest::Moves,
    store::{CatchUpMove, JobId, RecipientReceipt, WithdrawalReceipt},
};

/// What is done once a message is durable at the recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Nothing that is kept.
    None,
    /// The pair's cursor.
    Cursor {
        pair: Pair,
        grant: GrantId,
        through: u64,
    },
    /// A job's progress, or its end.
    Job(CatchUpMove),
    /// A withdrawal is in the inbox.
    Withdrawal(JobId),
}

/// The part of a stream that a message discloses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Disclosed {
    pub(super) pair: Pair,
    pub(super) grant: GrantId,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The job that it is part of: what it hands over lies behind the live feed, and below the cursor.
    pub(super) behind: Option<JobId>,
}

/// How far a grant got on a subscription, apart from jobs that go back behind its live feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    /// The last seq that is durable at the recipient; 0 = none.
    pub(super) received: u64,
    /// The last seq that was handed over; 0 = none.
    pub(super) handed: u64,
}

impl Mark {
    /// Takes in what another subscription knows.
    pub(super) fn join(&mut self, other: Self) {
        self.received = self.received.max(other.received);
        self.handed = self.handed.max(other.handed);
    }
}

#[derive(Debug)]
struct Entry {
    number: u64,
    bytes: u64,
    effect: Effect,
    disclosed: Option<Disclosed>,
    /// What the audit log is to have of it; boxed, since markers and what is passed over tell nothing.
    told: Option<Box<OnItsWay>>,
}

#[derive(Debug, Default)]
struct State {
    handed: u64,
    arrived: u64,
    durable: u64,
    bytes: u64,
    /// Of these, what has not arrived.
    underway: u64,
    entries: VecDeque<Entry>,
    /// One for each grant that something was handed over of, until the receipt of its end was made.
    marks: HashMap<(Pair, GrantId), Mark>,
}

impl State {
    fn mark(&mut self, disclosed: Disclosed, received: u64, handed: u64) {
        if disclosed.behind.is_none() {
            let mark = self.marks.entry((disclosed.pair, disclosed.grant)).or_default();
            mark.join(Mark { received, handed });
        }
    }
}

/// What a grant has in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Flight {
    /// The number of its last message that has not arrived; `None` where all has.
    pub(super) last_number: Option<u64>,
    /// The last seq that has arrived.
    pub(super) received_through: Option<u64>,
    /// The first and last seq that have not.
    pub(super) not_received: Option<(u64, u64)>,
}

/// A receipt that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a receipt for what was never handed over, or one that goes back")]
pub struct ImpossibleReceipt;

/// The ledger of one subscription.
#[derive(Debug)]
pub(super) struct Ledger {
    recipient: OdsCode,
    session: u64,
    credit: u64,
    state: Mutex<State>,
    arrived: watch::Sender<u64>,
    room: AtomicWaker,
}

impl Ledger {
    pub(super) fn new(recipient: OdsCode, session: u64, credit: u64) -> Self {
        Self {
            recipient,
            session,
            credit,
            state: Mutex::default(),
            arrived: watch::Sender::new(0),
            room: AtomicWaker::new(),
        }
    }

    /// Whether there is credit for one more message with data; an idle recipient always has it. Where there
    /// is none, `waker` is woken when there is.
    pub(super) fn has_room(&self, waker: &Waker) -> bool {
        self.has(waker, |state| state.bytes == 0 || state.bytes < self.credit)
    }

    /// Whether the next piece of an amendment that was begun may go. The recipient cannot make any of its
    /// pieces durable before it has the last, so here the credit bounds what has not arrived.
    pub(super) fn has_room_for_piece(&self, waker: &Waker) -> bool {
        self.has(waker, |state| state.underway == 0 || state.underway < self.credit)
    }

    fn has(&self, waker: &Waker, room: impl Fn(&State) -> bool) -> bool {
        if room(&self.state.lock()) {
            return true;
        }
        self.room.register(waker);
        room(&self.state.lock())
    }

    /// Notes a message as handed over that tells nothing of records, and gives its number. Called under the
    /// book's guard.
    pub(super) fn hand(&self, bytes: usize, effect: Effect, disclosed: Option<Disclosed>) -> u64 {
        self.hand_telling(bytes, effect, disclosed, None)
    }

    /// Notes a message as handed over, with what it tells, and gives its number. Called under the book's guard.
    pub(super) fn hand_telling(
        &self,
        bytes: usize,
        effect: Effect,
        disclosed: Option<Disclosed>,
        told: Option<Box<OnItsWay>>,
    ) -> u64 {
        let mut state = self.state.lock();
        let bytes = (bytes + told.as_ref().map_or(0, |told| told.weight())) as u64;
        state.handed += 1;
        state.bytes += bytes;
        state.underway += bytes;
        let number = state.handed;
        state.entries.push_back(Entry {
            number,
            bytes,
            effect,
            disclosed,
            told,
        });
        if let Some(d) = disclosed {
            state.mark(d, 0, d.last);
        }
        number
    }

    /// Notes that something was passed over without a message, and what was left out of it. What it moves at once,
    /// if all is durable; what waits of it counts against the credit.
    pub(super) fn pass(&self, effect: Effect, told: Option<Box<OnItsWay>>) -> Moves {
        let mut state = self.state.lock();
        let mut moves = Moves::default();
        if state.entries.is_empty() {
            if let Some(told) = told {
                told.received(&mut moves.disclosures);
            }
            self.apply(effect, &mut moves);
        } else if told.is_some() || !Self::extend(&mut state, effect) {
            let number = state.handed;
            let bytes = told.as_ref().map_or(0, |told| told.weight() as u64);
            state.bytes += bytes;
            if number > state.arrived {
                state.underway += bytes;
            }
            state.entries.push_back(Entry {
                number,
                bytes,
                effect,
                disclosed: None,
                told,
            });
        }
        moves
    }

    /// Of what is passed over between two messages each grant and each job takes one entry, so that the ledger
    /// stays bounded by what was handed over.
    fn extend(state: &mut State, effect: Effect) -> bool {
        let handed = state.handed;
        let passed =
            |e: &&mut Entry| e.number == handed && e.disclosed.is_none() && e.bytes == 0 && e.told.is_none();
        for entry in state.entries.iter_mut().rev().take_while(passed) {
            match (&mut entry.effect, effect) {
                (
                    Effect::Cursor { pair, grant, through },
                    Effect::Cursor {
                        pair: later_pair,
                        grant: later_grant,
                        through: later,
                    },
                ) if (*pair, *grant) == (later_pair, later_grant) => *through = later,
                (Effect::Job(at), Effect::Job(later))
                    if at.job == later.job && !at.complete && !later.complete =>
                {
                    at.through = later.through;
                }
                _ => continue,
            }
            return true;
        }
        false
    }

    /// Takes a receipt; gives `commit` what it makes durable, so that at every moment what was told is in the ledger or
    /// has been given on.
    pub(super) fn receipt(
        &self,
        arrived: u64,
        durable: u64,
        commit: impl FnOnce(Moves),
    ) -> Result<(), ImpossibleReceipt> {
        let mut state = self.state.lock();
        let arrived = arrived.max(durable);
        if arrived > state.handed || arrived < state.arrived || durable < state.durable {
            return Err(ImpossibleReceipt);
        }
        let from = state.entries.partition_point(|e| e.number <= state.arrived);
        let came = state.entries.range(from..).take_while(|e| e.number <= arrived);
        state.underway -= came.map(|e| e.bytes).sum::<u64>();
        state.arrived = arrived;
        let mut moves = Moves::default();
        if durable > state.durable {
            state.durable = durable;
            moves.receipt(RecipientReceipt {
                recipient: self.recipient,
                session: self.session,
                durable,
            });
        }
        while state.entries.front().is_some_and(|e| e.number <= durable) {
            let Some(entry) = state.entries.pop_front() else {
                break;
            };
            state.bytes -= entry.bytes;
            if let Some(d) = entry.disclosed {
                state.mark(d, d.last, d.last);
            }
            if let Some(told) = entry.told {
                told.received(&mut moves.disclosures);
            }
            self.apply(entry.effect, &mut moves);
        }
        commit(moves);
        drop(state);
        self.arrived.send_replace(arrived);
        self.room.wake();
        Ok(())
    }

    /// What is in flight of a grant, or of everything that `which` chooses.
    pub(super) fn flight(&self, which: impl Fn(&Disclosed) -> bool) -> Flight {
        let state = self.state.lock();
        let mut flight = Flight::default();
        for ((pair, grant), mark) in &state.marks {
            let all = Disclosed {
                pair: *pair,
                grant: *grant,
                first: mark.received,
                last: mark.received,
                behind: None,
            };
            if mark.received > 0 && which(&all) {
                flight.received_through = flight.received_through.max(Some(mark.received));
            }
        }
        for entry in &state.entries {
            let Some(disclosed) = entry.disclosed.filter(&which) else {
                continue;
            };
            if entry.number <= state.arrived {
                let through = disclosed.behind.is_none().then_some(disclosed.last);
                flight.received_through = flight.received_through.max(through);
                continue;
            }
            flight.last_number = Some(entry.number);
            let (first, last) = flight.not_received.unwrap_or((disclosed.first, disclosed.last));
            flight.not_received = Some((first.min(disclosed.first), last.max(disclosed.last)));
        }
        flight
    }

    /// How far each grant got.
    pub(super) fn marks(&self) -> Vec<((Pair, GrantId), Mark)> {
        let state = self.state.lock();
        state.marks.iter().map(|(grant, mark)| (*grant, *mark)).collect()
    }

    /// What of jobs behind the live feed is not durable at the recipient.
    pub(super) fn open_jobs(&self) -> Vec<(JobId, Disclosed)> {
        let state = self.state.lock();
        let disclosed = state.entries.iter().filter_map(|entry| entry.disclosed);
        disclosed.filter_map(|d| Some((d.behind?, d))).collect()
    }

    /// The connection is gone: gives `enter` what was told without a receipt, once.
    pub(super) fn in_doubt(&self, enter: impl FnOnce(Disclosures)) {
        let mut disclosures = Disclosures::default();
        let mut state = self.state.lock();
        let told = state.entries.iter_mut().filter_map(|entry| entry.told.take());
        told.for_each(|told| told.in_doubt(PerhapsCause::Connection, &mut disclosures));
        enter(disclosures);
    }

    /// What was told of these streams without a receipt, which may come still.
    pub(super) fn unreceipted(&self, cause: PerhapsCause, is_meant: impl Fn(&Stream) -> bool) -> Disclosures {
        let mut disclosures = Disclosures::default();
        let state = self.state.lock();
        let told = state.entries.iter().filter_map(|entry| entry.told.as_deref());
        told.filter(|told| is_meant(&told.stream))
            .for_each(|told| told.in_doubt(cause, &mut disclosures));
        disclosures
    }

    /// The receipt of a grant's end was made.
    pub(super) fn forget(&self, pair: Pair, grant: GrantId) {
        self.state.lock().marks.remove(&(pair, grant));
    }

    /// Waits until a message has arrived. Cancellation-safe.
    pub(super) async fn arrived(&self, number: u64) {
        let mut arrived = self.arrived.subscribe();
        // The sender lives as long as the ledger: it is never closed.
        let _arrived = arrived.wait_for(|a| *a >= number).await;
    }

    fn apply(&self, effect: Effect, moves: &mut Moves) {
        match effect {
            Effect::None => {}
            Effect::Cursor { pair, grant, through } => moves.cursor(pair, grant, through),
            Effect::Job(to) => moves.catch_up(to),
            Effect::Withdrawal(job) => moves.withdrawal(WithdrawalReceipt {
                job,
                recipient: self.recipient,
                session: self.session,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
