//! Where in a log the payloads of an erasure stand, as far as the projection knows; and the marks that an
//! erasure leaves in it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};
use sqlx::SqliteConnection;

use super::{
    database::Database,
    erasures::{Erasure, Whose},
    fault::fault,
    patient_runs,
    values::{Columns, int},
};
use crate::store::StoreError;

/// Stretches of a stream read at once.
const PAGE_STRETCHES: u32 = 1024;

const MARK_PATIENT: &str = "
    UPDATE record SET erased = 1
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND patient = ?2 AND seq <= ?3 AND erased = 0";

const MARK_RECORD: &str = "
    UPDATE record SET erased = 1
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND record = ?2 AND seq <= ?3 AND erased = 0";

/// The records of a patient that were another's, and whose.
const ONCE_ANOTHERS: &str = "
    SELECT record.record, moved.patient FROM record
    CROSS JOIN moved ON moved.source = record.source AND moved.record = record.record
    WHERE record.source = (SELECT id FROM source WHERE ods = ?1) AND record.patient = ?2";

/// Whose a record is, and was.
const PATIENTS_OF_RECORD: &str = "
    SELECT record, patient FROM record
    WHERE source = (SELECT id FROM source WHERE ods = ?1) AND record = ?2 AND patient IS NOT NULL
    UNION ALL
    SELECT record, patient FROM moved WHERE source = (SELECT id FROM source WHERE ods = ?1) AND record = ?2";

/// For the test that looks at their plans.
#[cfg(test)]
pub(super) const LOOKS: [&str; 4] = [MARK_PATIENT, MARK_RECORD, ONCE_ANOTHERS, PATIENTS_OF_RECORD];

/// Where the payloads of an erasure stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Stretches of the stream that are to be looked at: the last seq of each, and the first.
    stretches: BTreeMap<u64, u64>,
    /// Records of which every payload up to `records_upto` is meant, whatever patient it names.
    pub(super) records: HashSet<RecordId>,
    /// A patient's records are theirs as far as the projection knows: beyond it they may be another's again, whose
    /// payloads nobody would ask for.
    pub(super) records_upto: u64,
    /// Beyond this seq the projection does not know, and everything is looked at.
    through: u64,
}

impl Places {
    /// The first seq beyond `position`, up to `upto`, that is to be looked at.
    pub(super) fn next(&self, position: u64, upto: u64) -> Option<u64> {
        let next = position.saturating_add(1);
        let stretch = self.stretches.range(next..).next();
        let known = stretch.map(|(_, first)| next.max(*first));
        let unknown = next.max(self.through.saturating_add(1));
        let seq = known.map_or(unknown, |known| known.min(unknown));
        (seq <= upto).then_some(seq)
    }
}

/// Where the payloads of an erasure stand.
pub(super) async fn of(records: &Database, erasure: &Erasure) -> Result<Places, StoreError> {
    let mut read = records.read().await?;
    let sql = "SELECT through FROM source WHERE ods = ?1";
    let through = sqlx::query(sql)
        .bind(erasure.source.as_str())
        .fetch_optional(&mut *read)
        .await
        .map_err(fault)?;
    let mut places = Places {
        through: through.map_or(Ok(0), |row| row.count("through"))?,
        ..Places::default()
    };
    let mut patients = BTreeSet::new();
    match &erasure.whose {
        Whose::Patient(patient) => {
            places.records_upto = erasure.upto.min(places.through);
            patients.insert(*patient);
            for (record, other) in once_anothers(&mut read, erasure.source, *patient).await? {
                places.records.insert(record);
                patients.insert(other);
            }
        }
        Whose::Record(record) => {
            places.records_upto = erasure.upto;
            places.records.insert(record.clone());
            patients.extend(patients_of(&mut read, erasure.source, record).await?);
        }
    }
    // Stretches only come, so these are at least those of the state that was read.
    drop(read);
    for patient in patients {
        add_stretches(records, &mut places, erasure, patient).await?;
    }
    Ok(places)
}

async fn add_stretches(
    records: &Database,
    places: &mut Places,
    erasure: &Erasure,
    patient: NhsNumber,
) -> Result<(), StoreError> {
    let mut after = 0;
    while after < erasure.upto {
        let page = patient_runs::of_patient(records, erasure.source, patient, after, PAGE_STRETCHES).await?;
        let Some((_, last)) = page.last() else { break };
        after = *last;
        places
            .stretches
            .extend(page.into_iter().map(|(first, last)| (last, first)));
    }
    Ok(())
}

async fn once_anothers(
    conn: &mut SqliteConnection,
    source: OdsCode,
    patient: NhsNumber,
) -> Result<Vec<(RecordId, NhsNumber)>, StoreError> {
    let rows = sqlx::query(ONCE_ANOTHERS)
        .bind(source.as_str())
        .bind(int(patient.as_u64())?)
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| Ok((row.parsed("record")?, row.patient("patient")?)))
        .collect()
}

async fn patients_of(
    conn: &mut SqliteConnection,
    source: OdsCode,
    record: &RecordId,
) -> Result<Vec<NhsNumber>, StoreError> {
    let rows = sqlx::query(PATIENTS_OF_RECORD)
        .bind(source.as_str())
        .bind(record.as_str())
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.patient("patient")).collect()
}

// === Marks ===

/// Marks current versions as erased, for good: the projection is less durable than the log by itself.
pub(super) async fn mark_erased(records: &Database, erasure: &Erasure) -> Result<(), StoreError> {
    let mut write = records.write().await?;
    let query = match &erasure.whose {
        Whose::Patient(patient) => sqlx::query(MARK_PATIENT)
            .bind(erasure.source.as_str())
            .bind(int(patient.as_u64())?),
        Whose::Record(record) => sqlx::query(MARK_RECORD)
            .bind(erasure.source.as_str())
            .bind(record.as_str()),
    };
    let marked = query.bind(int(erasure.upto)?).execute(write.conn()).await;
    let marked = write.finish(marked.map_err(fault)).await?;
    if marked.rows_affected() > 0 {
        records.sync().await?;
    }
    Ok(())
}

/// The records of a patient of which the current version was erased. One that is private, or of a restricted
/// patient, had no payload there to lose.
pub(super) async fn erased_records(
    records: &Database,
    source: OdsCode,
    patient: NhsNumber,
    limit: u32,
) -> Result<Vec<RecordId>, StoreError> {
    let sql = "SELECT record FROM record
               WHERE source = (SELECT id FROM source WHERE ods = ?1) AND patient = ?2 AND retracted = 0
                 AND confidentiality = 0 AND erased = 1
               ORDER BY record LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(patient.as_u64())?)
        .bind(limit)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.parsed("record")).collect()
}
