//! Counts of patients and records by category, and the walk over what a source has that fills them.
//!
//! Invariant: memory does not grow with what is counted: one page of the store, and a few numbers a count.

use std::collections::BTreeMap;

use handfast_proto::{
    amendment::Category,
    ids::{NhsNumber, OdsCode},
};

use super::{ActError, Context};
use crate::store::SubjectCount;

/// Rows of the store in one page of a walk.
const PAGE_ROWS: u32 = 10_000;

/// How many patients, and how many of their records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Patients.
    pub patients: u64,
    /// Records.
    pub records: u64,
}

/// How many patients and records, in all and by category.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// In all; a patient counts once, in however many categories.
    pub all: Count,
    /// By category, those with none left out.
    pub categories: BTreeMap<Category, Count>,
}

/// Counts rows that come by patient.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    /// The patient counted last, and in which categories.
    patient: Option<NhsNumber>,
    within: Vec<Category>,
}

impl Tally {
    /// One more row. Those of a patient must follow one another.
    pub(super) fn add(&mut self, row: &SubjectCount) {
        let category = row.subject.category;
        if self.patient != Some(row.subject.patient) {
            self.patient = Some(row.subject.patient);
            self.within.clear();
            self.counts.all.patients += 1;
        }
        let of_category = self.counts.categories.entry(category).or_default();
        if !self.within.contains(&category) {
            self.within.push(category);
            of_category.patients += 1;
        }
        of_category.records += row.records;
        self.counts.all.records += row.records;
    }

    pub(super) fn counts(self) -> Counts {
        self.counts
    }
}

/// Shows `each` every row of a source, those of a patient together, once the projection has caught up with what the
/// source has published.
pub(super) async fn walk(
    ctx: &Context,
    source: OdsCode,
    mut each: impl FnMut(&SubjectCount) + Send,
) -> Result<(), ActError> {
    ctx.projected.all_of(source).await?;
    let mut after = None;
    loop {
        let page = ctx.store.subject_counts(source, after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.subject.patient);
        page.iter().for_each(&mut each);
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::{Confidentiality, Subject};

    use super::*;

    #[test]
    fn a_patient_counts_once_in_all_and_once_in_each_category() {
        let row = |patient, category, confidentiality, records| SubjectCount {
            subject: Subject {
                patient: NhsNumber::from_u64(patient).unwrap(),
                category,
                confidentiality,
            },
            records,
        };
        let (plain, private) = (Confidentiality::NORMAL, Confidentiality::from_bits(1).unwrap());
        let mut tally = Tally::default();
        for row in [
            row(9_990_000_018, Category::Problems, plain, 3),
            row(9_990_000_018, Category::Problems, private, 1),
            row(9_990_000_018, Category::Allergies, plain, 2),
            row(9_990_000_026, Category::Problems, plain, 5),
        ] {
            tally.add(&row);
        }
        let counts = tally.counts();
        assert_eq!(
            counts.all,
            Count {
                patients: 2,
                records: 11
            }
        );
        let of = |category| counts.categories.get(&category).copied().unwrap_or_default();
        assert_eq!(
            of(Category::Problems),
            Count {
                patients: 2,
                records: 9
            }
        );
        assert_eq!(
            of(Category::Allergies),
            Count {
                patients: 1,
                records: 2
            }
        );
        assert_eq!(of(Category::Other), Count::default());
    }
}
