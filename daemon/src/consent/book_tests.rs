//! What a book says of a deployment, and what each change of it changes and leaves.

use std::{collections::BTreeSet, sync::Arc};

use handfast_proto::ids::OdsCode;

use super::{
    agreement::{GrantId, HalfTerms, Pair, Side},
    book::{Book, PairTerms},
    carrier::Terms,
    gate::Standing,
    patient::{PatientWord, Policy},
    patients::{Facts, UnitPatients},
    sample::{book, on, opened, pair, patient, said, unit},
};

const CLAIMED: Facts = Facts {
    share_out: PatientWord::NotRecorded,
    share_in: PatientWord::NotRecorded,
    recorded: false,
    claimed: true,
};

fn without_grant() -> PairTerms {
    PairTerms { grant: None, ..on(1) }
}

fn units<const N: usize>(numbers: [u8; N]) -> Arc<[OdsCode]> {
    numbers.map(unit).into()
}

fn grants(book: &Book) -> BTreeSet<GrantId> {
    book.emergencies().map(|(grant, _)| grant).collect()
}

#[test]
fn each_change_raises_the_epoch() {
    let before = book().with_unit(unit(3), Standing::Suspended);
    let terms = Terms::of(&on(1), Policy::UnlessDissented);
    let changes = [
        before.with_patients(unit(1), UnitPatients::default()),
        before.with_pair(pair(1, 2), without_grant()),
        before.with_unit(unit(1), Standing::Suspended),
        before.with_facts(unit(1), [patient(0)], |_| CLAIMED),
        before.with_joined(unit(1), patient(0), patient(1)),
        before.with_policy(Policy::Explicit),
        before.with_emergency(GrantId(9), opened(pair(1, 2), 0)),
        before.without_emergency(pair(1, 2), GrantId(9)),
        before.with_former_terms(pair(1, 2), &[terms]),
        before.closed(pair(1, 2)),
        book().following(&before),
    ];
    assert_eq!((book().epoch(), before.epoch()), (0, 1));
    for (nth, after) in changes.iter().enumerate() {
        assert!(after.epoch() > before.epoch(), "change {nth}");
    }
}

#[test]
fn a_book_read_from_the_store_brings_what_the_store_has() {
    let before = book().with_policy(Policy::Explicit);
    let read = Book::new(Policy::UnlessDissented, [], [(pair(3, 1), on(4))]).following(&before);
    assert_eq!(read.policy(), Policy::UnlessDissented);
    assert_eq!(read.pairs().collect::<Vec<_>>(), [(pair(3, 1), on(4))]);
}

#[test]
fn a_change_of_the_policy_leaves_the_rest() {
    let after = book().with_policy(Policy::Explicit);
    assert_eq!(
        (book().policy(), after.policy()),
        (Policy::UnlessDissented, Policy::Explicit)
    );
    assert_eq!(after.terms(pair(1, 2)), on(1));
    assert_eq!(after.standing(unit(1)), Standing::Enrolled);
}

#[test]
fn a_unit_that_is_not_in_the_book_is_not_enrolled_and_a_pair_that_is_not_has_both_halves_off() {
    let book = book().with_unit(unit(2), Standing::Suspended);
    let standings = [1, 2, 4].map(|n| book.standing(unit(n)));
    assert_eq!(
        standings,
        [Standing::Enrolled, Standing::Suspended, Standing::NotEnrolled]
    );
    let none = book.terms(pair(3, 1));
    assert_eq!(
        (none.share_out, none.share_in, none.grant),
        (HalfTerms::OFF, HalfTerms::OFF, None)
    );
}

#[test]
fn the_lists_hold_in_order_who_has_a_grant_in_force() {
    let halves_only = [(pair(3, 2), without_grant()), (pair(3, 1), on(4))];
    let pairs = [(pair(1, 3), on(1)), (pair(1, 2), on(2)), (pair(2, 3), on(3))];
    let book = Book::new(Policy::UnlessDissented, [], pairs.into_iter().chain(halves_only));
    assert_eq!(book.recipients_of(unit(1)), units([2, 3]));
    assert_eq!(book.recipients_of(unit(3)), units([1]), "no grant towards 2");
    assert_eq!(book.recipients_of(unit(4)), units([]));
    assert_eq!(book.sources_to(unit(3)), units([1, 2]));
    assert_eq!(book.sources_to(unit(2)), units([1]));
    assert_eq!(book.sources_to(unit(4)), units([]));
}

#[test]
fn a_grant_that_begins_enters_both_lists_once_and_one_that_ends_leaves_both() {
    let before = book();
    let begun = before.with_pair(pair(3, 2), on(5)).with_pair(pair(3, 2), on(6));
    assert_eq!(begun.recipients_of(unit(3)), units([2]));
    assert_eq!(begun.sources_to(unit(2)), units([1, 3]));
    let ended = begun.with_pair(pair(1, 2), without_grant());
    assert_eq!(ended.recipients_of(unit(1)), units([3]));
    assert_eq!(ended.sources_to(unit(2)), units([3]));
    assert_eq!(ended.terms(pair(1, 2)), without_grant());
    assert_eq!(
        before.recipients_of(unit(1)),
        units([2, 3]),
        "the book before stays"
    );
}

#[test]
fn a_closed_pair_keeps_its_halves_and_has_neither_grant_nor_emergency() {
    let before = book()
        .with_emergency(GrantId(8), opened(pair(1, 2), 0))
        .with_emergency(GrantId(9), opened(pair(1, 3), 0));
    let closed = before.closed(pair(1, 2));
    assert_eq!(closed.terms(pair(1, 2)), without_grant());
    assert_eq!(closed.recipients_of(unit(1)), units([3]));
    assert_eq!(grants(&closed), BTreeSet::from([GrantId(9)]));
}

#[test]
fn emergency_accesses_are_there_from_their_begin_until_they_are_ended() {
    let (first, second) = (opened(pair(1, 2), 0), opened(pair(1, 2), 1));
    let both = book()
        .with_emergency(GrantId(8), first)
        .with_emergency(GrantId(9), second)
        .with_emergency(GrantId(9), second);
    assert_eq!(
        both.of_pair(pair(1, 2)),
        [(GrantId(8), first), (GrantId(9), second)]
    );
    assert_eq!(both.of_pair(pair(2, 1)), []);
    assert_eq!(grants(&both), BTreeSet::from([GrantId(8), GrantId(9)]));
    let one = both.without_emergency(pair(1, 2), GrantId(8));
    assert_eq!(one.of_pair(pair(1, 2)), [(GrantId(9), second)]);
    let none = one.without_emergency(pair(1, 2), GrantId(9));
    assert_eq!(grants(&none), BTreeSet::new());
}

#[test]
fn former_terms_are_there_until_every_change_is_through() {
    let terms = Terms::of(&on(1), Policy::UnlessDissented);
    let with = book().with_former_terms(pair(1, 2), &[terms]);
    let pairs = |book: &Book| -> Vec<Pair> { book.pairs_with_former_terms().collect() };
    assert_eq!(with.former_terms(pair(1, 2)), [terms]);
    assert_eq!(with.former_terms(pair(1, 3)), []);
    assert_eq!(pairs(&with), [pair(1, 2)]);
    assert_eq!(pairs(&with.with_former_terms(pair(1, 2), &[])), []);
}

#[test]
fn what_is_known_of_a_patient_is_known_at_one_unit_under_one_number() {
    let mut known = UnitPatients::default();
    known.set(patient(0), CLAIMED);
    let book = book().with_patients(unit(2), known);
    assert_eq!(book.facts(unit(2), patient(0)), CLAIMED);
    assert_eq!(book.facts(unit(2), patient(1)), Facts::default());
    assert_eq!(book.facts(unit(1), patient(0)), Facts::default());
    assert!(book.patients(unit(2)).is_some() && book.patients(unit(1)).is_none());
}

#[test]
fn who_dissents_under_one_number_dissents_under_every_other_that_the_unit_said_is_theirs() {
    let no = said(&book(), 1, 0, Side::ShareOut, PatientWord::No);
    let joined = no.with_joined(unit(1), patient(0), patient(1));
    assert!(no.dissents(unit(1), patient(0)) && !no.dissents(unit(1), patient(1)));
    assert!(joined.dissents(unit(1), patient(0)) && joined.dissents(unit(1), patient(1)));
    assert!(!joined.dissents(unit(1), patient(2)) && !joined.dissents(unit(2), patient(0)));
    let into = said(&book(), 1, 0, Side::ShareIn, PatientWord::No);
    assert!(!into.dissents(unit(1), patient(0)), "about what others recorded");
    let yes = said(&book(), 1, 0, Side::ShareOut, PatientWord::Yes);
    assert!(!yes.dissents(unit(1), patient(0)));
}

#[test]
fn a_patient_has_other_numbers_wherever_a_unit_said_so_and_nobody_else_has() {
    let joined = book().with_joined(unit(2), patient(0), patient(1));
    assert!(!book().has_other_numbers(patient(0)));
    assert!(joined.has_other_numbers(patient(0)) && joined.has_other_numbers(patient(1)));
    assert!(!joined.has_other_numbers(patient(2)));
}
