//! Patients' words and caseloads.

use std::{collections::HashSet, sync::Arc};

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::PatientWordValue,
};

use super::{
    consequences::Consequences,
    revoker::{InForce, WordsInForce},
    state::Inner,
};
use crate::{
    consent::{Book, Facts, Pair, PatientWord, Side},
    store::{ClaimChange, NewEntry, Stated, StoreError, With, WordChange, WordOutcome},
};

/// Both sides of a pair.
const BOTH: [Side; 2] = [Side::ShareOut, Side::ShareIn];

impl Inner {
    /// Records patients' words. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn record_words(
        self: Arc<Self>,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        let turn = self.begin().await?;
        let before = self.fence.book();
        let now = self.clock.now_ms();
        // A word may turn out to be only history; then a job that is entered for it finds nothing to do.
        let mut follows = Consequences::default();
        of_words(&mut follows, &before, &changes, now);
        let with = With {
            jobs: follows.jobs.clone(),
            ..With::audit(audit)
        };
        let with = with.and(self.words_end(now, vec![Stated::Words(changes.clone())], &follows));
        let outcomes = match self.store.record_words(&changes, &with).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if matches!(error, StoreError::Failed(_)) {
                    self.is_unsure(follows.ends.iter().copied());
                }
                return Err(error);
            }
        };
        let mut ends = follows.ends.clone();
        for (change, _) in changes
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.before == outcome.now)
        {
            // Asked again: everything that is in flight on this side of the unit is waited for.
            if change.word != PatientWordValue::Yes {
                ends.extend(pairs_on_side(&before, change.unit, change.side));
            }
        }
        let ended: HashSet<(OdsCode, Side)> = changes
            .iter()
            .filter(|change| change.word != PatientWordValue::Yes)
            .map(|change| (change.unit, change.side))
            .collect();
        let is_meant = |pair: Pair| BOTH.iter().any(|side| ended.contains(&(side.owner(pair), *side)));
        let which = self.fence.waiting_for(ends, is_meant);
        let flights = self
            .fence
            .swap(|book| with_words(book, &changes, &outcomes), &which);
        let after = self.fence.book();
        for change in &changes {
            self.erasing.changed(&before, &after, change.unit, change.patient);
        }
        drop(turn);
        self.fence.refresh(follows.recipients());
        Ok(WordsInForce {
            outcomes,
            in_force: self.settle_pairs(&flights, &which).await,
        })
    }

    /// Puts patients on caseloads by name, or takes them off. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn set_claims(
        self: Arc<Self>,
        changes: Vec<ClaimChange>,
        mut audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        let turn = self.begin().await?;
        let before = self.fence.book();
        let now = self.clock.now_ms();
        let mut follows = Consequences::default();
        let mut after = Book::clone(&before);
        let mut ends = Vec::new();
        for change in &changes {
            let next = with_claim(&after, change);
            follows.of_patients(&after, &next, &[change.unit], &[change.patient], now);
            if !change.on && !before.facts(change.unit, change.patient).claimed {
                ends.extend(pairs_on_side(&before, change.unit, Side::ShareIn));
            }
            after = next;
        }
        audit.extend(self.entries_of_due(now, &follows.due)?);
        let with = With {
            jobs: follows.jobs.clone(),
            ..With::audit(audit)
        };
        if let Err(error) = self.store.set_claims(&changes, &with).await {
            if matches!(error, StoreError::Failed(_)) {
                self.is_unsure(follows.ends.iter().copied());
            }
            return Err(error);
        }
        ends.extend(&follows.ends);
        let ended: HashSet<OdsCode> = changes.iter().filter(|c| !c.on).map(|c| c.unit).collect();
        let which = self
            .fence
            .waiting_for(ends, |pair| ended.contains(&pair.recipient));
        let claimed = |book: &Book| {
            changes
                .iter()
                .fold(book.clone(), |book, change| with_claim(&book, change))
        };
        let flights = self.fence.swap(claimed, &which);
        drop(turn);
        self.fence.refresh(follows.recipients());
        Ok(self.settle_pairs(&flights, &which).await)
    }
}

/// Works out what follows from words, if each of them counts; the book after that.
pub(super) fn of_words(follows: &mut Consequences, before: &Book, changes: &[WordChange], now: i64) -> Book {
    let mut at = before.clone();
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let (some, later) = rest.split_at(apart(&at, rest));
        rest = later;
        let words = some.iter().map(|change| (change, standing(change.word)));
        let next = with_each(&at, words);
        let mut patients: Vec<NhsNumber> = some.iter().map(|change| change.patient).collect();
        patients.dedup();
        follows.of_patients(&at, &next, &[first.unit], &patients, now);
        at = next;
    }
    at
}

/// How many of these words, at least one, have to do with different people at one unit, or with the two sides of
/// one: no pair is about both. What follows from them is then the same together as one after the other, whichever
/// of them turn out to be only history.
fn apart(book: &Book, changes: &[WordChange]) -> usize {
    let Some(first) = changes.first() else { return 0 };
    let mut seen = HashSet::with_capacity(changes.len());
    let others = |change: &&WordChange| {
        change.unit == first.unit
            && !book.has_other_numbers(change.patient)
            && seen.insert((change.patient, change.side))
    };
    changes.iter().take_while(others).count().max(1)
}

/// The book after what became of words.
pub(super) fn with_words(book: &Book, changes: &[WordChange], outcomes: &[WordOutcome]) -> Book {
    with_each(
        book,
        changes.iter().zip(outcomes.iter().map(|outcome| outcome.now)),
    )
}

/// Copies what is known of a unit's patients once, however many words follow one another there.
fn with_each<'c>(book: &Book, words: impl Iterator<Item = (&'c WordChange, PatientWord)>) -> Book {
    let words: Vec<(&WordChange, PatientWord)> = words.collect();
    let mut next = book.clone();
    for of_unit in words.chunk_by(|(a, _), (b, _)| a.unit == b.unit) {
        let Some((first, _)) = of_unit.first() else {
            continue;
        };
        let mut known = next.patients(first.unit).cloned().unwrap_or_default();
        for (change, word) in of_unit {
            let facts = known.facts(change.patient).with_word(change.side, *word);
            known.set(change.patient, facts);
        }
        next = next.with_patients(first.unit, known);
    }
    next
}

fn with_claim(book: &Book, change: &ClaimChange) -> Book {
    let claimed = change.on;
    book.with_facts(change.unit, [change.patient], |facts| Facts { claimed, ..facts })
}

/// What stands where a word counts.
pub(super) fn standing(word: PatientWordValue) -> PatientWord {
    match word {
        PatientWordValue::Yes => PatientWord::Yes,
        PatientWordValue::No => PatientWord::No,
        PatientWordValue::Ended | PatientWordValue::Unspecified => PatientWord::NotRecorded,
    }
}

/// The pairs with a grant in force that a word on one side of a unit is about.
fn pairs_on_side(book: &Book, unit: OdsCode, side: Side) -> Vec<Pair> {
    let of_unit = |pair: &Pair| side.owner(*pair) == unit;
    let agreements = book
        .pairs()
        .filter(|(_, terms)| terms.grant.is_some())
        .map(|(pair, _)| pair);
    let emergencies = book.emergencies().map(|(_, emergency)| emergency.pair);
    agreements.chain(emergencies).filter(of_unit).collect()
}

#[cfg(test)]
mod tests;
