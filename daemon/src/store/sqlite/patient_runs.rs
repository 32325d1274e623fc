//! Which patients the amendments of each stretch of a stream are about: a few bytes an amendment, written in the
//! order of the stream, so that the log need be read only where a patient is in it.

use std::sync::LazyLock;

use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    audit_index::BLOCK_SEQS,
    database::Database,
    fault::fault,
    shapes::Shapes,
    values::{Columns, int},
};
use crate::store::{RecordVersion, StoreError};

/// Seqs in one stretch: none goes beyond a block of the audit log's index.
pub(super) const RUN_SEQS: u64 = BLOCK_SEQS;

/// Rows in one insert.
const INSERT_ROWS: [usize; 2] = [64, 8];

/// Bytes of a number as it is kept: ten digits are below 2^34.
const NUMBER_BYTES: usize = 5;

static INSERT: LazyLock<Shapes> = LazyLock::new(|| {
    let head = "INSERT OR REPLACE INTO patient_run (source, first_seq, last_seq, patients) VALUES";
    Shapes::new(head, "(?, ?, ?, ?)", "", &INSERT_ROWS)
});

/// Whom the amendments from `first` to `last` are about.
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Rising.
    pub(super) patients: Vec<u64>,
}

/// Notes whom versions are about, in the projection's own transaction. `source` is the source's row.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    source: i64,
    versions: &[RecordVersion],
) -> Result<(), StoreError> {
    let runs = runs(versions);
    let mut waiting = runs.as_slice();
    while !waiting.is_empty() {
        let (rows, sql) = INSERT.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut insert = sqlx::query(sql);
        for run in now {
            let patients = run.patients.iter().flat_map(|number| bytes(*number));
            insert = insert
                .bind(source)
                .bind(int(run.first)?)
                .bind(int(run.last)?)
                .bind(patients.collect::<Vec<u8>>());
        }
        insert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// Stretches that begin at the same places whatever is projected at once, but for the first of a slice.
fn runs(versions: &[RecordVersion]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for version in versions {
        let patient = version.subject.map(|subject| subject.patient.as_u64());
        match runs
            .last_mut()
            .filter(|run| run.first / RUN_SEQS == version.seq / RUN_SEQS)
        {
            Some(run) => {
                run.last = version.seq;
                run.patients.extend(patient);
            }
            None => runs.push(Run {
                first: version.seq,
                last: version.seq,
                patients: patient.into_iter().collect(),
            }),
        }
    }
    for run in &mut runs {
        run.patients.sort_unstable();
        run.patients.dedup();
    }
    runs
}

fn bytes(number: u64) -> [u8; NUMBER_BYTES] {
    let [_, _, _, rest @ ..] = number.to_be_bytes();
    rest
}

/// What is kept as [`bytes`] are; a piece that is too short is no patient's number.
fn number(bytes: &[u8]) -> u64 {
    let number = bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    if bytes.len() == NUMBER_BYTES {
        number
    } else {
        u64::MAX
    }
}

/// Stretches of a source in order, beyond one that begins at `after`.
pub(super) async fn page(
    records: &Database,
    source: OdsCode,
    after: i64,
    limit: u32,
) -> Result<Vec<Run>, StoreError> {
    let sql = "SELECT first_seq, last_seq, patients FROM patient_run
               WHERE source = (SELECT id FROM source WHERE ods = ?1) AND first_seq > ?2
               ORDER BY first_seq LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(after)
        .bind(limit)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    let run = |row: &SqliteRow| {
        let patients = row.column::<&[u8]>("patients")?.chunks(NUMBER_BYTES);
        Ok(Run {
            first: row.count("first_seq")?,
            last: row.count("last_seq")?,
            patients: patients.map(number).collect(),
        })
    };
    rows.iter().map(run).collect()
}

/// Where the last stretch of a source ends; 0: there is none.
pub(super) async fn last(records: &Database, source: OdsCode) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(last_seq), 0) AS last FROM patient_run
               WHERE source = (SELECT id FROM source WHERE ods = ?1)";
    let row = sqlx::query(sql)
        .bind(source.as_str())
        .fetch_one(records.readers())
        .await
        .map_err(fault)?;
    row.count("last")
}

/// Forgets a source.
pub(super) async fn forget(conn: &mut SqliteConnection, source: OdsCode) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM patient_run WHERE source = (SELECT id FROM source WHERE ods = ?1)")
        .bind(source.as_str())
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// The same of the stretches in some blocks of as many seqs, which stand in a JSON array.
pub(super) async fn of_patient_in(
    records: &Database,
    source: OdsCode,
    patient: NhsNumber,
    after: u64,
    blocks: &str,
) -> Result<Vec<(u64, u64)>, StoreError> {
    let sql = "SELECT run.first_seq, run.last_seq FROM json_each(?1) AS block
               CROSS JOIN patient_run AS run ON run.source = (SELECT id FROM source WHERE ods = ?2)
                 AND run.first_seq BETWEEN block.value * ?3 AND block.value * ?3 + ?3 - 1
               WHERE run.last_seq > ?4 AND instr(run.patients, ?5) > 0";
    let rows = sqlx::query(sql)
        .bind(blocks)
        .bind(source.as_str())
        .bind(int(RUN_SEQS)?)
        .bind(int(after)?)
        .bind(bytes(patient.as_u64()).to_vec())
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| Ok((row.count("first_seq")?, row.count("last_seq")?)))
        .collect()
}

/// Stretches that hold amendments about a patient. The bytes of two numbers beside one another may look like a
/// third: then one too many is given.
pub(super) async fn of_patient(
    records: &Database,
    source: OdsCode,
    patient: NhsNumber,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, u64)>, StoreError> {
    let sql = "SELECT first_seq, last_seq FROM patient_run
               WHERE source = (SELECT id FROM source WHERE ods = ?1) AND last_seq > ?2
                 AND first_seq > ?3 AND instr(patients, ?4) > 0
               ORDER BY first_seq LIMIT ?5";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(after)?)
        // By the key: no stretch that ends beyond `after` begins a whole stretch before it.
        .bind(int(after.saturating_sub(RUN_SEQS))?)
        .bind(bytes(patient.as_u64()).to_vec())
        .bind(limit)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| Ok((row.count("first_seq")?, row.count("last_seq")?)))
        .collect()
}
