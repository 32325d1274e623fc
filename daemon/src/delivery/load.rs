//! The book as the store has it, read when the daemon starts, and again after a commit of which it is not known
//! whether it was kept.
//!
//! Facts are read in pages. In memory they take some twenty bytes for each patient of whom a unit recorded
//! something, or a word or a claim is known: twenty megabytes a million.

use std::collections::HashMap;

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::fence::{standing, terms};
use crate::{
    consent::{Book, Facts, Pair, Terms, UnitPatients},
    store::{JobKind, Store, StoreError},
};

/// Words, or patients, read at once.
pub(super) const PAGE: u32 = 8192;

/// The book of a deployment.
pub async fn book(store: &dyn Store, now: i64) -> Result<Book, StoreError> {
    book_in_pages(store, now, PAGE).await
}

/// The same, whatever a page holds.
pub(super) async fn book_in_pages(store: &dyn Store, now: i64, page: u32) -> Result<Book, StoreError> {
    let deployment = store.deployment().await?;
    let units = store.units(now).await?;
    let agreements = store.agreements(None).await?;
    let mut book = Book::new(
        deployment.policy,
        units.iter().map(|u| (u.ods, standing(u.state))),
        agreements.iter().map(|row| (row.pair, terms(row))),
    );
    for row in store.emergencies().await? {
        book = book.with_emergency(row.grant, row.emergency());
    }
    let mut patients = words(store, page).await?;
    for unit in store.claiming_units().await? {
        claimed(store, unit, page, patients.entry(unit).or_default()).await?;
    }
    let heads = store.heads().await?;
    for (source, _) in heads.into_iter().filter(|(_, head)| head.seq > 0) {
        recorded(store, source, page, patients.entry(source).or_default()).await?;
    }
    for joined in store.joined_numbers().await? {
        patients
            .entry(joined.unit)
            .or_default()
            .join(joined.former, joined.current);
    }
    for (unit, known) in patients {
        book = book.with_patients(unit, known);
    }
    for recipient in store.owed_recipients().await? {
        for (pair, terms) in former_terms(store, recipient).await? {
            book = book.with_former_terms(pair, &terms);
        }
    }
    Ok(book)
}

/// What patients said, at each unit. Whoever calls holds what changes words: a page shows them as they are when it is
/// read, so one that ended between two pages would be read as if it stood.
async fn words(store: &dyn Store, limit: u32) -> Result<HashMap<OdsCode, UnitPatients>, StoreError> {
    let mut all: HashMap<OdsCode, UnitPatients> = HashMap::new();
    let mut through = 0;
    loop {
        let page = store.standing_words(through, limit).await?;
        if page.words.is_empty() {
            return Ok(all);
        }
        for said in page.words {
            let known = all.entry(said.unit).or_default();
            let facts = known.facts(said.patient);
            known.set(said.patient, facts.with_word(said.side, said.word));
        }
        through = page.through;
    }
}

/// Who is on a unit's caseload by name.
async fn claimed(
    store: &dyn Store,
    unit: OdsCode,
    limit: u32,
    known: &mut UnitPatients,
) -> Result<(), StoreError> {
    let mut after: Option<NhsNumber> = None;
    loop {
        let page = store.claimed_patients(unit, after, limit).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        mark(known, &page, |facts| Facts {
            claimed: true,
            ..facts
        });
    }
}

/// Of whom a unit has records of its own.
async fn recorded(
    store: &dyn Store,
    unit: OdsCode,
    limit: u32,
    known: &mut UnitPatients,
) -> Result<(), StoreError> {
    let mut after: Option<NhsNumber> = None;
    loop {
        let page = store.recorded_patients(unit, after, limit).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        mark(known, &page, |facts| Facts {
            recorded: true,
            ..facts
        });
    }
}

fn mark(known: &mut UnitPatients, patients: &[NhsNumber], mark: impl Fn(Facts) -> Facts) {
    for patient in patients {
        known.set(*patient, mark(known.facts(*patient)));
    }
}

/// The terms before the changes that a recipient does not have everything of, by pair.
pub(super) async fn former_terms(
    store: &dyn Store,
    recipient: OdsCode,
) -> Result<HashMap<Pair, Vec<Terms>>, StoreError> {
    let (_, jobs) = store.recipient_jobs(recipient).await?;
    let mut all: HashMap<Pair, Vec<Terms>> = HashMap::new();
    for job in jobs {
        if let JobKind::Changes { before, .. } = job.kind {
            all.entry(job.pair).or_default().push(before);
        }
    }
    Ok(all)
}
