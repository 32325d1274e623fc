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

/// Patients read at once.
const PAGE_PATIENTS: u32 = 8192;

/// The book of a deployment.
pub async fn book(store: &dyn Store, now: i64) -> Result<Book, StoreError> {
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
    let mut patients: HashMap<OdsCode, UnitPatients> = HashMap::new();
    for unit in &units {
        patients.insert(unit.ods, of_unit(store, unit.ods).await?);
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
    for unit in &units {
        for (pair, terms) in former_terms(store, unit.ods).await? {
            book = book.with_former_terms(pair, &terms);
        }
    }
    Ok(book)
}

async fn of_unit(store: &dyn Store, unit: OdsCode) -> Result<UnitPatients, StoreError> {
    let mut known = UnitPatients::default();
    let mut after: Option<NhsNumber> = None;
    loop {
        let page = store.facts(unit, after, PAGE_PATIENTS).await?;
        for row in &page {
            let facts = Facts {
                share_out: row.share_out,
                share_in: row.share_in,
                recorded: false,
                claimed: row.claimed,
            };
            known.set(row.patient, facts);
        }
        let Some(last) = page.last() else { break };
        after = Some(last.patient);
    }
    after = None;
    loop {
        let page = store.recorded_patients(unit, after, PAGE_PATIENTS).await?;
        for patient in &page {
            let facts = known.facts(*patient);
            known.set(
                *patient,
                Facts {
                    recorded: true,
                    ..facts
                },
            );
        }
        let Some(last) = page.last() else { break };
        after = Some(*last);
    }
    Ok(known)
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
