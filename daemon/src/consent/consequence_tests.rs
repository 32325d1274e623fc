//! What follows from changes, on a book of three units.

use handfast_proto::{amendment::Category, ids::NhsNumber};

use super::{
    agreement::{CategorySet, GrantId, HalfTerms, Pair, Patients, Scope, Side},
    book::{Book, PairTerms},
    carrier::Terms,
    consequence::{Difference, categories, of_patient, of_terms, of_terms_in_emergency, pairs_of_patient},
    gate::Standing,
    patient::{PatientWord, Policy},
    patients::Facts,
    sample::{book, on, opened, pair, patient, said, unit},
};

const NOTHING: Difference = Difference {
    touches: false,
    ends: false,
};
const BEGINS: Difference = Difference {
    touches: true,
    ends: false,
};
const ENDS: Difference = Difference {
    touches: true,
    ends: true,
};

fn touched(before: &Book, after: &Book, at: u8, whose: usize) -> Vec<(Pair, NhsNumber, Difference)> {
    pairs_of_patient(before, after, &[unit(at)], patient(whose), 0)
}

fn narrowed(scope: Scope) -> Terms {
    let half = HalfTerms {
        scope,
        ..HalfTerms::ON
    };
    Terms::of(
        &PairTerms {
            share_in: half,
            ..on(1)
        },
        Policy::UnlessDissented,
    )
}

#[test]
fn a_dissent_ends_what_goes_from_its_unit_or_comes_to_it() {
    let before = book();
    let out = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
    let of_first = patient(0);
    assert_eq!(
        touched(&before, &out, 1, 0),
        [(pair(1, 2), of_first, ENDS), (pair(1, 3), of_first, ENDS)]
    );
    let into = said(&before, 1, 0, Side::ShareIn, PatientWord::No);
    assert_eq!(touched(&before, &into, 1, 0), [(pair(2, 1), of_first, ENDS)]);
    assert_eq!(touched(&out, &before, 1, 0)[0].2, BEGINS, "the other way round");
}

#[test]
fn what_is_said_while_a_side_is_suspended_counts_once_that_is_over() {
    for suspended in [1, 2] {
        let before = book().with_unit(unit(suspended), Standing::Suspended);
        let no = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
        let to_second = (pair(1, 2), patient(0), ENDS);
        assert!(touched(&before, &no, 1, 0).contains(&to_second));
    }
    let before = book().with_unit(unit(1), Standing::NotEnrolled);
    let no = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
    assert_eq!(touched(&before, &no, 1, 0), [], "it has left for good");
}

#[test]
fn a_yes_counts_only_where_one_is_asked_for() {
    let before = book();
    let yes = said(&before, 1, 0, Side::ShareOut, PatientWord::Yes);
    assert_eq!(touched(&before, &yes, 1, 0), []);
    let explicit = before.with_policy(Policy::Explicit);
    let yes = said(&explicit, 1, 0, Side::ShareOut, PatientWord::Yes);
    assert_eq!(
        touched(&explicit, &yes, 1, 0),
        [],
        "the recipient's side is missing"
    );
    let both = said(&yes, 2, 0, Side::ShareIn, PatientWord::Yes);
    assert_eq!(touched(&yes, &both, 2, 0), [(pair(1, 2), patient(0), BEGINS)]);
}

#[test]
fn a_word_reaches_every_number_that_a_side_said_is_the_patients() {
    let joined = book().with_joined(unit(1), patient(0), patient(1));
    let no = said(&joined, 1, 1, Side::ShareOut, PatientWord::No);
    let numbers: Vec<NhsNumber> = touched(&joined, &no, 1, 1).iter().map(|(_, n, _)| *n).collect();
    assert_eq!(numbers, [patient(0), patient(1), patient(0), patient(1)]);
    // The source knows that both are one patient's, whatever the recipient knows.
    let no = said(&joined, 2, 1, Side::ShareIn, PatientWord::No);
    let numbers: Vec<NhsNumber> = touched(&joined, &no, 2, 1).iter().map(|(_, n, _)| *n).collect();
    assert_eq!(numbers, [patient(0), patient(1)]);
    // Joining alone carries a dissent over.
    let apart = said(&book(), 1, 1, Side::ShareOut, PatientWord::No);
    let joined = apart.with_joined(unit(1), patient(0), patient(1));
    assert_eq!(touched(&apart, &joined, 1, 0)[0], (pair(1, 2), patient(0), ENDS));
}

#[test]
fn what_may_be_held_of_former_terms_is_looked_at_too() {
    let narrow = Scope {
        categories: CategorySet::NONE,
        ..Scope::EVERYTHING
    };
    let half = HalfTerms {
        scope: narrow,
        ..HalfTerms::ON
    };
    let before = book().with_pair(
        pair(1, 2),
        PairTerms {
            share_out: half,
            ..on(1)
        },
    );
    let no = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
    assert_eq!(of_patient(&before, &no, pair(1, 2), patient(0), 0), NOTHING);
    let everything = Terms::of(&on(1), Policy::UnlessDissented);
    let nothing = Terms::of(&before.terms(pair(1, 2)), Policy::UnlessDissented);
    // Any one of them suffices, whatever the others say.
    for (former, expected) in [
        (vec![everything], BEGINS),
        (vec![nothing, everything], BEGINS),
        (vec![nothing], NOTHING),
    ] {
        let before = before.with_former_terms(pair(1, 2), &former);
        let no = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
        assert_eq!(of_patient(&before, &no, pair(1, 2), patient(0), 0), expected);
    }
}

#[test]
fn an_emergency_keeps_what_only_the_recipients_side_ends() {
    let before = book().with_emergency(GrantId(9), opened(pair(1, 2), 0));
    let into = said(&before, 2, 0, Side::ShareIn, PatientWord::No);
    assert_eq!(of_patient(&before, &into, pair(1, 2), patient(0), 5), NOTHING);
    assert_eq!(of_patient(&before, &into, pair(1, 2), patient(0), 10), ENDS);
    let out = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
    assert_eq!(of_patient(&before, &out, pair(1, 2), patient(0), 5), ENDS);
}

#[test]
fn every_category_is_looked_at_and_one_alone_counts() {
    let all: Vec<Category> = categories().collect();
    assert_eq!(
        (all[0], all.len()),
        (Category::Demographics, Category::Other as usize)
    );
    for category in all {
        let scope = Scope {
            categories: CategorySet::NONE.with(category),
            ..Scope::EVERYTHING
        };
        let half = HalfTerms {
            scope,
            ..HalfTerms::ON
        };
        let terms = PairTerms {
            share_out: half,
            ..on(1)
        };
        let before = book().with_pair(pair(1, 2), terms);
        let no = said(&before, 1, 0, Side::ShareOut, PatientWord::No);
        let difference = of_patient(&before, &no, pair(1, 2), patient(0), 0);
        assert_eq!(difference, ENDS, "{category:?}");
    }
}

#[test]
fn a_pair_that_has_only_an_emergency_is_reached_from_either_side() {
    let source_alone = PairTerms {
        share_in: HalfTerms::OFF,
        grant: None,
        ..on(4)
    };
    let before = book()
        .with_pair(pair(3, 2), source_alone)
        .with_emergency(GrantId(9), opened(pair(3, 2), 0));
    let no = said(&before, 3, 0, Side::ShareOut, PatientWord::No);
    let ends = [(pair(3, 2), patient(0), ENDS)];
    assert_eq!(touched(&before, &no, 3, 0), ends, "from the source");
    assert_eq!(touched(&before, &no, 2, 0), ends, "from the recipient");
    assert_eq!(
        touched(&before, &no, 1, 0),
        [],
        "from a unit that is no part of it"
    );
}

#[test]
fn a_caseload_counts_where_a_half_asks_for_it() {
    let facts = |facts: Facts| Facts {
        claimed: true,
        ..facts
    };
    let plain = book();
    let claimed = plain.with_facts(unit(2), [patient(0)], facts);
    assert_eq!(touched(&plain, &claimed, 2, 0), []);
    let scope = Scope {
        patients: Patients::Caseload,
        ..Scope::EVERYTHING
    };
    let half = HalfTerms {
        scope,
        ..HalfTerms::ON
    };
    let asked = plain.with_pair(
        pair(1, 2),
        PairTerms {
            share_out: half,
            ..on(1)
        },
    );
    let claimed = asked.with_facts(unit(2), [patient(0)], facts);
    assert_eq!(
        touched(&asked, &claimed, 2, 0),
        [(pair(1, 2), patient(0), BEGINS)]
    );
}

#[test]
fn terms_are_narrower_wider_or_the_same() {
    let everything = narrowed(Scope::EVERYTHING);
    let allergies = narrowed(Scope {
        categories: CategorySet::NONE.with(Category::Allergies),
        ..Scope::EVERYTHING
    });
    let problems = narrowed(Scope {
        categories: CategorySet::NONE.with(Category::Problems),
        ..Scope::EVERYTHING
    });
    let caseload = narrowed(Scope {
        patients: Patients::Caseload,
        ..Scope::EVERYTHING
    });
    for narrow in [allergies, caseload] {
        assert_eq!(of_terms(&everything, &narrow), ENDS);
        assert_eq!(of_terms(&narrow, &everything), BEGINS);
        assert_eq!(of_terms(&narrow, &narrow), NOTHING);
    }
    assert_eq!(of_terms(&allergies, &problems), ENDS);
    let explicit = Terms {
        policy: Policy::Explicit,
        ..everything
    };
    assert_eq!(of_terms(&everything, &explicit), ENDS);
    assert_eq!(of_terms(&explicit, &everything), BEGINS);
    let mut ending = everything;
    ending.share_in.ends_at = Some(5);
    assert_eq!(
        of_terms(&everything, &ending),
        NOTHING,
        "an end is a change of its own"
    );
}

#[test]
fn a_half_that_asks_for_a_yes_anyway_is_not_touched_by_the_policy() {
    let asks = HalfTerms {
        requires_explicit: true,
        ..HalfTerms::ON
    };
    let pair = PairTerms {
        share_out: asks,
        share_in: asks,
        ..on(1)
    };
    let (unless, explicit) = (
        Terms::of(&pair, Policy::UnlessDissented),
        Terms::of(&pair, Policy::Explicit),
    );
    assert_eq!(of_terms(&unless, &explicit), NOTHING);
}

#[test]
fn of_terms_only_the_sources_categories_and_yes_hold_in_an_emergency() {
    let everything = narrowed(Scope::EVERYTHING);
    let into = narrowed(Scope {
        categories: CategorySet::NONE,
        patients: Patients::Caseload,
    });
    assert_eq!(of_terms_in_emergency(&everything, &into), NOTHING);
    let mut out = everything;
    out.share_out.scope.patients = Patients::Caseload;
    assert_eq!(of_terms_in_emergency(&everything, &out), NOTHING);
    out.share_out.scope.categories = CategorySet::NONE;
    assert_eq!(of_terms_in_emergency(&everything, &out), ENDS);
    let explicit = Terms {
        policy: Policy::Explicit,
        ..everything
    };
    assert_eq!(of_terms_in_emergency(&everything, &explicit), ENDS);
    let asks = |mut terms: Terms| {
        terms.share_out.requires_explicit = true;
        terms
    };
    assert_eq!(
        of_terms_in_emergency(&asks(everything), &asks(explicit)),
        NOTHING,
        "the source's half asks for a yes anyway, and the recipient's does not count"
    );
}

/// Fails where what stands under any of the former terms is taken together: then nothing follows from a yes that comes
/// between two changes, of which the first takes away and the second is to bring back.
#[test]
fn each_of_the_former_terms_counts_by_itself() {
    let plain = Terms::of(&on(1), Policy::UnlessDissented);
    let explicit = Terms::of(&on(1), Policy::Explicit);
    let pending = book().with_former_terms(pair(1, 2), &[plain, explicit]);
    let yes = said(&pending, 1, 0, Side::ShareOut, PatientWord::Yes);
    let agreed = said(&yes, 2, 0, Side::ShareIn, PatientWord::Yes);
    assert!(of_patient(&yes, &agreed, pair(1, 2), patient(0), 0).touches);
    let through = agreed.with_former_terms(pair(1, 2), &[plain]);
    assert!(!of_patient(&yes, &through, pair(1, 2), patient(0), 0).touches);
}
