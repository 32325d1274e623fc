//! What of a batch goes to a recipient.

use handfast_proto::{
    amendment::{Amendment, BatchBuilder, Category, Confidentiality, Form},
    ids::NhsNumber,
};

use handfast_proto::audit::Runs;

use super::*;
use crate::{
    consent::{
        CategorySet, Emergency, EmergencyWindow, HalfTerms, PairTerms, PatientWord, Policy, Scope, Side,
        Standing,
    },
    ingest::tests::amendment,
};

mod jobs;

/// The emergency access of [`opened`].
const ACCESS: GrantId = GrantId(9);

fn pair() -> Pair {
    Pair {
        source: "Z00101".parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

fn book(terms: PairTerms) -> Book {
    let units = [pair().source, pair().recipient].map(|ods| (ods, Standing::Enrolled));
    Book::new(Policy::UnlessDissented, units, [(pair(), terms)])
}

fn both() -> PairTerms {
    PairTerms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        grant: Some(GrantId(1)),
    }
}

fn batch(amendments: &[Amendment]) -> Batch {
    let mut builder = BatchBuilder::new(1);
    amendments.iter().for_each(|a| builder.push(a));
    let made = builder.finish();
    Batch::parse(made.header, made.body, Form::Published).unwrap()
}

fn private(id: u64) -> Amendment {
    let mut a = amendment(id, 0);
    a.subject = a.subject.map(|s| Subject {
        confidentiality: Confidentiality::PRIVATE,
        ..s
    });
    a
}

fn out(book: &Book, batch: &Batch, what_for: For) -> Option<Encoded> {
    out_under(GrantId(1), book, batch, what_for)
}

fn out_under(grant: GrantId, book: &Book, batch: &Batch, what_for: For) -> Option<Encoded> {
    let carrier = book.carrier(pair(), grant)?;
    let gate = Gate::new(book, pair(), grant, &carrier, 0);
    gate.pass(batch, Mask::beyond(batch, 0), what_for, &PairCounters::default())
        .0
}

/// Ops and seqs of what goes.
fn ops(out: Option<Encoded>) -> Vec<(Op, u64)> {
    let Some(out) = out else { return Vec::new() };
    let batch = Batch::parse(out.header, out.body, Form::Delivered).unwrap();
    batch.entries().map(|e| (e.op, e.seq)).collect()
}

/// What `amendment` makes is of the first patient; this is of another.
fn of_another(id: u64) -> Amendment {
    let mut a = amendment(id, 10);
    a.subject = a.subject.map(|s| Subject {
        patient: NhsNumber::from_u64(9_990_000_026).unwrap(),
        ..s
    });
    a
}

fn subject(of: &Amendment) -> Subject {
    of.subject.unwrap()
}

/// The record is another patient's now.
fn moved(from: &Amendment, to: Amendment) -> Amendment {
    Amendment {
        op: Op::Amend,
        former: from.subject,
        ..to
    }
}

/// A book with an emergency access for the first patient beside the agreement, which is narrowed to nothing.
fn opened() -> Book {
    let nothing = Scope {
        categories: CategorySet::NONE,
        ..Scope::EVERYTHING
    };
    let share_in = HalfTerms {
        scope: nothing,
        ..HalfTerms::ON
    };
    let emergency = Emergency {
        pair: pair(),
        patient: subject(&amendment(1, 0)).patient,
        window: EmergencyWindow { from: 0, until: 10 },
    };
    book(PairTerms { share_in, ..both() }).with_emergency(ACCESS, emergency)
}

fn passed(book: &Book, batch: &Batch) -> Option<Batch> {
    let out = out(book, batch, For::Live)?;
    Some(Batch::parse(out.header, out.body, Form::Delivered).unwrap())
}

#[test]
fn a_batch_that_passes_as_a_whole_goes_as_it_came() {
    let batch = batch(&[amendment(1, 10), amendment(2, 10)]);
    let out = out(&book(both()), &batch, For::Live).unwrap();
    assert_eq!(out.body.as_ptr(), batch.body().as_ptr(), "not a copy");
    assert_eq!(out.header.as_ptr(), batch.header().as_ptr());
}

#[test]
fn what_is_private_is_cut_out_and_a_batch_of_nothing_else_does_not_go() {
    let mixed = batch(&[amendment(1, 10), private(2), amendment(3, 10)]);
    let out = passed(&book(both()), &mixed).unwrap();
    assert_eq!(out.entries().map(|e| e.seq).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(out.payload(1), mixed.payload(2));
    assert!(passed(&book(both()), &batch(&[private(1)])).is_none());
}

#[test]
fn what_turned_private_goes_as_a_removal_and_says_nothing_else() {
    let mut turned = private(1);
    turned.op = Op::Amend;
    turned.former = amendment(1, 0).subject;
    let out = passed(&book(both()), &batch(&[turned.clone()])).unwrap();
    let entry = out.entry(0);
    assert_eq!((entry.op, entry.subject, entry.former), (Op::Remove, None, None));
    assert!(out.body().is_empty());
    turned.former = turned.subject;
    assert!(
        passed(&book(both()), &batch(&[turned])).is_none(),
        "was never there: not even its name goes"
    );
}

#[test]
fn what_a_record_was_before_is_never_told() {
    let mut moved = amendment(1, 10);
    moved.op = Op::Amend;
    moved.former = moved.subject;
    let out = passed(&book(both()), &batch(&[moved])).unwrap();
    assert_eq!((out.entry(0).op, out.entry(0).former), (Op::Amend, None));
}

#[test]
fn a_retraction_goes_bare() {
    let mut retraction = amendment(1, 0);
    retraction.op = Op::Retract;
    let out = passed(&book(both()), &batch(&[retraction])).unwrap();
    assert_eq!((out.entry(0).op, out.entry(0).subject), (Op::Retract, None));
}

#[test]
fn without_a_grant_nothing_goes() {
    let terms = PairTerms {
        grant: None,
        ..both()
    };
    assert!(passed(&book(terms), &batch(&[amendment(1, 10)])).is_none());
}

#[test]
fn an_emergency_access_carries_its_patient_and_leaves_no_trace_of_others() {
    let mut retraction = of_another(3);
    (retraction.op, retraction.payload) = (Op::Retract, bytes::Bytes::new());
    let mixed = batch(&[amendment(1, 10), of_another(2), retraction]);
    let counters = PairCounters::default();
    let book = opened();
    let carrier = book.carrier(pair(), ACCESS).unwrap();
    let gate = Gate::new(&book, pair(), ACCESS, &carrier, 0);
    let (out, told) = gate.pass(&mixed, Mask::beyond(&mixed, 0), For::Live, &counters);
    assert_eq!(ops(out), [(Op::Create, 1)]);
    let alone = Told {
        versions: Runs::of(1, 1),
        ..Told::default()
    };
    assert_eq!(told, alone, "of others nothing is entered either");
    assert_eq!(
        counters.read(),
        (1, 0, Vec::new()),
        "nothing counts as withheld by it"
    );
}

#[test]
fn what_becomes_another_patients_goes_from_an_emergency_access() {
    let gone = batch(&[moved(&amendment(1, 10), of_another(1))]);
    assert_eq!(
        ops(out_under(ACCESS, &opened(), &gone, For::Live)),
        [(Op::Remove, 1)]
    );
    let come = batch(&[moved(&of_another(1), amendment(1, 10))]);
    assert_eq!(
        ops(out_under(ACCESS, &opened(), &come, For::Live)),
        [(Op::Amend, 1)]
    );
    // The agreement's feed sees to it that what the access let through goes.
    assert_eq!(ops(out(&opened(), &gone, For::Live)), [(Op::Remove, 1)]);
}

#[test]
fn what_another_grant_carries_on_is_left_to_it() {
    let mut both_carry = opened();
    both_carry = both_carry.with_pair(pair(), both());
    let gone = batch(&[moved(&amendment(1, 10), of_another(1))]);
    // Under another patient it is not left to it: the agreement's feed may be far behind, and what it comes to
    // send may be a later version, or none. Where it has brought this one, the recipient keeps that.
    assert_eq!(
        ops(out_under(ACCESS, &both_carry, &gone, For::Live)),
        [(Op::Remove, 1)]
    );
    assert_eq!(ops(out(&both_carry, &gone, For::Live)), [(Op::Amend, 1)]);
    // Of the same patient, what only the access carries now.
    let observations = Scope {
        categories: CategorySet::NONE.with(Category::Observations),
        ..Scope::EVERYTHING
    };
    let share_in = HalfTerms {
        scope: observations,
        ..HalfTerms::ON
    };
    let narrow = opened().with_pair(pair(), PairTerms { share_in, ..both() });
    let mut turned = moved(&amendment(1, 10), amendment(1, 10));
    turned.subject = turned.subject.map(|s| Subject {
        category: Category::Allergies,
        ..s
    });
    let turned = batch(&[turned]);
    assert_eq!(ops(out(&narrow, &turned, For::Live)), []);
    assert_eq!(
        ops(out_under(ACCESS, &narrow, &turned, For::Live)),
        [(Op::Amend, 1)]
    );
}

#[test]
fn what_may_be_held_of_former_terms_goes_as_a_removal() {
    let mut turned = moved(&amendment(1, 10), amendment(1, 10));
    turned.subject = turned.subject.map(|s| Subject {
        category: Category::Allergies,
        ..s
    });
    let turned = batch(&[turned]);
    let nothing = Scope {
        categories: CategorySet::NONE,
        ..Scope::EVERYTHING
    };
    let share_out = HalfTerms {
        scope: nothing,
        ..HalfTerms::ON
    };
    let narrowed = book(PairTerms { share_out, ..both() });
    assert_eq!(ops(out(&narrowed, &turned, For::Live)), []);
    let before = Terms::of(&both(), Policy::UnlessDissented);
    let narrowed = narrowed.with_former_terms(pair(), &[before]);
    assert_eq!(ops(out(&narrowed, &turned, For::Live)), [(Op::Remove, 1)]);
}

/// The job that follows from the change would look at the version before, which this amendment takes out of its
/// hands.
#[test]
fn what_is_amended_before_its_job_comes_to_it_goes_as_a_removal() {
    let mut again = amendment(1, 10);
    again.op = Op::Amend;
    let again = batch(&[again, amendment(2, 10)]);
    let share_in = HalfTerms {
        requires_explicit: true,
        ..HalfTerms::ON
    };
    let narrowed = book(PairTerms { share_in, ..both() });
    assert_eq!(
        ops(out(&narrowed, &again, For::Live)),
        [],
        "nobody holds anything of it"
    );
    let before = Terms::of(&both(), Policy::UnlessDissented);
    let narrowed = narrowed.with_former_terms(pair(), &[before]);
    assert_eq!(ops(out(&narrowed, &again, For::Live)), [(Op::Remove, 1)]);
    let accessed = narrowed.with_emergency(ACCESS, opened().of_pair(pair())[0].1);
    assert_eq!(
        ops(out(&accessed, &again, For::Live)),
        [],
        "another grant carries it"
    );
}

#[test]
fn a_payload_that_was_erased_never_goes() {
    let mut erased = amendment(1, 10);
    erased.payload = vec![0; 10].into();
    let erased = batch(&[erased]);
    for what_for in [For::Live, For::Sweep] {
        assert_eq!(ops(out(&book(both()), &erased, what_for)), []);
    }
    let mut moved_away = moved(&amendment(1, 10), of_another(1));
    moved_away.payload = vec![0; 10].into();
    let moved_away = batch(&[moved_away]);
    let removed = ops(out(&book(both()), &moved_away, For::Live));
    assert_eq!(
        removed,
        [(Op::Remove, 1)],
        "what comes in its place is asked for again"
    );
}

#[test]
fn only_the_first_decision_of_the_live_feed_counts() {
    let counters = PairCounters::default();
    let mixed = batch(&[amendment(1, 10), private(2)]);
    let book = book(both());
    let carrier = book.carrier(pair(), GrantId(1)).unwrap();
    let gate = Gate::new(&book, pair(), GrantId(1), &carrier, 0);
    for what_for in [For::Live, For::Live, For::Sweep] {
        gate.pass(&mixed, Mask::beyond(&mixed, 0), what_for, &counters);
    }
    assert_eq!(counters.read().2, [(Reason::PrivateEntry, 1)]);
}
