//! The projection: the current version of each record, in a file of its own beside the log, so that
//! bringing it up to date never holds up the log's commits.

use std::sync::LazyLock;

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    database::Database,
    fault::fault,
    patient_runs,
    shapes::Shapes,
    values::{Columns, int},
};
use crate::store::{RecordVersion, StoreError};

/// Records in one insert.
const UPSERT_ROWS: [usize; 3] = [256, 64, 8];

/// A version that is not newer than the one held changes nothing. What a retraction does not say of its
/// record stays known.
static UPSERT: LazyLock<Shapes> = LazyLock::new(|| {
    let head =
        "INSERT INTO record (source, record, seq, patient, category, confidentiality, retracted) VALUES";
    let tail = "ON CONFLICT (source, record) DO UPDATE SET
                    seq = excluded.seq,
                    patient = coalesce(excluded.patient, patient),
                    category = coalesce(excluded.category, category),
                    confidentiality = coalesce(excluded.confidentiality, confidentiality),
                    retracted = excluded.retracted
                WHERE excluded.seq > record.seq";
    Shapes::new(head, "(?, ?, ?, ?, ?, ?, ?)", tail, &UPSERT_ROWS)
});

/// Up to which seq of a source the projection holds.
pub(super) async fn through(records: &Database, source: OdsCode) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT through FROM source WHERE ods = ?1")
        .bind(source.as_str())
        .fetch_optional(records.readers())
        .await
        .map_err(fault)?;
    row.map_or(Ok(0), |row| row.count("through"))
}

/// Brings a source up to `through`. Where the projection is further already, nothing changes.
pub(super) async fn project(
    records: &Database,
    source: OdsCode,
    versions: &[RecordVersion],
    through: u64,
) -> Result<(), StoreError> {
    let mut write = records.write().await?;
    let result = bring_up(write.conn(), source, versions, through).await;
    write.finish(result).await
}

async fn bring_up(
    conn: &mut SqliteConnection,
    source: OdsCode,
    versions: &[RecordVersion],
    through: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO source (ods, through) VALUES (?1, ?2)
               ON CONFLICT (ods) DO UPDATE SET through = max(through, excluded.through)
               RETURNING id, through";
    let row = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(through)?)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    if row.count("through")? > through {
        return Ok(());
    }
    let id: i64 = row.column("id")?;
    patient_runs::insert(conn, id, versions).await?;
    let newest = newest(versions);
    let mut waiting = newest.as_slice();
    while !waiting.is_empty() {
        let (rows, sql) = UPSERT.pick(waiting.len());
        let (now, later) = waiting.split_at(rows.min(waiting.len()));
        let mut upsert = sqlx::query(sql);
        for version in now {
            let patient = version.subject.map(|s| int(s.patient.as_u64())).transpose()?;
            upsert = upsert
                .bind(id)
                .bind(version.record.as_str())
                .bind(int(version.seq)?)
                .bind(patient)
                .bind(version.subject.map(|s| s.category as i32))
                .bind(version.subject.map(|s| s.confidentiality.bits()))
                .bind(version.retracted);
        }
        upsert.execute(&mut *conn).await.map_err(fault)?;
        waiting = later;
    }
    Ok(())
}

/// The last version of each record, in the order of the table's key, so that neighbours share a page.
fn newest(versions: &[RecordVersion]) -> Vec<&RecordVersion> {
    // The last first; then of those with one record, which a stable sort keeps in this order, the first.
    let mut newest: Vec<&RecordVersion> = versions.iter().rev().collect();
    newest.sort_by(|a, b| a.record.cmp(&b.record));
    newest.dedup_by(|later, kept| later.record == kept.record);
    newest
}
