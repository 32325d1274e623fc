//! What may have been handed over when the daemon ended out of order: beyond each grant's cursor, and in each job
//! beyond what was received, as far as it is committed that either may have gone (its reach). Of grants that ended it
//! was entered with their end.
//!
//! Invariants: it is never too little, but in one case; of what was withheld it is nothing, because whoever it was
//! withheld from reads these entries; of an emergency access, and of a job over one patient, it is that patient's
//! amendments and nobody else's. Bounded in memory: what was found is given on as soon as it is much.
//!
//! The one case: an emergency access had followed its patient to another number, something was then recorded under the
//! number that was left, and the daemon was killed before what went until then was received. Whether that number was the
//! patient's alone is not known of the past, and naming another patient to the recipient would be worse.

use std::collections::{BTreeMap, HashMap};

use handfast_proto::{
    amendment::Op,
    ids::{NhsNumber, OdsCode},
    v1::PerhapsCause,
};

use self::allowed::Allowed;
use crate::{
    audit::{Disclosures, Stream},
    consent::GrantId,
    store::{JobId, JobKind, LogRow, ReachMove, Store, StoreError},
};

mod allowed;

/// Bytes of the log read at once of what is not projected yet, and where everybody's amendments are looked at.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes of the log read at once where it is known which batch is wanted: that batch.
const READ_ONE: usize = 1;

/// Runs of seqs that are given on at once, about.
const MAX_RUNS: usize = 16 * 1024;

/// A stream, beyond and up to which seq of its source something of it may have been on its way.
#[derive(Clone, Copy, Debug)]
struct Open {
    stream: Stream,
    after: u64,
    upto: u64,
}

/// Gives `keep`, in parts, everything that was due when the daemon ended and may have been on its way.
pub(super) async fn in_doubt<K>(store: &dyn Store, now: i64, mut keep: K) -> anyhow::Result<()>
where
    K: AsyncFnMut(Disclosures) -> anyhow::Result<()>,
{
    let (everyones, patients) = open(store).await?;
    let streams = everyones
        .values()
        .flatten()
        .chain(patients.iter().map(|(o, _)| o));
    let pairs = streams.map(|open| open.stream.pair).collect();
    let allowed = Allowed::read(store, &pairs, now).await?;
    let mut found = Looking {
        store,
        allowed,
        perhaps: Disclosures::default(),
    };
    for (source, streams) in everyones {
        let mut at = 0;
        while let Some(next) = next(&streams, at) {
            at = found.read(source, &streams, next, READ_BYTES).await?;
            found.give_on(MAX_RUNS, &mut keep).await?;
        }
    }
    for (open, numbers) in patients {
        found.of_patient(open, &numbers).await?;
        found.give_on(MAX_RUNS, &mut keep).await?;
    }
    found.give_on(0, &mut keep).await
}

/// From where on something of one of the streams is in doubt, at a seq or beyond it.
fn next(streams: &[Open], at: u64) -> Option<u64> {
    let due = streams.iter().filter(|open| open.upto > at);
    due.map(|open| open.after.max(at)).min()
}

/// What was under way: of everybody's records, by source, and of one patient's, with the patient's numbers.
type UnderWay = (BTreeMap<OdsCode, Vec<Open>>, Vec<(Open, Vec<NhsNumber>)>);

async fn open(store: &dyn Store) -> Result<UnderWay, StoreError> {
    let heads = store.heads().await?;
    let heads: HashMap<OdsCode, u64> = heads.into_iter().map(|(of, head)| (of, head.seq)).collect();
    let head = |source| heads.get(&source).copied().unwrap_or(0);
    let numbers = allowed::numbers(store).await?;
    let (mut everyones, mut patients): UnderWay = Default::default();
    let mut add = |open: Open, of: Option<Vec<NhsNumber>>| match of {
        _ if open.after >= open.upto => {}
        Some(numbers) => patients.push((open, numbers)),
        None => everyones.entry(open.stream.pair.source).or_default().push(open),
    };
    for recipient in store.owed_recipients().await? {
        let reaches = store.reaches(recipient).await?.into_iter();
        let reaches: HashMap<(GrantId, Option<JobId>), ReachMove> =
            reaches.map(|reach| ((reach.grant, reach.job), reach)).collect();
        let reach = |grant, job| {
            let reach: Option<&ReachMove> = reaches.get(&(grant, job));
            reach.map_or((0, 0), |reach| (reach.from, reach.upto))
        };
        let (pairs, jobs) = store.recipient_jobs(recipient).await?;
        for state in pairs {
            let (pair, grant) = (state.pair, state.grant);
            let open = Open {
                stream: Stream {
                    pair,
                    grant,
                    job: None,
                },
                after: state.cursor,
                upto: head(pair.source).min(reach(grant, None).1),
            };
            let known = numbers.get(&pair.source);
            let all = |patient| known.map_or_else(|| vec![patient], |known| known.numbers_of(patient));
            add(open, state.patient.map(all));
        }
        for job in jobs {
            let head = head(job.pair.source);
            let (patient, after, upto) = match job.kind {
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
            let (from, reach) = reach(job.grant, Some(job.id));
            let (after, upto) = (after.max(from), upto.min(reach));
            add(Open { stream, after, upto }, patient.map(|patient| vec![patient]));
        }
    }
    Ok((everyones, patients))
}

struct Looking<'s> {
    store: &'s dyn Store,
    allowed: Allowed,
    perhaps: Disclosures,
}

impl Looking<'_> {
    /// Gives on what was found, where that is more than so many runs.
    async fn give_on<K>(&mut self, most: usize, keep: &mut K) -> anyhow::Result<()>
    where
        K: AsyncFnMut(Disclosures) -> anyhow::Result<()>,
    {
        if self.perhaps.runs() > most {
            keep(std::mem::take(&mut self.perhaps)).await?;
        }
        Ok(())
    }

    /// Looks at the versions of a patient's records.
    async fn of_patient(&mut self, open: Open, numbers: &[NhsNumber]) -> Result<(), StoreError> {
        let source = open.stream.pair.source;
        // Up to where the source is projected it is known in which stretches of its stream a patient is.
        let projected = self.store.projected_through(source).await?.min(open.upto);
        let mut at = open.after;
        while at < projected {
            let mut next: Option<(u64, u64)> = None;
            for number in numbers {
                let found = self.store.seqs_of_patient(source, *number, at, 1).await?;
                next = next.into_iter().chain(found).min();
            }
            let Some((first, last)) = next.filter(|(first, _)| *first <= projected) else {
                break;
            };
            let (mut from, upto) = (at.max(first - 1), last.min(projected));
            let stretch = Open {
                after: from,
                upto,
                ..open
            };
            while from < upto {
                from = self.read_of(stretch, numbers, from, READ_ONE).await?;
            }
            at = upto;
        }
        let mut at = open.after.max(projected);
        while at < open.upto {
            at = self.read_of(open, numbers, at, READ_BYTES).await?;
        }
        Ok(())
    }

    async fn read_of(
        &mut self,
        open: Open,
        numbers: &[NhsNumber],
        at: u64,
        bytes: usize,
    ) -> Result<u64, StoreError> {
        let of = |patient: NhsNumber| numbers.contains(&patient);
        self.look(open.stream.pair.source, &[open], of, at, bytes).await
    }

    async fn read(
        &mut self,
        source: OdsCode,
        streams: &[Open],
        at: u64,
        bytes: usize,
    ) -> Result<u64, StoreError> {
        self.look(source, streams, |_| true, at, bytes).await
    }

    /// Looks at the batches beyond a seq; how far that came.
    async fn look(
        &mut self,
        source: OdsCode,
        streams: &[Open],
        of: impl Fn(NhsNumber) -> bool,
        at: u64,
        bytes: usize,
    ) -> Result<u64, StoreError> {
        let rows = self.store.read_log(source, at, bytes).await?;
        let Some(through) = rows.last().map(|row| row.last_seq) else {
            return Err(StoreError::Corrupt(format!(
                "the log of {source} ends before its head"
            )));
        };
        for row in rows {
            self.row(row, streams, &of)?;
        }
        Ok(through)
    }

    fn row(
        &mut self,
        row: LogRow,
        streams: &[Open],
        of: &impl Fn(NhsNumber) -> bool,
    ) -> Result<(), StoreError> {
        let committed = row.at;
        let batch = row.into_batch()?;
        // That a record is gone discloses nothing.
        let versions = batch
            .entries()
            .filter(|entry| matches!(entry.op, Op::Create | Op::Amend));
        for entry in versions {
            let Some(subject) = entry.subject.filter(|subject| of(subject.patient)) else {
                continue;
            };
            let due = streams
                .iter()
                .filter(|open| entry.seq > open.after && entry.seq <= open.upto);
            for open in due {
                if self.allowed.may_have_gone(open.stream, &subject, committed) {
                    let cause = PerhapsCause::UncleanStart;
                    self.perhaps.perhaps(open.stream, cause, entry.seq, entry.seq);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
