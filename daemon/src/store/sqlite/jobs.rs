//! Reconcile jobs: those that follow from a change are entered with it, those that are not over are read.
//!
//! Invariant: of one grant and patient at most one job is due.

use handfast_proto::ids::{NhsNumber, OdsCode};
use serde_json::value::RawValue;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    fault::fault,
    terms,
    values::{Columns, corrupt, int},
};
use crate::{
    consent::{GrantId, Pair},
    store::{Job, JobId, JobKind, NewJob, StoreError},
};

/// A new job takes the place of one of the same grant and patient that is due, and has a number of its own. An
/// emergency access carries its patient under every number that its source said is theirs.
const ENTER_PATIENT: &str = "
    INSERT OR REPLACE INTO job (grant_id, source, recipient, kind, patient, since)
    SELECT g.id, g.source, g.recipient, 'patient', m.patient, ?2
    FROM (
        SELECT key AS place, value ->> 0 AS source, value ->> 1 AS recipient, value ->> 2 AS patient
        FROM json_each(?1)
    ) AS m
    CROSS JOIN sharing_grant AS g
        ON g.recipient = m.recipient AND g.source = m.source AND g.ended_at IS NULL
    WHERE g.patient IS NULL OR g.patient = m.patient OR g.patient IN (
        WITH RECURSIVE same (number) AS (
            SELECT m.patient
            UNION
            SELECT j.current FROM same JOIN joined_number AS j ON j.unit = m.source AND j.former = same.number
            UNION
            SELECT j.former FROM same JOIN joined_number AS j ON j.unit = m.source AND j.current = same.number
        )
        SELECT number FROM same
    )
    ORDER BY m.place, g.id";

const ENTER_CHANGES: &str = "
    INSERT INTO job (grant_id, source, recipient, kind, before, since)
    SELECT g.id, g.source, g.recipient, 'changes', m.before, ?2
    FROM (
        SELECT key AS place, value ->> 0 AS source, value ->> 1 AS recipient, value -> 2 AS before
        FROM json_each(?1)
    ) AS m
    CROSS JOIN sharing_grant AS g
        ON g.recipient = m.recipient AND g.source = m.source AND g.ended_at IS NULL
    WHERE g.patient IS NULL
    ORDER BY m.place";

/// For the test that looks at their plans.
#[cfg(test)]
pub(super) const ENTERS: [&str; 2] = [ENTER_PATIENT, ENTER_CHANGES];

/// Enters jobs in their order for the grants that are in force.
pub(super) async fn enter(conn: &mut SqliteConnection, jobs: &[NewJob], at: i64) -> Result<(), StoreError> {
    let alike = |a: &NewJob, b: &NewJob| std::mem::discriminant(a) == std::mem::discriminant(b);
    for run in jobs.chunk_by(alike) {
        let (sql, rows) = match run {
            [NewJob::Patient(..), ..] => (ENTER_PATIENT, patients(run)?),
            _ => (ENTER_CHANGES, changes(run)?),
        };
        sqlx::query(sql)
            .bind(rows)
            .bind(at)
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

/// Has each of a patient's numbers reconciled under a grant.
pub(super) async fn patient(
    conn: &mut SqliteConnection,
    grant: GrantId,
    numbers: &[NhsNumber],
    at: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO job (grant_id, source, recipient, kind, patient, since)
               SELECT id, source, recipient, 'patient', ?2, ?3 FROM sharing_grant WHERE id = ?1";
    each(conn, sql, grant, numbers, at).await
}

/// Has what is held of each of a patient's numbers removed because a grant ended.
pub(super) async fn withdraw(
    conn: &mut SqliteConnection,
    ended: GrantId,
    numbers: &[NhsNumber],
    at: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO job (grant_id, source, recipient, kind, patient, since)
               SELECT id, source, recipient, 'withdraw', ?2, ?3 FROM sharing_grant WHERE id = ?1";
    each(conn, sql, ended, numbers, at).await
}

async fn each(
    conn: &mut SqliteConnection,
    sql: &'static str,
    grant: GrantId,
    numbers: &[NhsNumber],
    at: i64,
) -> Result<(), StoreError> {
    for number in numbers {
        sqlx::query(sql)
            .bind(int(grant.0)?)
            .bind(int(number.as_u64())?)
            .bind(at)
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

fn patients(run: &[NewJob]) -> Result<String, StoreError> {
    let rows = run.iter().filter_map(|job| match job {
        NewJob::Patient(pair, patient) => Some((codes(pair), patient.as_u64())),
        NewJob::Changes(..) => None,
    });
    let rows: Vec<_> = rows
        .map(|((source, recipient), patient)| (source, recipient, patient))
        .collect();
    json(&rows)
}

fn changes(run: &[NewJob]) -> Result<String, StoreError> {
    let mut rows = Vec::with_capacity(run.len());
    for job in run {
        if let NewJob::Changes(pair, before) = job {
            let before = RawValue::from_string(terms::text(before)?);
            let before = before.map_err(|error| StoreError::Failed(error.to_string()))?;
            let (source, recipient) = codes(pair);
            rows.push((source, recipient, before));
        }
    }
    json(&rows)
}

fn codes(pair: &Pair) -> (&str, &str) {
    (pair.source.as_str(), pair.recipient.as_str())
}

fn json(rows: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Failed(error.to_string()))
}

/// The jobs that a recipient is owed, in their order.
pub(super) async fn owed(conn: &mut SqliteConnection, recipient: OdsCode) -> Result<Vec<Job>, StoreError> {
    let sql = "SELECT id, grant_id, source, recipient, kind, patient, before, upto, through FROM job
               WHERE recipient = ?1 AND state = 'due' AND state <> 'confirmed' ORDER BY id";
    let rows = sqlx::query(sql)
        .bind(recipient.as_str())
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    rows.iter().map(job).collect()
}

pub(super) fn job(row: &SqliteRow) -> Result<Job, StoreError> {
    let kind = match row.column("kind")? {
        "catch-up" => JobKind::CatchUp {
            upto: row.count("upto")?,
            through: row.count("through")?,
        },
        "patient" => JobKind::Patient {
            patient: row.patient("patient")?,
            through: row.count("through")?,
        },
        "changes" => JobKind::Changes {
            before: terms::parse(row.column("before")?)?,
            through: row.count("through")?,
        },
        "withdraw" => JobKind::Withdraw {
            patient: row.patient_or_none("patient")?,
        },
        _ => return Err(corrupt("a job's kind is unknown")),
    };
    Ok(Job {
        id: JobId(row.count("id")?),
        pair: row.pair()?,
        grant: GrantId(row.count("grant_id")?),
        kind,
    })
}
