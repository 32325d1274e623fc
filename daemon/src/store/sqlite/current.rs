//! What is asked of the current records: in which order they are sent, whose they are, how many there are.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{NhsNumber, OdsCode},
};
use sqlx::sqlite::SqliteRow;

use super::{
    database::Database,
    fault::fault,
    values::{Columns, corrupt, int},
};
use crate::store::{CurrentRecord, Of, StoreError, SubjectCount};

/// Rows that one patient may have in a count, at most: categories times marks.
const ROWS_OF_A_PATIENT: u32 = 64;

pub(super) const RECORDS: &str = "
    SELECT seq, patient, category, confidentiality, erased FROM record
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND retracted = 0 AND erased <= ?5
      AND seq > ?2 AND seq <= ?3
    ORDER BY seq LIMIT ?4";

/// By the index of patients, however many records others have; the seqs are in the records alone.
pub(super) const RECORDS_OF_PATIENT: &str = "
    SELECT seq, patient, category, confidentiality, erased FROM record INDEXED BY record_by_patient
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND retracted = 0 AND erased <= ?5
      AND seq > ?2 AND seq <= ?3 AND patient = ?6
    ORDER BY seq LIMIT ?4";

pub(super) const HAVE: &str = "
    SELECT value AS patient FROM json_each(?2)
    WHERE EXISTS (
        SELECT 1 FROM record
        WHERE source = (SELECT id FROM source WHERE ods = ?1) AND patient = value AND retracted = 0)
    ORDER BY key";

/// One look into the index for each patient, however many records there are of each; a page in one row.
const PATIENTS: &str = "
    WITH RECURSIVE next (patient) AS (
        SELECT (SELECT min(patient) FROM record
                WHERE source = (SELECT id FROM source WHERE ods = ?1) AND retracted = 0 AND patient > ?2)
        UNION ALL
        SELECT (SELECT min(record.patient) FROM record
                WHERE source = (SELECT id FROM source WHERE ods = ?1) AND retracted = 0
                  AND record.patient > next.patient)
        FROM next WHERE next.patient IS NOT NULL LIMIT ?3
    )
    SELECT json_group_array(patient) AS patients FROM next WHERE patient IS NOT NULL";

/// In the order of the index, so that nothing is sorted and no more is read than is asked for.
const SUBJECTS: &str = "
    SELECT patient, category, confidentiality, count(*) AS records FROM record
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND +retracted = 0 AND patient > ?2
    GROUP BY patient, retracted, category, confidentiality
    ORDER BY patient, retracted, category, confidentiality LIMIT ?3";

/// For the test that looks at their plans: the index of each.
#[cfg(test)]
pub(super) const READS: [(&str, &str); 5] = [
    (RECORDS, "USING COVERING INDEX live_record"),
    (RECORDS_OF_PATIENT, "USING INDEX record_by_patient"),
    (HAVE, "USING COVERING INDEX record_by_patient"),
    (PATIENTS, "USING COVERING INDEX record_by_patient"),
    (SUBJECTS, "USING COVERING INDEX record_by_patient"),
];

/// Whether records of which the payload was erased are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Erased {
    LeftOut,
    Too,
}

/// The seqs in (`after`, `upto`] that are a current version and not retracted, in order, with what the gate reads
/// of each.
pub(super) async fn records(
    records: &Database,
    source: OdsCode,
    of: Of,
    erased: Erased,
    (after, upto): (u64, u64),
    limit: u32,
) -> Result<Vec<CurrentRecord>, StoreError> {
    let query = match of {
        Of::Everyone => sqlx::query(RECORDS),
        Of::Patient(_) => sqlx::query(RECORDS_OF_PATIENT),
    };
    let query = query
        .bind(source.as_str().to_owned())
        .bind(int(after)?)
        .bind(int(upto)?)
        .bind(limit)
        .bind(erased == Erased::Too);
    let query = match of {
        Of::Everyone => query,
        Of::Patient(patient) => query.bind(int(patient.as_u64())?),
    };
    let rows = query.fetch_all(records.readers()).await.map_err(fault)?;
    let record = |row: &SqliteRow| {
        Ok(CurrentRecord {
            seq: row.count("seq")?,
            subject: subject(row)?,
            erased: row.column("erased")?,
        })
    };
    rows.iter().map(record).collect()
}

/// Which of these patients have a current record that is not retracted.
pub(super) async fn have(
    records: &Database,
    source: OdsCode,
    patients: &[NhsNumber],
) -> Result<Vec<NhsNumber>, StoreError> {
    let asked: Vec<u64> = patients.iter().map(|patient| patient.as_u64()).collect();
    let asked = serde_json::to_string(&asked).map_err(|error| StoreError::Failed(error.to_string()))?;
    let rows = sqlx::query(HAVE)
        .bind(source.as_str())
        .bind(asked)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.patient("patient")).collect()
}

/// Everyone of whom there is a current record that is not retracted, by number.
pub(super) async fn patients(
    records: &Database,
    source: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<NhsNumber>, StoreError> {
    let row = sqlx::query(PATIENTS)
        .bind(source.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(limit)
        .fetch_one(records.readers())
        .await
        .map_err(fault)?;
    row.patients("patients")
}

/// How many current records, not retracted, the gate reads alike, by patient; a patient is never parted.
pub(super) async fn subjects(
    records: &Database,
    source: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<SubjectCount>, StoreError> {
    let asked = limit.max(ROWS_OF_A_PATIENT).saturating_add(1);
    let rows = sqlx::query(SUBJECTS)
        .bind(source.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(asked)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    let mut counts = rows.iter().map(subject_count).collect::<Result<Vec<_>, _>>()?;
    if let Some(last) = counts.last().map(|count| count.subject.patient)
        && counts.len() == usize::try_from(asked).unwrap_or(usize::MAX)
    {
        // More of the last patient may lie beyond.
        counts.retain(|count| count.subject.patient != last);
    }
    Ok(counts)
}

fn subject_count(row: &SqliteRow) -> Result<SubjectCount, StoreError> {
    Ok(SubjectCount {
        subject: subject(row)?,
        records: row.count("records")?,
    })
}

fn subject(row: &SqliteRow) -> Result<Subject, StoreError> {
    let category = Category::try_from(row.column::<i32>("category")?);
    let marks = Confidentiality::from_bits(row.column("confidentiality")?);
    Ok(Subject {
        patient: row.patient("patient")?,
        category: category.map_err(|_| corrupt("a record's category is unknown"))?,
        confidentiality: marks.ok_or_else(|| corrupt("a record's marks are unknown"))?,
    })
}
