//! How a grant stands, as its recipient is told: what it carries at most, whether it carries it of every patient, and
//! whether its source is suspended.
//! No clinical content, and nothing of any patient but the one of an emergency access.

use handfast_proto::{
    ids::NhsNumber,
    v1::{Category, GrantInForce},
};

use crate::consent::{
    Book, CategorySet, GrantId, HalfTerms, Pair, Patients, Policy, Standing, Terms, categories,
};

/// How a grant stands in the book. `patient`: of an emergency access.
pub(super) fn stands(book: &Book, pair: Pair, grant: GrantId, patient: Option<NhsNumber>) -> GrantInForce {
    let terms = book.terms(pair);
    let out = terms.share_out.scope.categories;
    let both = CategorySet::from_bits(out.bits() & terms.share_in.scope.categories.bits());
    GrantInForce {
        source: pair.source.to_string(),
        grant: grant.0,
        patient: patient.map_or(0, NhsNumber::as_u64),
        categories: listed(if patient.is_some() { out } else { both }),
        stale: book.standing(pair.source) == Standing::Suspended,
        not_everyone: patient.is_none() && !is_for_everyone(&Terms::of(&terms, book.policy())),
    }
}

/// Whether a grant of nothing else tells what these say: it is not narrowed in any way.
pub(super) fn is_plain(stands: &GrantInForce) -> bool {
    stands.patient == 0 && stands.categories.is_empty() && !stands.stale && !stands.not_everyone
}

/// Whether these let through whoever has not dissented.
fn is_for_everyone(terms: &Terms) -> bool {
    let halves = [&terms.share_out, &terms.share_in];
    let all = |half: &&HalfTerms| half.scope.patients == Patients::All && !half.requires_explicit;
    terms.policy == Policy::UnlessDissented && halves.iter().all(all)
}

/// Every category: none is listed. None at all: one that no record has.
fn listed(set: CategorySet) -> Vec<u32> {
    let listed: Vec<u32> = categories()
        .filter(|c| set.contains(*c))
        .map(|c| c as u32)
        .collect();
    match listed.len() {
        0 => vec![Category::Unspecified as u32],
        n if n == categories().count() => Vec::new(),
        _ => listed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_ask_for_a_yes_or_for_the_caseload_are_not_for_everyone() {
        let on = Terms {
            share_out: HalfTerms::ON,
            share_in: HalfTerms::ON,
            policy: Policy::UnlessDissented,
        };
        assert!(is_for_everyone(&on));
        let policy = Policy::Explicit;
        assert!(!is_for_everyone(&Terms { policy, ..on }));
        let (mut caseload, mut explicit) = (HalfTerms::ON, HalfTerms::ON);
        caseload.scope.patients = Patients::Caseload;
        explicit.requires_explicit = true;
        for half in [caseload, explicit] {
            assert!(!is_for_everyone(&Terms {
                share_out: half,
                ..on
            }));
            assert!(!is_for_everyone(&Terms { share_in: half, ..on }));
        }
        let mut narrow = HalfTerms::ON;
        narrow.scope.categories = CategorySet::NONE;
        assert!(
            is_for_everyone(&Terms {
                share_in: narrow,
                ..on
            }),
            "of those, everyone's"
        );
    }

    #[test]
    fn only_what_is_not_narrowed_in_any_way_needs_no_telling() {
        let plain = GrantInForce {
            source: "Z00101".to_owned(),
            grant: 1,
            ..GrantInForce::default()
        };
        assert!(is_plain(&plain));
        let told = |change: fn(&mut GrantInForce)| {
            let mut stands = plain.clone();
            change(&mut stands);
            !is_plain(&stands)
        };
        assert!(told(|s| s.patient = 9_990_000_018));
        assert!(told(|s| s.categories = vec![1]));
        assert!(told(|s| s.stale = true));
        assert!(told(|s| s.not_everyone = true));
    }

    #[test]
    fn a_scope_of_everything_lists_nothing_and_one_of_nothing_is_told_apart() {
        let two = CategorySet::NONE
            .with(Category::Allergies)
            .with(Category::Problems);
        assert_eq!(listed(CategorySet::ALL), Vec::<u32>::new());
        assert_eq!(
            listed(two),
            [Category::Problems as u32, Category::Allergies as u32]
        );
        assert_eq!(listed(CategorySet::NONE), [0]);
    }
}
