//! What follows from a change of the book: the jobs that go into the change's own transaction, and the pairs of
//! which something that went does not go any more. Pure.

use std::collections::{BTreeSet, HashSet};

use handfast_proto::ids::{NhsNumber, OdsCode};

use crate::{
    consent::{
        Book, CategorySet, Difference, HalfTerms, Pair, Patients, Policy, Terms, of_patient, of_terms,
        of_terms_in_emergency, pairs_of_patient,
    },
    store::NewJob,
};

/// A removal that a change makes due under grants that go on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    /// Of one patient's records, because something about them changed at a unit.
    Patient(OdsCode, NhsNumber, Pair),
    /// Of what other terms of the pair leave out; of one patient's records under their emergency access.
    Terms(Pair, LeftOut, Option<NhsNumber>),
}

/// What other terms leave out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LeftOut {
    /// These categories.
    pub(super) categories: CategorySet,
    /// Patients, of whom more is asked than before.
    pub(super) some_patients: bool,
}

/// What follows from a change.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// In order, each once.
    pub(super) jobs: Vec<NewJob>,
    /// The pairs of which something is to be waited for.
    pub(super) ends: BTreeSet<Pair>,
    /// The removals that are due.
    pub(super) due: BTreeSet<Due>,
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
                let at = units
                    .iter()
                    .find(|unit| **unit == pair.source || **unit == pair.recipient);
                if let Some(at) = at.filter(|_| difference.ends) {
                    self.due.insert(Due::Patient(*at, number, pair));
                }
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
                if difference.ends {
                    self.due.insert(Due::Patient(pair.recipient, *patient, *pair));
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
            self.due
                .extend(LeftOut::by(&then, &now).map(|left| Due::Terms(pair, left, None)));
        }
        let difference = of_terms_in_emergency(&then, &now);
        for (_, emergency) in after.of_pair(pair).iter().filter(|_| difference.touches) {
            let known = after.patients(pair.source);
            let numbers = known.map(|known| known.numbers_of(emergency.patient));
            for number in numbers.unwrap_or_else(|| vec![emergency.patient]) {
                self.patient(pair, number, difference);
            }
            let left = LeftOut::by(&in_emergency(&then), &in_emergency(&now));
            self.due
                .extend(left.map(|left| Due::Terms(pair, left, Some(emergency.patient))));
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

impl LeftOut {
    /// What `after` leaves out of what `before` let through.
    fn by(before: &Terms, after: &Terms) -> Option<Self> {
        let categories =
            |terms: &Terms| terms.share_out.scope.categories.bits() & terms.share_in.scope.categories.bits();
        let asks_more = |was: &HalfTerms, is: &HalfTerms| {
            let explicit = |half: &HalfTerms, policy| half.requires_explicit || policy == Policy::Explicit;
            let caseload = |half: &HalfTerms| half.scope.patients == Patients::Caseload;
            caseload(is) && !caseload(was) || explicit(is, after.policy) && !explicit(was, before.policy)
        };
        let left = Self {
            categories: CategorySet::from_bits(categories(before) & !categories(after)),
            some_patients: asks_more(&before.share_out, &after.share_out)
                || asks_more(&before.share_in, &after.share_in),
        };
        (left.some_patients || left.categories != CategorySet::NONE).then_some(left)
    }
}

/// Of terms what holds for emergency accesses too: the source's half, but for a caseload.
fn in_emergency(terms: &Terms) -> Terms {
    let mut share_out = terms.share_out;
    share_out.scope.patients = Patients::All;
    let mut share_in = HalfTerms::ON;
    share_in.requires_explicit = true;
    Terms {
        share_out,
        share_in,
        policy: terms.policy,
    }
}
