//! What a change of the book means for what recipients hold: the gate's decisions before and after.
//!
//! Pure. A patient's records are compared by category, because that, the patient and the marks are all that
//! the gate reads of a record; marked ones never go, so they need no comparison.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{NhsNumber, OdsCode},
};

use super::{agreement::Pair, book::Book};

/// The pairs of which a change touched a patient: those with a grant in force before or after, of which the
/// gate says another thing of some category of the patient's records. `units` are those at which the change
/// was made.
pub fn pairs_of_patient(
    before: &Book,
    after: &Book,
    units: &[OdsCode],
    patient: NhsNumber,
    now: i64,
) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = units
        .iter()
        .flat_map(|unit| pairs_of_unit(after, *unit))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.retain(|pair| differs(before, after, *pair, patient, now));
    pairs
}

/// Whether the gate says another thing of some category of a patient's records.
pub fn differs(before: &Book, after: &Book, pair: Pair, patient: NhsNumber, now: i64) -> bool {
    categories().any(|category| {
        let subject = Subject {
            patient,
            category,
            confidentiality: Confidentiality::NORMAL,
        };
        before.allows(pair, &subject, now) != after.allows(pair, &subject, now)
    })
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
