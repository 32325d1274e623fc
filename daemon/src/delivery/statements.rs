//! What units state in their streams, carried out in the commit that appends it: a patient's word, numbers that
//! are one patient's. A view is only entered in the audit log.
//!
//! Invariants: a statement touches only its sender's own side; the book is swapped before anything that follows
//! it in its stream reaches a feed.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt as _;
use handfast_proto::{
    ids::{Holder, NhsNumber, OdsCode},
    statement::{Statement, WordSide},
};

use super::{
    consequences::Consequences,
    drain::InFlight,
    order::Turn,
    patient_acts::{of_words, standing, with_words},
    state::{Delivery, Inner},
};
use crate::{
    audit::{
        Actor,
        events::{NumbersJoined, Viewed, WordRecorded},
    },
    consent::{Book, Pair, Side},
    ingest::{Prepared, Settling, Statements, Stating},
    store::{JoinedNumbers, NewEntry, Stated, StoreError, With, WordChange, WordOutcome},
};

#[async_trait]
impl Statements for Delivery {
    async fn prepare(&self, statements: &[Stating]) -> Result<Box<dyn Prepared>, StoreError> {
        let inner = &self.inner;
        let turn = inner.begin().await?;
        let now = inner.clock.now_ms();
        let stated: Vec<Stated> = statements.iter().filter_map(|s| stated(s, now)).collect();
        let mut audit = Vec::new();
        for one in statements {
            inner.enter(&mut audit, one, now)?;
        }
        let before = inner.fence.book();
        let mut follows = Consequences::default();
        let mut at = Book::clone(&before);
        for one in &stated {
            at = follow(&mut follows, &at, one, now);
        }
        let with = With {
            jobs: follows.jobs.clone(),
            ..With::audit(audit)
        };
        Ok(Box::new(Ready {
            inner: Arc::clone(inner),
            turn,
            with: with.and(inner.words_end(now, stated.clone(), &follows)),
            stated,
            follows,
        }))
    }
}

/// Statements on their way into a commit.
struct Ready {
    inner: Arc<Inner>,
    turn: Turn,
    stated: Vec<Stated>,
    with: With,
    follows: Consequences,
}

impl Prepared for Ready {
    fn stated(&self) -> Vec<Stated> {
        self.stated.clone()
    }

    fn with(&self) -> With {
        self.with.clone()
    }

    fn committed(self: Box<Self>, words: &[WordOutcome]) -> Settling {
        let Self {
            inner,
            turn,
            stated,
            follows,
            ..
        } = *self;
        let units: BTreeSet<OdsCode> = stated.iter().flat_map(about).map(|(unit, _)| unit).collect();
        let is_meant = |pair: Pair| units.contains(&pair.source) || units.contains(&pair.recipient);
        let which = inner.fence.waiting_for(follows.ends.iter().copied(), is_meant);
        let before = inner.fence.book();
        let flights = inner.fence.swap(|book| after(book, &stated, words), &which);
        let now = inner.fence.book();
        for (unit, patient) in stated.iter().flat_map(about) {
            inner.erasing.changed(&before, &now, unit, patient);
        }
        drop(turn);
        inner.fence.refresh(follows.recipients());
        let flights: Arc<[InFlight]> = flights.into();
        Box::new(move || {
            let (inner, flights) = (Arc::clone(&inner), Arc::clone(&flights));
            async move { inner.fence.drain(&flights).await.pending }.boxed()
        })
    }

    fn failed(self: Box<Self>, error: &StoreError) {
        if matches!(error, StoreError::Failed(_)) {
            self.inner.is_unsure(self.follows.ends.iter().copied());
        }
    }
}

/// What a statement changes.
fn stated(stating: &Stating, now: i64) -> Option<Stated> {
    match &stating.statement {
        Statement::PatientWord(word) => {
            let change = |side: &WordSide| WordChange {
                unit: stating.source,
                patient: stating.patient,
                side: match side {
                    WordSide::ShareOut => Side::ShareOut,
                    WordSide::ShareIn => Side::ShareIn,
                },
                word: word.word,
                said_at: word.said_at.min(now),
                manner: word.manner,
                taken_by: word.taken_by.as_str().to_owned(),
                by: Holder::Unit(stating.source).to_string(),
                at: now,
            };
            Some(Stated::Words(word.sides.iter().map(change).collect()))
        }
        Statement::NumberMoved { former, current } => Some(Stated::Joined(JoinedNumbers {
            unit: stating.source,
            former: *former,
            current: *current,
        })),
        Statement::View(_) => None,
    }
}

/// Works out what follows if each word counts; the book after that.
fn follow(follows: &mut Consequences, at: &Book, stated: &Stated, now: i64) -> Book {
    match stated {
        Stated::Words(changes) => of_words(follows, at, changes, now),
        Stated::Joined(joined) => {
            let next = at.with_joined(joined.unit, joined.former, joined.current);
            follows.of_patients(at, &next, &[joined.unit], &[joined.current], now);
            next
        }
    }
}

/// Whether every word counts as it was said.
pub(super) fn is_as_said(stated: &[Stated], words: &[WordOutcome]) -> bool {
    let said = stated.iter().flat_map(|one| match one {
        Stated::Words(changes) => changes.as_slice(),
        Stated::Joined(_) => &[],
    });
    said.zip(words)
        .all(|(change, outcome)| outcome.now == standing(change.word))
}

/// What follows from what became of statements.
pub(super) fn of_outcomes(before: &Book, stated: &[Stated], words: &[WordOutcome], now: i64) -> Consequences {
    let mut follows = Consequences::default();
    let (mut at, mut rest) = (before.clone(), words);
    for one in stated {
        match one {
            Stated::Words(changes) => {
                for (change, outcome) in changes.iter().zip(rest) {
                    let (change, outcome) = (std::slice::from_ref(change), std::slice::from_ref(outcome));
                    let next = with_words(&at, change, outcome);
                    for WordChange { unit, patient, .. } in change {
                        follows.of_patients(&at, &next, &[*unit], &[*patient], now);
                    }
                    at = next;
                }
                rest = rest.get(changes.len()..).unwrap_or_default();
            }
            Stated::Joined(_) => at = follow(&mut follows, &at, one, now),
        }
    }
    follows
}

/// The book after what became of statements; `words` has an outcome for each change of a word, in order.
fn after(book: &Book, stated: &[Stated], words: &[WordOutcome]) -> Book {
    let mut rest = words;
    stated.iter().fold(book.clone(), |book, one| match one {
        Stated::Words(changes) => {
            let (own, later) = rest.split_at(changes.len().min(rest.len()));
            rest = later;
            with_words(&book, changes, own)
        }
        Stated::Joined(joined) => book.with_joined(joined.unit, joined.former, joined.current),
    })
}

/// Whom a statement is about, and at which unit.
fn about(stated: &Stated) -> Vec<(OdsCode, NhsNumber)> {
    match stated {
        Stated::Words(changes) => changes
            .iter()
            .map(|change| (change.unit, change.patient))
            .collect(),
        Stated::Joined(joined) => vec![(joined.unit, joined.current)],
    }
}

impl Inner {
    /// Enters what a statement says.
    fn enter(&self, audit: &mut Vec<NewEntry>, stating: &Stating, now: i64) -> Result<(), StoreError> {
        let actor = Actor::Agent(stating.source);
        let seq = stating.seq;
        match (stated(stating, now), &stating.statement) {
            (Some(Stated::Words(changes)), _) => {
                for change in &changes {
                    audit.push(self.entry(now, &actor, &WordRecorded { change, seq })?);
                }
            }
            (Some(Stated::Joined(joined)), _) => {
                audit.push(self.entry(now, &actor, &NumbersJoined { joined, seq })?);
            }
            (None, Statement::View(view)) => {
                let viewed = Viewed {
                    unit: stating.source,
                    patient: stating.patient,
                    view,
                    seq,
                };
                audit.push(self.entry(now, &actor, &viewed)?);
            }
            (None, _) => {}
        }
        Ok(())
    }
}
