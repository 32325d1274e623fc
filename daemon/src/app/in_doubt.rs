//! What may have been handed over when the daemon ended out of order: beyond each grant's cursor, and in each job
//! beyond what was received.
//!
//! Invariants: it is never too little; of an emergency access, and of a job over one patient, it is that patient's
//! amendments and nobody else's, because no others could go.

use std::collections::HashMap;

use handfast_proto::{
    amendment::{Batch, Op},
    audit::Runs,
    ids::{NhsNumber, OdsCode},
    v1::PerhapsCause,
};

use crate::{
    audit::{Disclosures, Stream},
    consent::UnitPatients,
    ingest::read_row,
    store::{JobKind, Store, StoreError},
};

/// Bytes of the log read at once of what is not projected yet.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes of the log read at once where it is known which batch is wanted: that batch.
const READ_ONE: usize = 1;

/// Everything that was due when the daemon ended and may have been on its way.
pub(super) async fn in_doubt(store: &dyn Store, now: i64) -> Result<Disclosures, StoreError> {
    let heads = store.heads().await?;
    let heads: HashMap<OdsCode, u64> = heads.into_iter().map(|(of, head)| (of, head.seq)).collect();
    let head = |source| heads.get(&source).copied().unwrap_or(0);
    let mut known: HashMap<OdsCode, UnitPatients> = HashMap::new();
    for joined in store.joined_numbers().await? {
        let of_unit = known.entry(joined.unit).or_default();
        of_unit.join(joined.former, joined.current);
    }
    let numbers = |source, patient| {
        let of_unit = known.get(&source);
        of_unit.map_or_else(|| vec![patient], |known| known.numbers_of(patient))
    };
    let mut perhaps = Disclosures::default();
    for unit in store.units(now).await? {
        let (pairs, jobs) = store.recipient_jobs(unit.ods).await?;
        for state in pairs {
            let stream = Stream {
                pair: state.pair,
                grant: state.grant,
                job: None,
            };
            let patients = state.patient.map(|patient| numbers(state.pair.source, patient));
            let beyond = (state.cursor, head(state.pair.source));
            enter(store, &mut perhaps, stream, patients.as_deref(), beyond).await?;
        }
        for job in jobs {
            let head = head(job.pair.source);
            let (patient, through, upto) = match job.kind {
                JobKind::CatchUp { upto, through } => (None, through, upto),
                JobKind::Changes { through, .. } => (None, through, head),
                JobKind::Patient { patient, through } => (Some(patient), through, head),
                JobKind::Withdraw { .. } => continue,
            };
            let stream = Stream {
                pair: job.pair,
                grant: job.grant,
                job: Some(job.id),
            };
            let patients = patient.as_ref().map(std::slice::from_ref);
            enter(store, &mut perhaps, stream, patients, (through, upto)).await?;
        }
    }
    Ok(perhaps)
}

/// Enters what of the seqs beyond the first, up to the second, may have gone; of these patients alone, where any are
/// named.
async fn enter(
    store: &dyn Store,
    perhaps: &mut Disclosures,
    stream: Stream,
    patients: Option<&[NhsNumber]>,
    (after, upto): (u64, u64),
) -> Result<(), StoreError> {
    let seqs = match patients {
        Some(numbers) => of_patient(store, stream.pair.source, numbers, (after, upto)).await?,
        None => Runs::of(after + 1, upto),
    };
    for (first, last) in seqs.iter() {
        perhaps.perhaps(stream, PerhapsCause::UncleanStart, first, last);
    }
    Ok(())
}

/// The seqs beyond `after` up to `upto` that are versions of a patient's records.
async fn of_patient(
    store: &dyn Store,
    source: OdsCode,
    numbers: &[NhsNumber],
    (after, upto): (u64, u64),
) -> Result<Runs, StoreError> {
    let mut seqs = Runs::default();
    // Up to where the source is projected it is known in which stretches of its stream a patient is.
    let projected = store.projected_through(source).await?.min(upto);
    let mut at = after;
    while at < projected {
        let mut next: Option<(u64, u64)> = None;
        for number in numbers {
            let found = store.seqs_of_patient(source, *number, at, 1).await?;
            next = next.into_iter().chain(found).min();
        }
        let Some((first, last)) = next.filter(|(first, _)| *first <= projected) else {
            break;
        };
        let from = at.max(first - 1);
        at = last.min(projected);
        read(store, source, numbers, (from, at), READ_ONE, &mut seqs).await?;
    }
    let from = after.max(projected);
    read(store, source, numbers, (from, upto), READ_BYTES, &mut seqs).await?;
    Ok(seqs)
}

/// Adds the versions of a patient's records beyond the first seq, up to the second, that the log has.
async fn read(
    store: &dyn Store,
    source: OdsCode,
    numbers: &[NhsNumber],
    (after, upto): (u64, u64),
    bytes: usize,
    seqs: &mut Runs,
) -> Result<(), StoreError> {
    let mut at = after;
    while at < upto {
        let rows = store.read_log(source, at, bytes).await?;
        if rows.is_empty() {
            return Err(StoreError::Corrupt(format!(
                "the log of {source} ends before its head"
            )));
        }
        for row in rows {
            let batch = read_row(row).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            add(&batch, numbers, (after, upto), seqs);
            at = batch.last_seq();
        }
    }
    Ok(())
}

fn add(batch: &Batch, numbers: &[NhsNumber], (after, upto): (u64, u64), seqs: &mut Runs) {
    let versions = batch
        .entries()
        .filter(|entry| matches!(entry.op, Op::Create | Op::Amend) && entry.seq > after && entry.seq <= upto);
    for entry in versions {
        if entry
            .subject
            .is_some_and(|subject| numbers.contains(&subject.patient))
        {
            seqs.insert(entry.seq, entry.seq);
        }
    }
}

#[cfg(test)]
mod tests;
