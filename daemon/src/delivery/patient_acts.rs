//! Changes about patients, made exact in the same way as those of halves: commit with the jobs that follow,
//! swap the book, drain or cut (S1).

use std::collections::BTreeSet;

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{
    fence::{Drained, Which},
    revoker::{InForce, PairReceipt, WordsInForce},
    state::Inner,
};
use crate::{
    consent::{Book, Facts, Pair, PatientWord, Policy, Side, Terms, pairs_of_patient},
    store::{ClaimChange, NewEntry, NewJob, StoreError, With, WordChange},
};

impl Inner {
    /// Records words. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        let order = self.order.lock().await;
        let before = self.fence.book();
        let wanted = |change: &WordChange| (change.unit, change.patient, change.side, standing(change));
        let after = with_words(&before, changes.iter().map(wanted));
        let touched: BTreeSet<_> = changes
            .iter()
            .map(|change| (change.unit, change.patient))
            .collect();
        let (jobs, pairs) = self.follow(&before, &after, touched);
        let with = With { jobs, audit };
        let outcomes = self.store.record_words(&changes, &with).await?;
        let stands = changes.iter().zip(&outcomes);
        let stands: Vec<_> = stands
            .map(|(c, outcome)| (c.unit, c.patient, c.side, outcome.now))
            .collect();
        let in_force = self.put_in_force(order, &pairs, |book| with_words(book, stands));
        Ok(WordsInForce {
            outcomes,
            in_force: in_force.await,
        })
    }

    /// Changes caseloads. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let order = self.order.lock().await;
        let before = self.fence.book();
        let after = with_claims(&before, &changes);
        let touched: BTreeSet<_> = changes
            .iter()
            .map(|change| (change.unit, change.patient))
            .collect();
        let (jobs, pairs) = self.follow(&before, &after, touched);
        let with = With { jobs, audit };
        self.store.set_claims(&changes, &with).await?;
        let in_force = self.put_in_force(order, &pairs, |book| with_claims(book, &changes));
        Ok(in_force.await)
    }

    /// Changes what is asked of patients. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn set_policy(
        &self,
        policy: Policy,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let order = self.order.lock().await;
        let before = self.fence.book();
        let changed = before.policy() != policy;
        let all = before
            .pairs()
            .filter(|(_, terms)| changed && terms.grant.is_some());
        let all: Vec<(Pair, Terms)> = all
            .map(|(pair, terms)| (pair, Terms::of(&terms, before.policy())))
            .collect();
        let with = With {
            jobs: all
                .iter()
                .map(|(pair, terms)| NewJob::Changes(*pair, *terms))
                .collect(),
            audit,
        };
        let now = self.clock.now_ms();
        self.store.set_policy(policy, now, &with).await?;
        let pairs: Vec<Pair> = all.into_iter().map(|(pair, _)| pair).collect();
        let in_force = self.put_in_force(order, &pairs, |book| book.with_policy(policy));
        Ok(in_force.await)
    }

    /// What follows for whom of a change at these units about these patients, under all their numbers.
    fn follow(
        &self,
        before: &Book,
        after: &Book,
        touched: BTreeSet<(OdsCode, NhsNumber)>,
    ) -> (Vec<NewJob>, Vec<Pair>) {
        let now = self.clock.now_ms();
        let mut jobs = BTreeSet::new();
        for (unit, patient) in touched {
            for number in numbers(after, unit, patient) {
                let pairs = pairs_of_patient(before, after, &[unit], number, now);
                jobs.extend(pairs.into_iter().map(|pair| (pair, number)));
            }
        }
        let pairs: BTreeSet<Pair> = jobs.iter().map(|(pair, _)| *pair).collect();
        let jobs = jobs
            .into_iter()
            .map(|(pair, patient)| NewJob::Patient(pair, patient));
        (jobs.collect(), pairs.into_iter().collect())
    }

    /// Swaps the book, and waits for what is in flight of the pairs that were touched.
    async fn put_in_force(
        &self,
        order: tokio::sync::MutexGuard<'_, ()>,
        pairs: &[Pair],
        change: impl FnOnce(&Book) -> Book,
    ) -> InForce {
        let book = self.fence.book();
        let agreements = pairs
            .iter()
            .filter_map(|pair| book.terms(*pair).grant.map(|grant| (*pair, grant)));
        let emergencies = book
            .emergencies()
            .map(|(grant, emergency)| (emergency.pair, grant));
        let grants: Vec<_> = agreements
            .chain(emergencies.filter(|(pair, _)| pairs.contains(pair)))
            .collect();
        let which: Vec<Which> = grants
            .iter()
            .map(|(pair, grant)| Which::Grant(*pair, *grant))
            .collect();
        let flights = self.fence.swap(change, &which);
        drop(order);
        self.fence.refresh(None);
        let mut in_force = InForce {
            in_force: true,
            receipts: Vec::new(),
        };
        let drained = self.fence.drain(&flights).await;
        in_force.in_force &= !drained.pending;
        for (pair, grant) in grants {
            let own: Vec<_> = flights
                .iter()
                .filter(|flight| flight.is_of(pair, grant))
                .cloned()
                .collect();
            if own.is_empty() {
                continue;
            }
            let of_pair: Drained = self.fence.drain(&own).await;
            let receipt = self.fence.receipt(pair, grant, 0, &of_pair);
            in_force.receipts.push(PairReceipt { pair, receipt });
        }
        in_force
    }
}

fn standing(change: &WordChange) -> PatientWord {
    use handfast_proto::v1::PatientWordValue as Value;
    match change.word {
        Value::Yes => PatientWord::Yes,
        Value::No => PatientWord::No,
        Value::Ended | Value::Unspecified => PatientWord::NotRecorded,
    }
}

fn with_words(book: &Book, words: impl IntoIterator<Item = (OdsCode, NhsNumber, Side, PatientWord)>) -> Book {
    let said = |book: Book, (unit, patient, side, word)| {
        book.with_facts(unit, [patient], |facts| facts.with_word(side, word))
    };
    words.into_iter().fold(book.clone(), said)
}

fn with_claims(book: &Book, changes: &[ClaimChange]) -> Book {
    let claimed = |book: Book, change: &ClaimChange| {
        book.with_facts(change.unit, [change.patient], |facts| Facts {
            claimed: change.on,
            ..facts
        })
    };
    changes.iter().fold(book.clone(), claimed)
}

/// A patient's numbers, as the unit and the sources towards it said.
fn numbers(book: &Book, unit: OdsCode, patient: NhsNumber) -> BTreeSet<NhsNumber> {
    let units = [unit]
        .into_iter()
        .chain(book.sources_to(unit).iter().copied().collect::<Vec<_>>());
    let known = units.filter_map(|unit| book.patients(unit));
    let others = known.flat_map(|known| known.others(patient));
    [patient].into_iter().chain(others.copied()).collect()
}
