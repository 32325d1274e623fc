//! Who is on a unit's caseload by name, and which numbers are one patient's.

use std::collections::BTreeSet;

use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::SqliteConnection;

use super::{
    database::Database,
    fault::fault,
    units,
    values::{Columns, int},
};
use crate::store::{ClaimChange, ClaimRow, JoinedNumbers, StoreError, With};

/// Puts patients on caseloads, or takes them off.
pub(super) async fn set_claims(
    main: &Database,
    changes: &[ClaimChange],
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let at = changes.iter().map(|change| change.at).max().unwrap_or(0);
    let result = claim(write.conn(), changes).await;
    write.finish_with(result, with, at).await
}

async fn claim(conn: &mut SqliteConnection, changes: &[ClaimChange]) -> Result<(), StoreError> {
    let units: BTreeSet<OdsCode> = changes.iter().map(|change| change.unit).collect();
    for unit in units {
        units::state_of(conn, unit).await?;
    }
    for change in changes {
        let patient = int(change.patient.as_u64())?;
        let query = if change.on {
            let sql = "INSERT INTO caseload_claim (unit, patient, by, reason, at) VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT (unit, patient) DO NOTHING";
            sqlx::query(sql)
                .bind(change.unit.as_str())
                .bind(patient)
                .bind(change.by.as_str())
                .bind(change.reason.as_str())
                .bind(change.at)
        } else {
            sqlx::query("DELETE FROM caseload_claim WHERE unit = ?1 AND patient = ?2")
                .bind(change.unit.as_str())
                .bind(patient)
        };
        query.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// Who is on a unit's caseload by name, by number.
pub(super) async fn claims(
    main: &Database,
    unit: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<ClaimRow>, StoreError> {
    let sql = "SELECT patient, by, reason, at FROM caseload_claim
               WHERE unit = ?1 AND patient > ?2 ORDER BY patient LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(unit.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let claim = |row| {
        let row: &sqlx::sqlite::SqliteRow = row;
        Ok(ClaimRow {
            patient: row.patient("patient")?,
            by: row.column("by")?,
            reason: row.column("reason")?,
            at: row.column("at")?,
        })
    };
    rows.iter().map(claim).collect()
}

/// The units on whose caseload anybody is by name.
pub(super) async fn claiming(main: &Database) -> Result<Vec<OdsCode>, StoreError> {
    let rows = sqlx::query("SELECT DISTINCT unit FROM caseload_claim ORDER BY unit")
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.parsed("unit")).collect()
}

/// A page in one row.
pub(super) const CLAIMED: &str = "
    SELECT json_group_array(patient) AS patients FROM (
        SELECT patient FROM caseload_claim WHERE unit = ?1 AND patient > ?2 ORDER BY patient LIMIT ?3
    )";

/// The same without who put them there, and why.
pub(super) async fn claimed(
    main: &Database,
    unit: OdsCode,
    after: Option<NhsNumber>,
    limit: u32,
) -> Result<Vec<NhsNumber>, StoreError> {
    let row = sqlx::query(CLAIMED)
        .bind(unit.as_str())
        .bind(int(after.map_or(0, NhsNumber::as_u64))?)
        .bind(limit)
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    row.patients("patients")
}

// === Numbers of one patient ===

/// Keeps that two numbers are one patient's, in a transaction of the caller's.
pub(super) async fn join(
    conn: &mut SqliteConnection,
    joined: &JoinedNumbers,
    at: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO joined_number (unit, former, current, at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (unit, former, current) DO NOTHING";
    sqlx::query(sql)
        .bind(joined.unit.as_str())
        .bind(int(joined.former.as_u64())?)
        .bind(int(joined.current.as_u64())?)
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// All numbers that units said are one patient's.
pub(super) async fn joined(main: &Database) -> Result<Vec<JoinedNumbers>, StoreError> {
    let rows = sqlx::query("SELECT unit, former, current FROM joined_number ORDER BY unit, former, current")
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let joined = |row| {
        let row: &sqlx::sqlite::SqliteRow = row;
        Ok(JoinedNumbers {
            unit: row.parsed("unit")?,
            former: row.patient("former")?,
            current: row.patient("current")?,
        })
    };
    rows.iter().map(joined).collect()
}

/// A patient's numbers at a source, the given one first, in a transaction of the caller's.
pub(super) async fn numbers_of(
    conn: &mut SqliteConnection,
    source: OdsCode,
    patient: NhsNumber,
) -> Result<Vec<NhsNumber>, StoreError> {
    let sql = "WITH RECURSIVE same (number) AS (
                   SELECT ?2
                   UNION
                   SELECT j.current FROM same JOIN joined_number AS j ON j.unit = ?1 AND j.former = same.number
                   UNION
                   SELECT j.former FROM same JOIN joined_number AS j ON j.unit = ?1 AND j.current = same.number
               )
               SELECT number FROM same ORDER BY number <> ?2, number";
    let rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(patient.as_u64())?)
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    rows.iter().map(|row| row.patient("number")).collect()
}
