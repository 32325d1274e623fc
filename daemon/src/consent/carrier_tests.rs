//! What carries amendments, asked for patients of whom something is known.

use super::{
    agreement::{GrantId, HalfTerms, Patients, Scope, Side},
    book::{Book, PairTerms},
    carrier::{Carrier, Terms},
    gate::{Decision, Reason},
    patient::{PatientWord, Policy},
    patients::Facts,
    sample::{allergy, book, on, opened, pair, patient, said, unit},
};

/// In the midst of an emergency access.
const NOW: i64 = 5;
/// When an emergency access is over.
const OVER: i64 = 10;

fn agreement(book: &Book) -> Carrier<'_> {
    book.carrier(pair(1, 2), GrantId(1)).unwrap()
}

fn decided(book: &Book, whose: usize) -> Decision {
    agreement(book).decide(&allergy(whose), NOW)
}

/// The book with an emergency access to the first patient.
fn in_emergency(book: &Book) -> Book {
    book.with_emergency(GrantId(9), opened(pair(1, 2), 0))
}

fn decided_in_emergency(book: &Book, whose: usize, now: i64) -> Decision {
    let book = in_emergency(book);
    let carrier = book.carrier(pair(1, 2), GrantId(9)).unwrap();
    carrier.decide(&allergy(whose), now)
}

const OUT: Decision = Decision::Withhold(Reason::PatientDissentOut);
const IN: Decision = Decision::Withhold(Reason::PatientDissentIn);
const NOT_THEIRS: Decision = Decision::Withhold(Reason::EmergencyOver);

#[test]
fn each_side_is_asked_for_the_patients_word_about_it_alone() {
    for (at, side, expected) in [
        (1, Side::ShareOut, OUT),
        (1, Side::ShareIn, Decision::Forward),
        (2, Side::ShareIn, IN),
        (2, Side::ShareOut, Decision::Forward),
    ] {
        let book = said(&book(), at, 0, side, PatientWord::No);
        assert_eq!(decided(&book, 0), expected, "{side:?} at {at}");
        assert_eq!(decided(&book, 1), Decision::Forward, "another patient");
    }
}

#[test]
fn a_dissent_under_one_number_holds_for_all_that_the_source_or_the_side_itself_joined() {
    let out = said(&book(), 1, 0, Side::ShareOut, PatientWord::No);
    let into = said(&book(), 2, 0, Side::ShareIn, PatientWord::No);
    let joined = |book: &Book, at| book.with_joined(unit(at), patient(0), patient(1));
    assert_eq!(decided(&joined(&out, 1), 1), OUT);
    assert_eq!(decided(&joined(&into, 1), 1), IN);
    assert_eq!(decided(&joined(&into, 2), 1), IN);
    assert_eq!(
        decided(&joined(&out, 2), 1),
        Decision::Forward,
        "only the source says whose what it recorded is"
    );
    let yes = said(&joined(&out, 1), 1, 1, Side::ShareOut, PatientWord::Yes);
    assert_eq!(
        decided(&yes, 1),
        OUT,
        "a yes under its own number does not undo it"
    );
}

#[test]
fn a_yes_holds_under_its_own_number_alone() {
    let explicit = book().with_policy(Policy::Explicit);
    let out = said(&explicit, 1, 0, Side::ShareOut, PatientWord::Yes);
    let both = said(&out, 2, 0, Side::ShareIn, PatientWord::Yes);
    let joined = both.with_joined(unit(1), patient(0), patient(1));
    assert_eq!(decided(&joined, 0), Decision::Forward);
    let not_agreed = Decision::Withhold(Reason::PatientNotAgreedOut);
    assert_eq!(decided(&joined, 1), not_agreed);
}

#[test]
fn an_emergency_access_follows_its_patient_to_the_number_that_theirs_became() {
    let (at_source, at_recipient) = (
        book().with_joined(unit(1), patient(0), patient(1)),
        book().with_joined(unit(2), patient(0), patient(1)),
    );
    assert_eq!(decided_in_emergency(&at_source, 0, NOW), Decision::Forward);
    assert_eq!(decided_in_emergency(&at_source, 1, NOW), Decision::Forward);
    assert_eq!(decided_in_emergency(&at_source, 2, NOW), NOT_THEIRS);
    assert_eq!(decided_in_emergency(&at_recipient, 1, NOW), NOT_THEIRS);
    let book = in_emergency(&book());
    let concerns = |grant, whose| {
        let carrier = book.carrier(pair(1, 2), GrantId(grant)).unwrap();
        carrier.concerns(&allergy(whose))
    };
    assert!(concerns(9, 0) && !concerns(9, 1));
    assert!(concerns(1, 0) && concerns(1, 1), "an agreement is for everyone");
}

#[test]
fn an_emergency_access_opens_nobody_whose_number_was_used_by_mistake() {
    // 1 was entered for 0, by mistake, and is somebody else's.
    let corrected = book().with_joined(unit(1), patient(1), patient(0));
    let another = corrected.with_facts(unit(1), [patient(1)], |facts| Facts {
        recorded: true,
        ..facts
    });
    for book in [&corrected, &another] {
        assert_eq!(decided_in_emergency(book, 0, NOW), Decision::Forward);
        assert_eq!(decided_in_emergency(book, 1, NOW), NOT_THEIRS);
    }
    let of_the_other = another.with_emergency(GrantId(9), opened(pair(1, 2), 1));
    let carrier = of_the_other.carrier(pair(1, 2), GrantId(9)).unwrap();
    assert!(carrier.concerns(&allergy(1)) && !carrier.concerns(&allergy(0)));
    // Yet a dissent under either holds for both.
    let no = said(&another, 1, 1, Side::ShareOut, PatientWord::No);
    assert_eq!(decided(&no, 0), OUT);
}

#[test]
fn an_emergency_access_that_is_over_carries_nothing_whatever_the_agreement_lets_through() {
    assert_eq!(decided(&book(), 0), Decision::Forward);
    assert_eq!(decided_in_emergency(&book(), 0, OVER - 1), Decision::Forward);
    assert_eq!(decided_in_emergency(&book(), 0, OVER), NOT_THEIRS);
}

#[test]
fn an_emergency_access_waives_what_the_recipients_side_asks_and_not_a_dissent_at_the_source() {
    let into = said(&book(), 2, 0, Side::ShareIn, PatientWord::No);
    assert_eq!(decided_in_emergency(&into, 0, NOW), Decision::Forward);
    let out = said(&book(), 1, 0, Side::ShareOut, PatientWord::No);
    assert_eq!(decided_in_emergency(&out, 0, NOW), OUT);
    let joined = out.with_joined(unit(1), patient(0), patient(1));
    assert_eq!(
        decided_in_emergency(&joined, 1, NOW),
        OUT,
        "under the other number"
    );
}

#[test]
fn a_half_for_the_caseload_asks_for_the_recipients_whoever_set_it() {
    let narrow = HalfTerms {
        scope: Scope {
            patients: Patients::Caseload,
            ..Scope::EVERYTHING
        },
        ..HalfTerms::ON
    };
    let (out, into) = (
        PairTerms {
            share_out: narrow,
            ..on(1)
        },
        PairTerms {
            share_in: narrow,
            ..on(1)
        },
    );
    let both = PairTerms {
        share_out: narrow,
        ..into
    };
    for terms in [out, into, both] {
        let book = book().with_pair(pair(1, 2), terms);
        let held = |at, facts| decided(&book.with_facts(unit(at), [patient(0)], move |_| facts), 0);
        let (recorded, claimed) = (
            Facts {
                recorded: true,
                ..Facts::default()
            },
            Facts {
                claimed: true,
                ..Facts::default()
            },
        );
        let not_on_it = Decision::Withhold(Reason::NotOnCaseload);
        assert_eq!(decided(&book, 0), not_on_it);
        assert_eq!([held(2, recorded), held(2, claimed)], [Decision::Forward; 2]);
        assert_eq!(held(1, recorded), not_on_it, "the source's caseload");
    }
}

#[test]
fn terms_without_end_are_the_same_but_for_their_ends() {
    let ending = HalfTerms {
        ends_at: Some(NOW),
        requires_explicit: true,
        ..HalfTerms::ON
    };
    let open = HalfTerms {
        ends_at: None,
        ..ending
    };
    let of = |half| {
        let pair = PairTerms {
            share_out: half,
            share_in: half,
            grant: None,
        };
        Terms::of(&pair, Policy::Explicit)
    };
    assert_eq!(of(ending).without_end(), of(open));
}
