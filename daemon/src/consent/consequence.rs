//! What a change of the book means for what recipients hold: the gate's decisions before and after.
//!
//! Pure. A patient's records are compared by category, because that, the patient and the marks are all that
//! the gate reads of a record; marked ones never go, so they need no comparison.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{NhsNumber, OdsCode},
};

use super::{
    agreement::{HalfTerms, Pair, Patients, Scope},
    book::Book,
    carrier::Terms,
    gate::Decision,
    patient::Policy,
};

/// What a change does to what a recipient may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// Something may be held that is to be looked at again: it goes now, or it may be there and does not.
    pub touches: bool,
    /// Something that went does not go any more.
    pub ends: bool,
}

impl Difference {
    fn and(self, other: Self) -> Self {
        Self {
            touches: self.touches || other.touches,
            ends: self.ends || other.ends,
        }
    }
}

/// The pairs of which a change at `units` touched a patient's records, and how. A pair counts under the
/// patient's number, and under the others that a side of the pair said are theirs.
pub fn pairs_of_patient(
    before: &Book,
    after: &Book,
    units: &[OdsCode],
    patient: NhsNumber,
    now: i64,
) -> Vec<(Pair, NhsNumber, Difference)> {
    let mut pairs: Vec<Pair> = units
        .iter()
        .flat_map(|unit| pairs_of_unit(after, *unit))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let numbers = |pair: Pair| {
        let sides = [pair.source, pair.recipient].into_iter();
        let others = sides
            .filter_map(|ods| after.patients(ods))
            .flat_map(|known| known.others(patient));
        let mut numbers: Vec<NhsNumber> = others.copied().chain([patient]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let each = pairs
        .into_iter()
        .flat_map(|pair| numbers(pair).into_iter().map(move |number| (pair, number)));
    let touched = each.map(|(pair, number)| (pair, number, of_patient(before, after, pair, number, now)));
    touched.filter(|(_, _, difference)| difference.touches).collect()
}

/// What a change does to a patient's records of a pair. What may be held under terms of which the change is
/// not through yet counts too.
pub fn of_patient(before: &Book, after: &Book, pair: Pair, patient: NhsNumber, now: i64) -> Difference {
    let of_category = |category| {
        let subject = Subject {
            patient,
            category,
            confidentiality: Confidentiality::NORMAL,
        };
        // A suspension ends, and nobody looks again at what changed while it lasted.
        let (then, went) = (
            before.allows_but_for_suspension(pair, &subject, now),
            after.allows_but_for_suspension(pair, &subject, now),
        );
        let decide = |book: &Book, terms: &Terms| {
            let under = book.under(pair, terms.without_end()).if_none_were_suspended();
            under.decide(&subject, now)
        };
        // Each by itself: the job of one change takes away what the job of the next is to bring back.
        let mut former = after.former_terms(pair).iter();
        let looked_at_otherwise = former.any(|terms| {
            let went = decide(before, terms) == Decision::Forward;
            went != (decide(after, terms) == Decision::Forward)
        });
        Difference {
            touches: then != went || looked_at_otherwise,
            ends: then && !went,
        }
    };
    categories()
        .map(of_category)
        .fold(Difference::default(), Difference::and)
}

/// What a change of a pair's terms does, whoever the patients are. The ends of the halves do not count: they
/// are changes of their own.
pub fn of_terms(before: &Terms, after: &Terms) -> Difference {
    let halves = [
        (before.share_out, after.share_out),
        (before.share_in, after.share_in),
    ];
    let of_half = |(was, is): (HalfTerms, HalfTerms)| Difference {
        touches: narrower(was, before.policy, is, after.policy)
            || narrower(is, after.policy, was, before.policy),
        ends: narrower(was, before.policy, is, after.policy),
    };
    halves
        .into_iter()
        .map(of_half)
        .fold(Difference::default(), Difference::and)
}

/// What a change of a pair's terms does to its emergency accesses: only the categories of the source's half,
/// and whether it asks for an explicit yes, hold for them.
pub fn of_terms_in_emergency(before: &Terms, after: &Terms) -> Difference {
    let all_that_holds = |terms: &Terms| Terms {
        share_out: HalfTerms {
            scope: Scope {
                patients: Patients::All,
                ..terms.share_out.scope
            },
            ..terms.share_out
        },
        // The same whatever the policy.
        share_in: HalfTerms {
            requires_explicit: true,
            ..HalfTerms::ON
        },
        ..*terms
    };
    of_terms(&all_that_holds(before), &all_that_holds(after))
}

/// Whether a half may let something through that another, in its place, does not.
fn narrower(was: HalfTerms, was_policy: Policy, is: HalfTerms, is_policy: Policy) -> bool {
    let explicit = |half: HalfTerms, policy| policy == Policy::Explicit || half.requires_explicit;
    let categories = was.scope.categories.bits() & !is.scope.categories.bits() != 0;
    let patients = (was.scope.patients, is.scope.patients) == (Patients::All, Patients::Caseload);
    categories || patients || (!explicit(was, was_policy) && explicit(is, is_policy))
}

/// Every category there is.
pub fn categories() -> impl Iterator<Item = Category> {
    (Category::Demographics as i32..=Category::Other as i32).filter_map(|raw| Category::try_from(raw).ok())
}

/// The pairs of a unit with a grant in force, of agreements or emergencies.
fn pairs_of_unit(book: &Book, unit: OdsCode) -> Vec<Pair> {
    let out = book.recipients_of(unit);
    let into = book.sources_to(unit);
    let out = out.iter().map(|recipient| Pair {
        source: unit,
        recipient: *recipient,
    });
    let into = into.iter().map(|source| Pair {
        source: *source,
        recipient: unit,
    });
    let emergencies = book.emergencies().map(|(_, emergency)| emergency.pair);
    let of_unit = emergencies.filter(|pair| pair.source == unit || pair.recipient == unit);
    out.chain(into).chain(of_unit).collect()
}
