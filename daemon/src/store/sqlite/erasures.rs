//! What is not to be in the log any more: which payloads of a source, up to which seq, and whether they are
//! overwritten.
//!
//! Invariant: what is not to be in the log is noted here before anything of it is overwritten, so that a
//! projection made anew knows of it.

use std::collections::HashMap;

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};
use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    database::Database,
    fault::fault,
    values::{Columns, corrupt, int},
};
use crate::store::{RecordVersion, StoreError};

/// Whose payloads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// Those of a patient's records.
    Patient(NhsNumber),
    /// Those of one record.
    Record(RecordId),
}

/// Payloads that are not to be in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Erasure {
    pub(super) source: OdsCode,
    pub(super) whose: Whose,
    /// The last seq that is meant.
    pub(super) upto: u64,
}

const NOTE_PATIENT: &str = "
    INSERT INTO erased (source, patient, upto) VALUES (?1, ?2, ?3)
    ON CONFLICT (source, patient) WHERE patient IS NOT NULL DO UPDATE SET upto = max(upto, excluded.upto)";

const NOTE_RECORD: &str = "
    INSERT INTO erased (source, record, upto) VALUES (?1, ?2, ?3)
    ON CONFLICT (source, record) WHERE record IS NOT NULL DO UPDATE SET upto = max(upto, excluded.upto)";

/// Notes erasures, in one transaction.
pub(super) async fn note(main: &Database, erasures: &[Erasure]) -> Result<(), StoreError> {
    if erasures.is_empty() {
        return Ok(());
    }
    let mut write = main.write().await?;
    let result = note_all(write.conn(), erasures).await;
    write.finish(result).await
}

async fn note_all(conn: &mut SqliteConnection, erasures: &[Erasure]) -> Result<(), StoreError> {
    for erasure in erasures {
        let sql = match erasure.whose {
            Whose::Patient(_) => NOTE_PATIENT,
            Whose::Record(_) => NOTE_RECORD,
        };
        bound(sql, erasure)?.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// The patients of whom something at a source was noted, by number.
pub(super) async fn patients(
    main: &Database,
    source: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<NhsNumber>, StoreError> {
    let sql = "SELECT patient FROM erased WHERE source = ?1 AND patient > ?2 AND patient IS NOT NULL
               ORDER BY patient LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.patient("patient")).collect()
}

/// Notes that its payloads are overwritten.
pub(super) async fn finish(main: &Database, erasure: &Erasure) -> Result<(), StoreError> {
    let sql = match erasure.whose {
        Whose::Patient(_) => "UPDATE erased SET done = max(done, ?3) WHERE source = ?1 AND patient = ?2",
        Whose::Record(_) => "UPDATE erased SET done = max(done, ?3) WHERE source = ?1 AND record = ?2",
    };
    let mut write = main.write().await?;
    let noted = bound(sql, erasure)?.execute(write.conn()).await;
    write.finish(noted.map_err(fault).map(drop)).await
}

fn bound<'q>(
    sql: &'static str,
    erasure: &'q Erasure,
) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
    let query = sqlx::query(sql).bind(erasure.source.as_str());
    let query = match &erasure.whose {
        Whose::Patient(patient) => query.bind(int(patient.as_u64())?),
        Whose::Record(record) => query.bind(record.as_str()),
    };
    Ok(query.bind(int(erasure.upto)?))
}

/// The erasures that are noted and not done, at most `limit`.
pub(super) async fn unfinished(main: &Database, limit: u32) -> Result<Vec<Erasure>, StoreError> {
    let rows = sqlx::query("SELECT source, patient, record, upto FROM erased WHERE done < upto LIMIT ?1")
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let erasure = |row| {
        let row: &sqlx::sqlite::SqliteRow = row;
        let whose = match row.patient_or_none("patient")? {
            Some(patient) => Whose::Patient(patient),
            None => Whose::Record(row.parsed("record")?),
        };
        Ok(Erasure {
            source: row.parsed("source")?,
            whose,
            upto: row.count("upto")?,
        })
    };
    rows.iter().map(erasure).collect()
}

/// Whether anything was ever erased.
pub(super) async fn any(main: &Database) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM erased) AS any_erased")
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    row.column("any_erased")
}

/// Which versions of a source are erased, as far as they may be among those that are asked about.
#[derive(Debug, Default)]
pub(super) struct Marks {
    patients: HashMap<NhsNumber, u64>,
    records: HashMap<String, u64>,
}

impl Marks {
    /// Those that reach up to `from` or beyond.
    pub(super) async fn from(main: &Database, source: OdsCode, from: u64) -> Result<Self, StoreError> {
        let rows = sqlx::query("SELECT patient, record, upto FROM erased WHERE source = ?1 AND upto >= ?2")
            .bind(source.as_str())
            .bind(int(from)?)
            .fetch_all(main.readers())
            .await
            .map_err(fault)?;
        let mut marks = Self::default();
        for row in &rows {
            let upto = row.count("upto")?;
            match (
                row.patient_or_none("patient")?,
                row.column::<Option<&str>>("record")?,
            ) {
                (Some(patient), None) => drop(marks.patients.insert(patient, upto)),
                (None, Some(record)) => drop(marks.records.insert(record.to_owned(), upto)),
                _ => return Err(corrupt("an erasure is neither a patient's nor a record's")),
            }
        }
        Ok(marks)
    }

    /// Whether a version's payload is not to be in the log.
    pub(super) fn has(&self, version: &RecordVersion) -> bool {
        let reaches = |upto: Option<&u64>| upto.is_some_and(|upto| version.seq <= *upto);
        let patient = version.subject.map(|subject| subject.patient);
        reaches(patient.and_then(|patient| self.patients.get(&patient)))
            || reaches(self.records.get(version.record.as_str()))
    }
}
