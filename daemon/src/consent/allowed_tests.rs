//! Which messages may still go, and what a recipient may be sent or may hold.

use super::{
    agreement::{CategorySet, GrantId, HalfTerms, Scope, Side},
    allowed::Verdict,
    book::{Book, PairTerms},
    carrier::Terms,
    gate::{Decision, Reason, Standing},
    patient::{PatientWord, Policy},
    sample::{allergy, book, on, opened, pair, said, unit},
};

/// In the midst of an emergency access.
const NOW: i64 = 5;
/// When an emergency access is over.
const OVER: i64 = 10;

/// Its only grant is an emergency access to the first patient.
fn only_an_emergency() -> Book {
    let off = PairTerms {
        share_in: HalfTerms::OFF,
        grant: None,
        ..on(1)
    };
    let book = book().with_pair(pair(1, 2), off);
    book.with_emergency(GrantId(9), opened(pair(1, 2), 0))
}

fn unless_dissented(pair: PairTerms) -> Terms {
    Terms::of(&pair, Policy::UnlessDissented)
}

#[test]
fn a_message_goes_as_long_as_its_own_grant_is_in_force() {
    let book = book().with_emergency(GrantId(9), opened(pair(1, 2), 0));
    let verdict = |source, recipient, grant| book.verdict(pair(source, recipient), GrantId(grant));
    assert_eq!(verdict(1, 2, 1), Verdict::InForce);
    assert_eq!(verdict(1, 2, 9), Verdict::InForce, "an emergency access");
    assert_eq!(verdict(1, 2, 2), Verdict::Ended, "another pair's grant");
    assert_eq!(
        verdict(1, 3, 9),
        Verdict::Ended,
        "another pair's emergency access"
    );
    assert_eq!(verdict(3, 1, 1), Verdict::Ended, "no agreement");
}

#[test]
fn a_message_waits_while_a_side_takes_no_part() {
    for (who, standing) in [
        (1, Standing::Suspended),
        (2, Standing::Suspended),
        (1, Standing::NotEnrolled),
        (2, Standing::NotEnrolled),
    ] {
        let book = book().with_unit(unit(who), standing);
        assert_eq!(book.verdict(pair(1, 2), GrantId(1)), Verdict::Paused);
        assert_eq!(book.verdict(pair(1, 2), GrantId(7)), Verdict::Ended);
    }
}

#[test]
fn nothing_carries_a_message_of_a_grant_that_has_ended() {
    let book = book();
    assert!(book.carrier(pair(1, 2), GrantId(1)).is_some());
    assert!(book.carrier(pair(1, 2), GrantId(2)).is_none());
    assert!(book.carrier(pair(3, 1), GrantId(1)).is_none());
}

#[test]
fn each_grant_carries_what_its_own_terms_let_through() {
    let book = book()
        .with_emergency(GrantId(9), opened(pair(1, 2), 0))
        .with_emergency(GrantId(10), opened(pair(1, 2), 1));
    let said = |grant, whose| {
        let carrier = book.carrier(pair(1, 2), GrantId(grant)).unwrap();
        carrier.decide(&allergy(whose), NOW)
    };
    assert_eq!([said(1, 0), said(1, 2)], [Decision::Forward; 2]);
    assert_eq!([said(9, 0), said(10, 1)], [Decision::Forward; 2]);
    let not_theirs = Decision::Withhold(Reason::EmergencyOver);
    assert_eq!([said(9, 1), said(10, 0), said(9, 2)], [not_theirs; 3]);
}

#[test]
fn an_amendment_is_allowed_if_any_grant_lets_it_through() {
    let emergency = only_an_emergency();
    assert!(book().allows(pair(1, 2), &allergy(0), NOW));
    assert!(!book().allows(pair(3, 1), &allergy(0), NOW));
    assert!(emergency.allows(pair(1, 2), &allergy(0), NOW));
    assert!(!emergency.allows(pair(1, 2), &allergy(1), NOW), "another patient");
    assert!(!emergency.allows(pair(1, 2), &allergy(0), OVER));
    let into = said(&book(), 2, 0, Side::ShareIn, PatientWord::No);
    assert!(!into.allows(pair(1, 2), &allergy(0), NOW));
    let both = into.with_emergency(GrantId(9), opened(pair(1, 2), 0));
    assert!(both.allows(pair(1, 2), &allergy(0), NOW));
}

#[test]
fn a_suspension_hides_what_is_allowed_and_leaving_ends_it() {
    for who in [1, 2] {
        let suspended = book().with_unit(unit(who), Standing::Suspended);
        assert!(!suspended.allows(pair(1, 2), &allergy(0), NOW));
        assert!(suspended.allows_but_for_suspension(pair(1, 2), &allergy(0), NOW));
        let no = said(&suspended, 1, 0, Side::ShareOut, PatientWord::No);
        assert!(!no.allows_but_for_suspension(pair(1, 2), &allergy(0), NOW));
        let left = book().with_unit(unit(who), Standing::NotEnrolled);
        assert!(!left.allows_but_for_suspension(pair(1, 2), &allergy(0), NOW));
    }
}

#[test]
fn terms_are_asked_as_if_they_were_in_force() {
    let book = only_an_emergency();
    let said = |terms| book.under(pair(1, 2), terms).decide(&allergy(0), NOW);
    assert_eq!(said(unless_dissented(on(1))), Decision::Forward);
    let as_it_is = unless_dissented(book.terms(pair(1, 2)));
    assert_eq!(said(as_it_is), Decision::Withhold(Reason::ShareInOff));
}

#[test]
fn what_former_terms_let_through_while_they_held_may_be_held() {
    let nothing = HalfTerms {
        scope: Scope {
            categories: CategorySet::NONE,
            ..Scope::EVERYTHING
        },
        ..HalfTerms::ON
    };
    let narrow = PairTerms {
        share_out: nothing,
        ..on(1)
    };
    let ended = HalfTerms {
        ends_at: Some(NOW),
        ..HalfTerms::ON
    };
    let both_ended = PairTerms {
        share_out: ended,
        share_in: ended,
        grant: None,
    };
    let (was_wide, was_narrow) = (unless_dissented(both_ended), unless_dissented(narrow));
    let now_narrow = book().with_pair(pair(1, 2), narrow);
    let held = |book: &Book| book.may_be_held(pair(1, 2), &allergy(0), NOW);
    assert!(held(&book()), "it goes now");
    assert!(!held(&now_narrow), "it never went");
    assert!(held(
        &now_narrow.with_former_terms(pair(1, 2), &[was_narrow, was_wide])
    ));
    assert!(!held(&now_narrow.with_former_terms(pair(1, 2), &[was_narrow])));
    assert!(
        !held(&now_narrow.with_former_terms(pair(1, 3), &[was_wide])),
        "another pair's"
    );
}

#[test]
fn what_an_access_let_through_while_it_lasted_may_have_gone() {
    let only = only_an_emergency();
    let gone =
        |book: &Book, grant, whose, now| book.may_have_gone(pair(1, 2), GrantId(grant), &allergy(whose), now);
    for now in [-1, NOW, OVER, 10 * OVER] {
        assert!(gone(&only, 9, 0, now), "at {now}");
        assert!(!gone(&only, 9, 1, now), "another patient's, at {now}");
        assert!(!gone(&only, 8, 0, now), "another grant's, at {now}");
    }
    let suspended = only.with_unit(unit(1), Standing::Suspended);
    assert!(gone(&suspended, 9, 0, NOW), "before the suspension");
    let narrow = PairTerms {
        share_out: HalfTerms {
            scope: Scope {
                categories: CategorySet::NONE,
                ..Scope::EVERYTHING
            },
            ..HalfTerms::ON
        },
        ..on(1)
    };
    let narrowed = book().with_pair(pair(1, 2), narrow);
    assert!(gone(&book(), 1, 0, NOW) && !gone(&narrowed, 1, 0, NOW));
    let wide = [unless_dissented(on(1))];
    assert!(gone(&narrowed.with_former_terms(pair(1, 2), &wide), 1, 0, NOW));
}

#[test]
fn a_pair_without_a_grant_says_which_of_the_first_three_rows_fails() {
    let half = |share_out, share_in| PairTerms {
        share_out,
        share_in,
        grant: None,
    };
    let ended = HalfTerms {
        ends_at: Some(NOW),
        ..HalfTerms::ON
    };
    let (on, off) = (HalfTerms::ON, HalfTerms::OFF);
    for (terms, reason) in [
        (half(off, off), Reason::ShareOutOff),
        (half(ended, on), Reason::ShareOutEnded),
        (half(on, off), Reason::ShareInOff),
        (half(on, ended), Reason::ShareInEnded),
    ] {
        let book = book().with_pair(pair(3, 2), terms);
        assert_eq!(book.without_grant(NOW), [(pair(3, 2), reason)]);
    }
    let suspended = book()
        .with_pair(pair(3, 2), half(on, off))
        .with_unit(unit(3), Standing::Suspended);
    assert_eq!(
        suspended.without_grant(NOW),
        [(pair(3, 2), Reason::SourceSuspended)]
    );
    assert_eq!(book().without_grant(NOW), [], "each has its grant");
}
