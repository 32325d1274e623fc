//! How a grant stands, as its recipient is told: what it carries at most, and whether its source is suspended.
//! No clinical content, and nothing of any patient but the one of an emergency access.

use handfast_proto::{
    ids::NhsNumber,
    v1::{Category, GrantInForce},
};

use crate::consent::{Book, CategorySet, GrantId, Pair, Standing, categories};

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
    }
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
