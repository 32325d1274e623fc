//! What follows from what was recorded: who is on a unit's caseload, kept in the book behind the projection, with
//! the jobs that follow for pairs that go by caseloads, and for emergency accesses whose patient's number changed;
//! and which payloads are not to be kept.
//!
//! Invariant: the jobs are committed before the projection is, and the book is swapped after it. A crash between
//! them leaves a job too many, never one too few: what was not projected is told of again, and a book read
//! anew has what was.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{
    consequences::{Consequences, Due},
    order::Turn,
    state::{Delivery, Inner},
};
use crate::{
    consent::{Book, Facts, HalfTerms, Pair, Patients, Terms},
    ingest::{Caseloads, Projecting, Run},
    store::{AppendGroup, StoreError, With},
};

#[async_trait]
impl Caseloads for Delivery {
    async fn before(&self, run: &Run) -> Result<Box<dyn Projecting>, StoreError> {
        let inner = &self.inner;
        let book = inner.fence.book();
        let recorded = |patient: &NhsNumber| book.facts(run.source, *patient).recorded;
        let begin: Vec<NhsNumber> = run.came.iter().filter(|p| !recorded(p)).copied().collect();
        let may_end: Vec<NhsNumber> = run.went.iter().copied().collect();
        let dissents = run.came.iter().any(|p| book.dissents(run.source, *p));
        if begin.is_empty() && may_end.is_empty() && run.marked.is_empty() && !dissents {
            return Ok(Box::new(Nothing));
        }
        if begin.is_empty() && may_end.is_empty() && inner.note_in_between(run).await? {
            return Ok(Box::new(Nothing));
        }
        let turn = inner.begin().await?;
        inner.note_what_came(run).await?;
        let follows = inner.follows(run.source, &begin, &may_end);
        if !follows.jobs.is_empty() {
            let group = AppendGroup {
                with: With {
                    jobs: follows.jobs.clone(),
                    ..With::nothing()
                },
                at: inner.clock.now_ms(),
                ..AppendGroup::default()
            };
            inner.store.append(&group).await?;
        }
        Ok(Box::new(Changing {
            inner: Arc::clone(inner),
            turn,
            unit: run.source,
            begin,
            may_end,
            follows,
        }))
    }
}

/// Nobody came onto the caseload or left it.
struct Nothing;

#[async_trait]
impl Projecting for Nothing {
    async fn projected(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Someone may have.
struct Changing {
    inner: Arc<Inner>,
    turn: Turn,
    unit: OdsCode,
    begin: Vec<NhsNumber>,
    may_end: Vec<NhsNumber>,
    follows: Consequences,
}

#[async_trait]
impl Projecting for Changing {
    async fn projected(self: Box<Self>) -> Result<(), StoreError> {
        let patients = [self.begin, self.may_end].concat();
        let have = self.inner.store.have_records(self.unit, &patients).await?;
        self.inner.enter_who_left(&self.follows, &have).await?;
        let swap = |book: &Book| {
            let gone = with_recorded(book, self.unit, &patients, false);
            with_recorded(&gone, self.unit, &have, true)
        };
        self.inner.fence.swap(swap, &[]);
        drop(self.turn);
        self.inner.fence.refresh(self.follows.recipients());
        Ok(())
    }
}

impl Inner {
    /// Enters the removals that are due of those who did leave the caseload: who may, and did not, is nobody's to
    /// read of. A crash before this leaves what the recipients say when they have removed it.
    async fn enter_who_left(&self, follows: &Consequences, have: &[NhsNumber]) -> Result<(), StoreError> {
        let mut due = follows.due.clone();
        due.retain(|due| !matches!(due, Due::Patient(_, patient, _) if have.contains(patient)));
        let entries = self.entries_of_due(self.clock.now_ms(), &due)?;
        if entries.is_empty() {
            return Ok(());
        }
        self.store.enter(&entries).await
    }

    /// Where nothing in the book follows from a run: notes what came between two changes, none of which waits for
    /// the projection. False where it is not known what the book is.
    async fn note_in_between(&self, run: &Run) -> Result<bool, StoreError> {
        let _still = self.order.still().await;
        if self.must_be_sure() {
            return Ok(false);
        }
        self.note_what_came(run).await?;
        Ok(true)
    }

    /// Notes, before it is projected, what came of who dissents, and what records were before they were marked.
    async fn note_what_came(&self, run: &Run) -> Result<(), StoreError> {
        let book = self.fence.book();
        let dissenting = run.came.iter().filter(|p| book.dissents(run.source, **p));
        let dissenting: Vec<NhsNumber> = dissenting.copied().collect();
        if dissenting.is_empty() && run.marked.is_empty() {
            return Ok(());
        }
        self.store
            .note_erasures(run.source, &dissenting, &run.marked, run.through)
            .await?;
        self.erasing.wake();
        Ok(())
    }

    /// What follows where these patients come onto the caseload, and where those may leave it.
    fn follows(&self, unit: OdsCode, begin: &[NhsNumber], may_end: &[NhsNumber]) -> Consequences {
        let (book, now) = (self.fence.book(), self.clock.now_ms());
        let mut follows = Consequences::default();
        let (pairs, opened) = (by_caseload(&book, unit), opened_from(&book, unit));
        if pairs.is_empty() && opened.is_empty() {
            return follows;
        }
        let came = with_recorded(&book, unit, begin, true);
        let went = with_recorded(&came, unit, may_end, false);
        for (before, after, patients) in [(&*book, &came, begin), (&came, &went, may_end)] {
            follows.of_pairs(before, after, &pairs, patients, now);
            follows.of_pairs(before, after, &opened, &others(after, unit, patients), now);
        }
        follows
    }
}

/// The pairs out of a unit with an emergency access: that follows a number only where nothing is recorded under it
/// any more.
fn opened_from(book: &Book, unit: OdsCode) -> Vec<Pair> {
    let pairs = book.emergencies().map(|(_, emergency)| emergency.pair);
    let mut pairs: Vec<Pair> = pairs.filter(|pair| pair.source == unit).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The other numbers of these patients.
fn others(book: &Book, unit: OdsCode, patients: &[NhsNumber]) -> Vec<NhsNumber> {
    let Some(known) = book.patients(unit) else {
        return Vec::new();
    };
    let others = patients.iter().flat_map(|patient| known.others(*patient));
    others.copied().collect()
}

fn with_recorded(book: &Book, unit: OdsCode, patients: &[NhsNumber], recorded: bool) -> Book {
    book.with_facts(unit, patients.iter().copied(), |facts| Facts {
        recorded,
        ..facts
    })
}

/// The pairs into a unit that go by its caseload, or did before a change that is not through.
fn by_caseload(book: &Book, unit: OdsCode) -> Vec<Pair> {
    let of_unit = book.sources_to(unit);
    let pairs = of_unit.iter().map(|source| Pair {
        source: *source,
        recipient: unit,
    });
    let by_caseload = |pair: &Pair| {
        let now = Terms::of(&book.terms(*pair), book.policy());
        let mut all = book.former_terms(*pair).iter().chain([&now]);
        all.any(|terms| [terms.share_out, terms.share_in].iter().any(asks))
    };
    pairs.filter(by_caseload).collect()
}

fn asks(half: &HalfTerms) -> bool {
    half.scope.patients == Patients::Caseload
}
