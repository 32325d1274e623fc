//! Emergency accesses as grants of their own: beginning one, and ending those whose time or whose source's
//! half is over.
//!
//! Invariant, at the end of each transaction: an emergency access in force has its source's share-out half on
//! and not ended when its pair was last settled; one that ended is followed by a reconcile of its patient
//! under the agreement's grant, or by a withdrawal of that patient where none is in force.

use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    caseload,
    fault::fault,
    grants, jobs, units,
    values::{Columns, int},
};
use crate::{
    consent::{GrantId, Pair},
    store::{EmergencyRow, StoreError},
};

/// How a pair stands while its emergency accesses are settled.
pub(super) struct Settling {
    pub(super) pair: Pair,
    /// Whether the source's half holds.
    pub(super) share_out: bool,
    /// Whether the agreement's grant has just ended.
    pub(super) agreement_ended: bool,
    /// Whether one is in force.
    pub(super) agreement_in_force: bool,
    pub(super) at: i64,
}

/// An emergency access in force.
struct InForce {
    grant: GrantId,
    patient: NhsNumber,
    until: i64,
}

/// Ends what is over; what stays is reconciled where the agreement's grant has just taken everything away.
pub(super) async fn settle(
    conn: &mut SqliteConnection,
    how: &Settling,
) -> Result<Vec<(GrantId, u64)>, StoreError> {
    let mut ended = Vec::new();
    for access in in_force(conn, how.pair).await? {
        let numbers = caseload::numbers_of(conn, how.pair.source, access.patient).await?;
        if how.share_out && access.until > how.at {
            if how.agreement_ended {
                jobs::patient(conn, access.grant, &numbers, how.at).await?;
            }
            continue;
        }
        let agreement = if how.agreement_in_force {
            grants::agreement_in_force(conn, how.pair).await?
        } else {
            None
        };
        ended.push((access.grant, grants::close(conn, access.grant, how.at).await?));
        match agreement {
            Some(grant) => jobs::patient(conn, grant, &numbers, how.at).await?,
            None => jobs::withdraw(conn, access.grant, &numbers, how.at).await?,
        }
    }
    Ok(ended)
}

/// Ends every emergency access of a unit, on either side.
pub(super) async fn end_all(
    conn: &mut SqliteConnection,
    ods: OdsCode,
    at: i64,
) -> Result<Vec<Pair>, StoreError> {
    let sql = "UPDATE sharing_grant SET until = min(until, ?2)
               WHERE patient IS NOT NULL AND ended_at IS NULL AND (source = ?1 OR recipient = ?1)
               RETURNING source, recipient";
    let rows = sqlx::query(sql)
        .bind(ods.as_str())
        .bind(at)
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    let mut pairs = rows.iter().map(Columns::pair).collect::<Result<Vec<_>, _>>()?;
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// Has the patient of each emergency access of a recipient reconciled from the beginning.
pub(super) async fn reconcile_all(
    conn: &mut SqliteConnection,
    recipient: OdsCode,
    at: i64,
) -> Result<(), StoreError> {
    let sql = "SELECT id, source, patient FROM sharing_grant
               WHERE recipient = ?1 AND ended_at IS NULL AND patient IS NOT NULL ORDER BY source, id";
    let rows = sqlx::query(sql)
        .bind(recipient.as_str())
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    for row in rows {
        let numbers = caseload::numbers_of(conn, row.parsed("source")?, row.patient("patient")?).await?;
        jobs::patient(conn, GrantId(row.count("id")?), &numbers, at).await?;
    }
    Ok(())
}

async fn in_force(conn: &mut SqliteConnection, pair: Pair) -> Result<Vec<InForce>, StoreError> {
    let sql = "SELECT id, patient, until FROM sharing_grant
               WHERE source = ?1 AND recipient = ?2 AND ended_at IS NULL AND patient IS NOT NULL ORDER BY id";
    let rows = sqlx::query(sql)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    let access = |row| {
        let row: &SqliteRow = row;
        Ok(InForce {
            grant: GrantId(row.count("id")?),
            patient: row.patient("patient")?,
            until: row.column("until")?,
        })
    };
    rows.iter().map(access).collect()
}

/// A grant that is an emergency access, of `id`, `source`, `recipient`, `patient`, `started_at` and `until`.
pub(super) fn row(row: &SqliteRow) -> Result<EmergencyRow, StoreError> {
    Ok(EmergencyRow {
        grant: GrantId(row.count("id")?),
        pair: row.pair()?,
        patient: row.patient("patient")?,
        from: row.column("started_at")?,
        until: row.column("until")?,
    })
}

/// Begins an emergency access in a transaction of the caller's: its cursor is the source's head, and a
/// reconcile of the patient is due. [`StoreError::Conflict`] where the source's half does not hold, or where
/// one of this pair and patient is in force.
pub(super) async fn open(
    conn: &mut SqliteConnection,
    pair: Pair,
    patient: NhsNumber,
    until: i64,
    at: i64,
) -> Result<GrantId, StoreError> {
    let agreement = super::agreements::one(conn, pair).await?;
    let withdrawn = units::is_withdrawn(conn, pair.source).await?;
    if withdrawn || !agreement.is_some_and(|found| found.share_out.holds(at)) {
        return Err(StoreError::Conflict("the source does not share out to this unit"));
    }
    let sql = "INSERT INTO sharing_grant (source, recipient, cursor, started_at, patient, until)
               SELECT source, ?2, head_seq, ?3, ?4, ?5 FROM stream WHERE source = ?1
               RETURNING id";
    let inserted = sqlx::query(sql)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .bind(at)
        .bind(int(patient.as_u64())?)
        .bind(until)
        .fetch_one(&mut *conn)
        .await;
    let row = match inserted {
        Err(error) if super::fault::is_taken(&error) => {
            return Err(StoreError::Conflict(
                "an emergency access for this patient is in force",
            ));
        }
        other => other.map_err(fault)?,
    };
    let grant = GrantId(row.count("id")?);
    let numbers = caseload::numbers_of(conn, pair.source, patient).await?;
    jobs::patient(conn, grant, &numbers, at).await?;
    Ok(grant)
}
