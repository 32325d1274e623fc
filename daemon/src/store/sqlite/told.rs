//! Which stretches of a source's stream entries of the audit log say to have gone to a recipient. Whoever asks is told
//! nothing of the rest of the stream, and no more of it is read for one patient than for another.

use handfast_proto::ids::{NhsNumber, OdsCode};

use super::{
    audit::json,
    audit_index::BLOCK_SEQS,
    database::Database,
    fault::fault,
    patient_runs,
    values::{Columns, int},
};
use crate::store::{StoreError, ToldStretches};

/// The last seq of a block.
fn last_of(block: u64) -> u64 {
    block.saturating_mul(BLOCK_SEQS).saturating_add(BLOCK_SEQS - 1)
}

/// Up to which seq a recipient may have been told of a source; 0: of nothing.
pub(super) async fn through(
    records: &Database,
    source: OdsCode,
    recipient: OdsCode,
) -> Result<u64, StoreError> {
    let sql =
        "SELECT block FROM audit_block WHERE recipient = ?1 AND source = ?2 ORDER BY block DESC LIMIT 1";
    let row = sqlx::query(sql)
        .bind(recipient.as_str())
        .bind(source.as_str())
        .fetch_optional(records.readers())
        .await
        .map_err(fault)?;
    row.map_or(Ok(0), |row| row.count("block").map(last_of))
}

/// Of the next `blocks` blocks that a recipient was told of, the stretches that hold amendments of these patients.
pub(super) async fn stretches(
    records: &Database,
    (source, recipient): (OdsCode, OdsCode),
    patients: &[NhsNumber],
    after: u64,
    blocks: u32,
) -> Result<ToldStretches, StoreError> {
    let sql = "SELECT DISTINCT block FROM audit_block
               WHERE recipient = ?1 AND source = ?2 AND block >= ?3 ORDER BY block LIMIT ?4";
    let rows = sqlx::query(sql)
        .bind(recipient.as_str())
        .bind(source.as_str())
        .bind(int(after.saturating_add(1) / BLOCK_SEQS)?)
        .bind(blocks)
        .fetch_all(records.readers())
        .await
        .map_err(fault)?;
    let told: Result<Vec<u64>, StoreError> = rows.iter().map(|row| row.count("block")).collect();
    let told = told?;
    let looked_at = u32::try_from(told.len()).unwrap_or(u32::MAX);
    let mut stretches = Vec::new();
    for patient in patients {
        stretches.extend(patient_runs::of_patient_in(records, source, *patient, after, &json(&told)).await?);
    }
    stretches.sort_unstable();
    stretches.dedup();
    Ok(ToldStretches {
        stretches,
        looked_at,
        through: told
            .last()
            .filter(|_| looked_at >= blocks)
            .map(|block| last_of(*block)),
    })
}
