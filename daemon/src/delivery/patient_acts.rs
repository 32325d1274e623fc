//! Patients' words and caseloads.

use std::sync::Arc;

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::PatientWordValue,
};

use super::{
    consequences::Consequences,
    drain::Which,
    revoker::{InForce, WordsInForce},
    state::Inner,
};
use crate::{
    consent::{Book, Facts, Pair, PatientWord, Side},
    store::{ClaimChange, NewEntry, StoreError, With, WordChange, WordOutcome},
};

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
            audit,
        };
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
        let ends: Vec<Pair> = ends.into_iter().collect();
        let which: Vec<Which> = ends.iter().map(|pair| Which::Pair(*pair)).collect();
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
            in_force: self.settle_pairs(&flights, &ends).await,
        })
    }

    /// Puts patients on caseloads by name, or takes them off. Not cancellation-safe: runs in a task of its own.
    pub(super) async fn set_claims(
        self: Arc<Self>,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
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
        let with = With {
            jobs: follows.jobs.clone(),
            audit,
        };
        if let Err(error) = self.store.set_claims(&changes, &with).await {
            if matches!(error, StoreError::Failed(_)) {
                self.is_unsure(follows.ends.iter().copied());
            }
            return Err(error);
        }
        ends.extend(&follows.ends);
        ends.sort_unstable();
        ends.dedup();
        let which: Vec<Which> = ends.iter().map(|pair| Which::Pair(*pair)).collect();
        let claimed = |book: &Book| {
            changes
                .iter()
                .fold(book.clone(), |book, change| with_claim(&book, change))
        };
        let flights = self.fence.swap(claimed, &which);
        drop(turn);
        self.fence.refresh(follows.recipients());
        Ok(self.settle_pairs(&flights, &ends).await)
    }
}

/// Works out what follows from words, if each of them counts; the book after that.
pub(super) fn of_words(follows: &mut Consequences, before: &Book, changes: &[WordChange], now: i64) -> Book {
    changes.iter().fold(before.clone(), |at, change| {
        let next = with_word(
            &at,
            change.unit,
            change.patient,
            change.side,
            standing(change.word),
        );
        follows.of_patients(&at, &next, &[change.unit], &[change.patient], now);
        next
    })
}

/// The book after what became of words.
pub(super) fn with_words(book: &Book, changes: &[WordChange], outcomes: &[WordOutcome]) -> Book {
    let each = changes.iter().zip(outcomes);
    each.fold(book.clone(), |book, (change, outcome)| {
        with_word(&book, change.unit, change.patient, change.side, outcome.now)
    })
}

fn with_word(book: &Book, unit: OdsCode, patient: NhsNumber, side: Side, word: PatientWord) -> Book {
    book.with_facts(unit, [patient], |facts| facts.with_word(side, word))
}

fn with_claim(book: &Book, change: &ClaimChange) -> Book {
    let claimed = change.on;
    book.with_facts(change.unit, [change.patient], |facts| Facts { claimed, ..facts })
}

/// What stands where a word counts.
fn standing(word: PatientWordValue) -> PatientWord {
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
