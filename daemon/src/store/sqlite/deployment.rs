//! What was chosen when the deployment was made, and what may be changed of it.

use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    fault::fault,
    values::{Columns, patients, patients_text, policy, policy_text},
};
use crate::{
    consent::Policy,
    store::{Deployment, StoreError, With},
};

/// Makes it. [`StoreError::Exists`] where it is made.
pub(super) async fn insert(conn: &mut SqliteConnection, deployment: &Deployment) -> Result<(), StoreError> {
    let sql = "INSERT INTO deployment (one, trust_domain, test, policy, zone, default_patients,
                                       operator_sets_halves, made_at, touched_at)
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (one) DO NOTHING";
    let done = sqlx::query(sql)
        .bind(deployment.trust_domain.as_str())
        .bind(deployment.test)
        .bind(policy_text(deployment.policy))
        .bind(deployment.zone.as_str())
        .bind(patients_text(deployment.default_patients))
        .bind(deployment.operator_sets_halves)
        .bind(deployment.made_at)
        .execute(conn)
        .await
        .map_err(fault)?;
    match done.rows_affected() {
        0 => Err(StoreError::Exists("a deployment in this state directory")),
        _ => Ok(()),
    }
}

/// Reads it.
pub(super) async fn read(main: &Database) -> Result<Deployment, StoreError> {
    let sql = "SELECT trust_domain, test, policy, zone, default_patients, operator_sets_halves, made_at
               FROM deployment";
    let row = sqlx::query(sql)
        .fetch_optional(main.readers())
        .await
        .map_err(fault)?;
    let unfinished =
        "deployment in this state directory: its making was broken off; run handfastd init again";
    deployment_row(&row.ok_or(StoreError::Missing(unfinished))?)
}

fn deployment_row(row: &SqliteRow) -> Result<Deployment, StoreError> {
    Ok(Deployment {
        trust_domain: row.column("trust_domain")?,
        test: row.column("test")?,
        policy: policy(row.column("policy")?)?,
        zone: row.column("zone")?,
        default_patients: patients(row.column("default_patients")?)?,
        operator_sets_halves: row.column("operator_sets_halves")?,
        made_at: row.column("made_at")?,
    })
}

/// Writes something small.
pub(super) async fn touch(main: &Database, at: i64) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let sql = "UPDATE deployment SET touched_at = ?1";
    let result = sqlx::query(sql).bind(at).execute(write.conn()).await;
    write.finish(result.map_err(fault).map(drop)).await?;
    main.cut_if_owed().await
}

/// Changes what is asked of patients.
pub(super) async fn set_policy(
    main: &Database,
    policy: Policy,
    at: i64,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let sql = "UPDATE deployment SET policy = ?1";
    let result = sqlx::query(sql)
        .bind(policy_text(policy))
        .execute(write.conn())
        .await;
    write.finish_with(result.map_err(fault).map(drop), with, at).await
}
