//! Checks by what amendments about a patient are found (`patient_run`) against the log: every stretch holds whom its
//! amendments are about and nobody else, and every amendment that is projected lies in one.
//!
//! Bounded in memory: one page of the log, and one of stretches.

use std::collections::VecDeque;

use handfast_proto::{
    amendment::{Entry, Op},
    ids::OdsCode,
};

use super::{
    database::Database,
    fault::fault,
    log,
    patient_runs::{self, RUN_SEQS, Run},
    projection,
    values::{Columns, int},
};
use crate::store::{StoreError, WrongStretch};

/// Bytes of the log read at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// Stretches read at once.
const PAGE_RUNS: u32 = 1024;

/// The first stretch that is wrong.
pub(super) async fn first_wrong(
    main: &Database,
    records: &Database,
) -> Result<Option<WrongStretch>, StoreError> {
    let sql = "SELECT ods FROM source ORDER BY ods";
    let rows = sqlx::query(sql)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    for row in &rows {
        let source: OdsCode = row.parsed("ods")?;
        if let Some((from, to)) = of_source(main, records, source).await? {
            return Ok(Some(WrongStretch { source, from, to }));
        }
    }
    let sql = "SELECT count(*) AS strays FROM patient_run WHERE source NOT IN (SELECT id FROM source)";
    let row = sqlx::query(sql)
        .fetch_one(records.readers())
        .await
        .map_err(fault)?;
    match row.count("strays")? {
        0 => Ok(None),
        _ => Err(super::values::corrupt("a stretch is no source's")),
    }
}

async fn of_source(
    main: &Database,
    records: &Database,
    source: OdsCode,
) -> Result<Option<(u64, u64)>, StoreError> {
    let through = projection::through(records, source).await?;
    let mut checked = Checked {
        runs: Runs {
            records,
            source,
            page: VecDeque::new(),
            after: i64::MIN,
        },
        open: None,
    };
    let mut at = 0;
    while at < through {
        let rows = log::read(main, source, at, PAGE_BYTES).await?;
        if rows.is_empty() {
            // It is said to be projected, and is not there.
            return Ok(Some((at + 1, through)));
        }
        for row in rows {
            let batch = row.into_batch()?;
            let after = at;
            at = batch.last_seq();
            for entry in batch.entries().filter(|e| e.seq > after && e.seq <= through) {
                if let Some(wrong) = checked.entry(&entry).await? {
                    return Ok(Some(wrong));
                }
            }
        }
    }
    if let Some(wrong) = checked.end()? {
        return Ok(Some(wrong));
    }
    beyond(&mut checked.runs, through).await
}

/// A stretch that nothing of the log lies in. What was projected meanwhile is not wrong.
async fn beyond(runs: &mut Runs<'_>, through: u64) -> Result<Option<(u64, u64)>, StoreError> {
    let Some(next) = runs.next().await? else {
        return Ok(None);
    };
    let now = projection::through(runs.records, runs.source).await?;
    let last = patient_runs::last(runs.records, runs.source).await?;
    let is_later = next.first > through && last <= now;
    Ok((!is_later).then_some((next.first, last.max(next.last))))
}

/// How far the check is.
struct Checked<'d> {
    runs: Runs<'d>,
    open: Option<Open>,
}

/// The stretch that the amendments now lie in.
struct Open {
    run: Run,
    last: u64,
    patients: Vec<u64>,
}

impl Checked<'_> {
    /// The next amendment.
    async fn entry(&mut self, entry: &Entry<'_>) -> Result<Option<(u64, u64)>, StoreError> {
        // What a unit says to the daemon itself is no record.
        if entry.op == Op::Statement {
            return Ok(None);
        }
        let seq = entry.seq;
        if self.open.as_ref().is_some_and(|open| open.run.last < seq)
            && let Some(wrong) = self.end()?
        {
            return Ok(Some(wrong));
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let next = self.runs.next().await?;
                let Some(run) = next.filter(|run| run.is_well_formed() && run.first == seq) else {
                    return Ok(Some((seq, seq)));
                };
                Open {
                    run,
                    last: seq,
                    patients: Vec::new(),
                }
            }
        };
        open.last = seq;
        open.patients.extend(entry.subject.map(|s| s.patient.as_u64()));
        self.open = Some(open);
        Ok(None)
    }

    /// Nothing more lies in the stretch.
    fn end(&mut self) -> Result<Option<(u64, u64)>, StoreError> {
        let Some(mut open) = self.open.take() else {
            return Ok(None);
        };
        open.patients.sort_unstable();
        open.patients.dedup();
        let right = open.last == open.run.last && open.patients == open.run.patients;
        Ok((!right).then_some((open.run.first, open.run.last)))
    }
}

/// The stretches of a source, in order.
struct Runs<'d> {
    records: &'d Database,
    source: OdsCode,
    page: VecDeque<Run>,
    /// As it is kept: a row may begin anywhere.
    after: i64,
}

impl Runs<'_> {
    async fn next(&mut self) -> Result<Option<Run>, StoreError> {
        if self.page.is_empty() {
            self.page = patient_runs::page(self.records, self.source, self.after, PAGE_RUNS)
                .await?
                .into();
        }
        let next = self.page.pop_front();
        if let Some(run) = &next {
            self.after = int(run.first)?;
        }
        Ok(next)
    }
}

impl Run {
    fn is_well_formed(&self) -> bool {
        self.first <= self.last && self.first / RUN_SEQS == self.last / RUN_SEQS
    }
}
