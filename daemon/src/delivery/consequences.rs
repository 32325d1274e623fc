//! What follows from a change of the book: the jobs that go into the change's own transaction, and the pairs of
//! which something that went does not go any more. Pure.

use std::collections::{BTreeSet, HashSet};

use handfast_proto::ids::{NhsNumber, OdsCode};

use crate::{
    consent::{Book, Difference, Pair, Terms, of_patient, of_terms, of_terms_in_emergency, pairs_of_patient},
    store::NewJob,
};

/// What follows from a change.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// In order, each once.
    pub(super) jobs: Vec<NewJob>,
    /// The pairs of which something is to be waited for.
    pub(super) ends: BTreeSet<Pair>,
    /// The pairs that a job over changes follows for, with the terms before.
    changed: Vec<(Pair, Terms)>,
    patients: HashSet<(Pair, NhsNumber)>,
}

impl Consequences {
    /// Of a change of what is known of patients at some units, beside all that was added before.
    pub(super) fn of_patients(
        &mut self,
        before: &Book,
        after: &Book,
        units: &[OdsCode],
        patients: &[NhsNumber],
        now: i64,
    ) {
        for patient in patients {
            for (pair, number, difference) in pairs_of_patient(before, after, units, *patient, now) {
                self.patient(pair, number, difference);
            }
        }
    }

    /// Of a change of what is known of patients, for these pairs alone and under these very numbers.
    pub(super) fn of_pairs(
        &mut self,
        before: &Book,
        after: &Book,
        pairs: &[Pair],
        patients: &[NhsNumber],
        now: i64,
    ) {
        for pair in pairs {
            for patient in patients {
                let difference = of_patient(before, after, *pair, *patient, now);
                if difference.touches {
                    self.patient(*pair, *patient, difference);
                }
            }
        }
    }

    /// Of a change of a pair's terms under grants that go on.
    pub(super) fn of_terms(&mut self, before: &Book, after: &Book, pair: Pair) {
        let (was, is) = (before.terms(pair), after.terms(pair));
        let (then, now) = (Terms::of(&was, before.policy()), Terms::of(&is, after.policy()));
        let difference = of_terms(&then, &now);
        if was.grant.is_some() && was.grant == is.grant && difference.touches {
            self.jobs.push(NewJob::Changes(pair, then));
            self.changed.push((pair, then));
            self.end(pair, difference);
        }
        let difference = of_terms_in_emergency(&then, &now);
        for (_, emergency) in after.of_pair(pair).iter().filter(|_| difference.touches) {
            let known = after.patients(pair.source);
            let numbers = known.map(|known| known.numbers_of(emergency.patient));
            for number in numbers.unwrap_or_else(|| vec![emergency.patient]) {
                self.patient(pair, number, difference);
            }
        }
    }

    /// The book with the terms before, where a job over changes follows.
    pub(super) fn remember_terms(&self, book: Book) -> Book {
        self.changed.iter().fold(book, |book, (pair, before)| {
            let mut terms = book.former_terms(*pair).to_vec();
            if !terms.contains(before) {
                terms.push(*before);
            }
            book.with_former_terms(*pair, &terms)
        })
    }

    /// The recipients whose feeds have something new to do.
    pub(super) fn recipients(&self) -> BTreeSet<OdsCode> {
        let pair = |job: &NewJob| match job {
            NewJob::Patient(pair, _) | NewJob::Changes(pair, _) => pair.recipient,
        };
        self.jobs.iter().map(pair).collect()
    }

    fn patient(&mut self, pair: Pair, patient: NhsNumber, difference: Difference) {
        if self.patients.insert((pair, patient)) {
            self.jobs.push(NewJob::Patient(pair, patient));
        }
        self.end(pair, difference);
    }

    fn end(&mut self, pair: Pair, difference: Difference) {
        if difference.ends {
            self.ends.insert(pair);
        }
    }
}
