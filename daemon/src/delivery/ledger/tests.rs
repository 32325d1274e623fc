//! How far a recipient has what was handed over.

use std::sync::Arc;

use handfast_proto::{audit::Runs, v1::PerhapsCause};

use super::*;
use crate::{
    audit::{Scribe, Stream},
    consent::Reason,
    delivery::left_out::LeftOut,
    random::OsRandom,
};

impl Ledger {
    /// Takes a receipt; what it makes durable.
    pub(in crate::delivery) fn receipted(
        &self,
        arrived: u64,
        durable: u64,
    ) -> Result<Moves, ImpossibleReceipt> {
        let mut made = Moves::default();
        self.receipt(arrived, durable, |moves| made = moves)?;
        Ok(made)
    }

    fn doubted(&self) -> Disclosures {
        let mut doubted = Disclosures::default();
        self.in_doubt(|disclosures| doubted = disclosures);
        doubted
    }
}

fn pair() -> Pair {
    Pair {
        source: "Z00101".parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

fn disclosed(first: u64, last: u64) -> Option<Disclosed> {
    Some(Disclosed {
        pair: pair(),
        grant: GrantId(1),
        first,
        last,
        behind: None,
    })
}

fn cursor(through: u64) -> Effect {
    Effect::Cursor {
        pair: pair(),
        grant: GrantId(1),
        through,
    }
}

fn ledger() -> Ledger {
    Ledger::new(pair().recipient, 1, 100)
}

#[test]
fn what_has_not_arrived_is_in_flight() {
    let ledger = ledger();
    let all = |_: &Disclosed| true;
    assert_eq!(ledger.hand(10, cursor(3), disclosed(1, 3)), 1);
    assert_eq!(ledger.hand(10, cursor(5), disclosed(4, 5)), 2);
    assert_eq!(ledger.flight(all).not_received, Some((1, 5)));
    assert_eq!(ledger.flight(all).last_number, Some(2));
    ledger.receipted(1, 0).unwrap();
    let flight = ledger.flight(all);
    assert_eq!(
        (flight.received_through, flight.not_received),
        (Some(3), Some((4, 5)))
    );
    ledger.receipted(2, 0).unwrap();
    assert_eq!(ledger.flight(all).last_number, None);
    ledger.receipted(2, 2).unwrap();
    assert_eq!(
        ledger.flight(all).received_through,
        Some(5),
        "what is durable stays known before its cursor is committed"
    );
    assert_eq!(ledger.flight(|_| false), Flight::default());
}

#[test]
fn a_cursor_moves_only_with_what_is_durable() {
    let ledger = ledger();
    ledger.hand(10, cursor(3), disclosed(1, 3));
    assert!(
        ledger.pass(cursor(9), None).is_empty(),
        "what is withheld waits for what goes before it"
    );
    assert!(ledger.receipted(1, 0).unwrap().is_empty());
    let moves = ledger.receipted(1, 1).unwrap();
    let mut group = crate::store::AppendGroup::default();
    moves
        .write_into(&mut group, &Scribe::new(Arc::new(OsRandom)))
        .unwrap();
    assert_eq!(group.cursors[0].seq, 9);
    assert_eq!(group.receipts[0].durable, 1);
    assert!(
        !ledger.pass(cursor(12), None).is_empty(),
        "with nothing in flight it moves at once"
    );
}

#[test]
fn what_is_withheld_takes_one_entry() {
    let ledger = ledger();
    ledger.hand(10, cursor(3), disclosed(1, 3));
    for through in 4..1000 {
        ledger.pass(cursor(through), None);
    }
    assert_eq!(ledger.state.lock().entries.len(), 2);
}

#[test]
fn what_is_passed_over_by_turns_takes_one_entry_each() {
    let ledger = ledger();
    let job = |through| {
        Effect::Job(CatchUpMove {
            job: JobId(7),
            through,
            complete: false,
        })
    };
    ledger.hand(10, cursor(3), disclosed(1, 3));
    for through in 4..1000 {
        ledger.pass(cursor(through), None);
        ledger.pass(job(through), None);
    }
    assert_eq!(ledger.state.lock().entries.len(), 3);
    ledger.hand(10, cursor(1000), disclosed(1000, 1000));
    ledger.pass(cursor(1001), None);
    assert_eq!(
        ledger.state.lock().entries.len(),
        5,
        "what follows a message waits for it"
    );
}

#[test]
fn a_job_behind_the_live_feed_says_nothing_of_how_far_that_got() {
    let ledger = ledger();
    let behind = Disclosed {
        behind: Some(JobId(7)),
        ..disclosed(2, 9).unwrap()
    };
    ledger.hand(10, cursor(5), disclosed(1, 5));
    ledger.hand(10, Effect::None, Some(behind));
    ledger.receipted(2, 0).unwrap();
    assert_eq!(ledger.flight(|_| true).received_through, Some(5));
    assert_eq!(ledger.open_jobs(), [(JobId(7), behind)]);
    ledger.receipted(2, 2).unwrap();
    assert_eq!(
        ledger.marks()[0].1,
        Mark {
            received: 5,
            handed: 5
        }
    );
    assert!(ledger.open_jobs().is_empty());
}

#[test]
fn credit_is_in_bytes_and_an_idle_feed_may_start_one() {
    let ledger = ledger();
    let waker = futures::task::noop_waker();
    assert!(ledger.has_room(&waker));
    ledger.hand(1_000, cursor(1), disclosed(1, 1));
    assert!(!ledger.has_room(&waker));
    ledger.receipted(1, 0).unwrap();
    assert!(!ledger.has_room(&waker), "arrived is not durable");
    assert!(
        ledger.has_room_for_piece(&waker),
        "a piece waits for what is underway alone"
    );
    ledger.hand(1_000, cursor(1), disclosed(1, 1));
    assert!(!ledger.has_room_for_piece(&waker));
    ledger.receipted(2, 0).unwrap();
    assert!(ledger.has_room_for_piece(&waker));
    ledger.receipted(2, 2).unwrap();
    assert!(ledger.has_room(&waker));
}

#[test]
fn impossible_receipts_are_refused() {
    let ledger = ledger();
    ledger.hand(1, Effect::None, None);
    ledger.hand(1, Effect::None, None);
    assert_eq!(ledger.receipted(3, 0).unwrap_err(), ImpossibleReceipt);
    ledger.receipted(2, 1).unwrap();
    assert_eq!(ledger.receipted(1, 1).unwrap_err(), ImpossibleReceipt);
    assert_eq!(ledger.receipted(2, 0).unwrap_err(), ImpossibleReceipt);
}

fn stream() -> Stream {
    Stream {
        pair: pair(),
        grant: GrantId(1),
        job: None,
    }
}

fn telling(first: u64, last: u64, removed: u64, whole: bool) -> Option<Box<OnItsWay>> {
    Some(Box::new(OnItsWay {
        stream: stream(),
        versions: Runs::of(first, last),
        removals: Runs::of(removed, removed),
        left_out: LeftOut::default(),
        whole,
    }))
}

#[test]
fn a_disclosure_is_entered_with_its_receipt_and_else_as_a_doubt_once() {
    let ledger = ledger();
    ledger.hand_telling(10, cursor(3), disclosed(1, 3), telling(1, 2, 3, true));
    ledger.hand_telling(10, cursor(6), disclosed(4, 6), telling(4, 5, 6, true));
    assert!(
        ledger.receipted(2, 0).unwrap().disclosures.is_empty(),
        "what arrived is not durable there"
    );
    let mut received = Disclosures::default();
    received.versions(stream(), 1, 2);
    received.removals(stream(), 3, 3);
    assert_eq!(ledger.receipted(2, 1).unwrap().disclosures, received);
    let mut in_doubt = Disclosures::default();
    in_doubt.perhaps(stream(), PerhapsCause::Connection, 4, 5);
    assert_eq!(ledger.doubted(), in_doubt, "a removal tells nothing");
    assert!(ledger.doubted().is_empty(), "entered once");
}

#[test]
fn what_no_receipt_was_given_of_is_asked_for_by_stream_and_stays() {
    let ledger = ledger();
    let mut other = telling(9, 9, 0, true);
    other.iter_mut().for_each(|told| told.stream.grant = GrantId(2));
    ledger.hand_telling(10, cursor(3), disclosed(1, 3), telling(1, 3, 0, true));
    ledger.hand_telling(10, cursor(6), disclosed(4, 6), telling(4, 6, 0, true));
    ledger.hand_telling(10, Effect::None, None, other);
    ledger.receipted(1, 1).unwrap();
    let mut unreceipted = Disclosures::default();
    unreceipted.perhaps(stream(), PerhapsCause::GrantEnded, 4, 6);
    let of_first = |of: &Stream| of.grant == GrantId(1);
    for _ in 0..2 {
        assert_eq!(
            ledger.unreceipted(PerhapsCause::GrantEnded, of_first),
            unreceipted
        );
    }
    let mut received = Disclosures::default();
    received.versions(stream(), 4, 6);
    assert_eq!(ledger.receipted(2, 2).unwrap().disclosures, received);
}

#[test]
fn pieces_are_a_disclosure_with_the_last_of_them() {
    let ledger = ledger();
    ledger.hand_telling(10, Effect::None, disclosed(7, 7), telling(7, 7, 0, false));
    ledger.hand_telling(10, cursor(7), disclosed(7, 7), telling(7, 7, 0, true));
    assert!(ledger.receipted(1, 1).unwrap().disclosures.is_empty());
    let mut received = Disclosures::default();
    received.versions(stream(), 7, 7);
    assert_eq!(ledger.receipted(2, 2).unwrap().disclosures, received);
}

fn job(through: u64) -> Effect {
    Effect::Job(CatchUpMove {
        job: JobId(7),
        through,
        complete: false,
    })
}

/// What a job left out: every second seq up to this one.
fn left_out(upto: u64) -> LeftOut {
    let mut left_out = LeftOut::default();
    (1..=upto)
        .filter(|seq| !seq.is_multiple_of(2))
        .for_each(|seq| left_out.add(Reason::NotOnCaseload, seq));
    left_out
}

#[test]
fn what_a_job_left_out_is_entered_with_its_progress() {
    let ledger = ledger();
    let told = || OnItsWay::left_out(stream(), left_out(3));
    let mut entered = Disclosures::default();
    entered.withheld(stream(), Reason::NotOnCaseload, 1, 1);
    entered.withheld(stream(), Reason::NotOnCaseload, 3, 3);
    let moves = ledger.pass(job(3), told());
    assert_eq!(moves.disclosures, entered, "with nothing in flight at once");

    ledger.hand(10, job(4), None);
    assert!(
        ledger.pass(job(9), told()).is_empty(),
        "behind what was handed over before"
    );
    assert!(ledger.pass(job(12), None).is_empty());
    assert_eq!(
        ledger.state.lock().entries.len(),
        3,
        "what comes behind it stays behind"
    );
    let mut message = telling(5, 5, 0, true);
    message.as_mut().unwrap().left_out = left_out(3);
    ledger.hand_telling(10, job(15), None, message);
    assert_eq!(ledger.receipted(1, 1).unwrap().disclosures, entered);
    entered.versions(stream(), 5, 5);
    assert_eq!(ledger.receipted(2, 2).unwrap().disclosures, entered);
}

#[test]
fn what_a_job_left_out_of_what_was_not_receipted_is_left_to_the_next() {
    let ledger = ledger();
    ledger.hand(10, job(4), None);
    ledger.pass(job(9), OnItsWay::left_out(stream(), left_out(3)));
    assert!(
        ledger.doubted().is_empty(),
        "it is looked up again, and entered then"
    );
}

#[test]
fn what_a_job_left_out_counts_against_the_credit_until_it_is_entered() {
    let ledger = Ledger::new(pair().recipient, 1, 1_000);
    let waker = futures::task::noop_waker();
    ledger.hand(10, job(4), None);
    ledger.pass(job(200), OnItsWay::left_out(stream(), left_out(200)));
    assert!(!ledger.has_room(&waker) && !ledger.has_room_for_piece(&waker));
    ledger.receipted(1, 0).unwrap();
    assert!(!ledger.has_room(&waker) && ledger.has_room_for_piece(&waker));
    // What is put behind a message that has arrived is not under way any more.
    ledger.pass(job(400), OnItsWay::left_out(stream(), left_out(200)));
    ledger.receipted(1, 1).unwrap();
    assert!(ledger.has_room(&waker));
    let state = ledger.state.lock();
    assert_eq!((state.bytes, state.underway), (0, 0));
}
