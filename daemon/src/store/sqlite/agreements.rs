//! Agreements as people see them: both halves, the grant in force, the newest withdrawal.

use handfast_proto::ids::OdsCode;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    fault::fault,
    grants,
    values::{Columns, corrupt},
};
use crate::{
    consent::{GrantId, Pair},
    store::{
        AgreementRow, HalfChange, HalfOutcome, HalfRow, JobId, StoreError, WithdrawalRow, WithdrawalState,
    },
};

/// Whoever uses it adds what comes behind.
macro_rules! select_agreements {
    ($rest:literal) => {
        concat!(
            "SELECT a.source, a.recipient,
                    a.out_on, a.out_by, a.out_at, a.out_reason, a.in_on, a.in_by, a.in_at, a.in_reason,
                    g.id AS grant_id,
                    w.id AS job, w.grant_id AS ended_grant, w.state, w.removed, w.not_removed, w.since,
                    w.confirmed_at
             FROM agreement AS a
             LEFT JOIN sharing_grant AS g
                 ON g.source = a.source AND g.recipient = a.recipient AND g.ended_at IS NULL
             LEFT JOIN job AS w ON w.id = (
                 SELECT max(id) FROM job
                 WHERE source = a.source AND recipient = a.recipient AND kind = 'withdraw') ",
            $rest
        )
    };
}

/// Every agreement, or those with a unit on either side.
pub(super) async fn all(main: &Database, unit: Option<OdsCode>) -> Result<Vec<AgreementRow>, StoreError> {
    let query = match unit {
        None => sqlx::query(select_agreements!("ORDER BY a.source, a.recipient")),
        Some(ods) => sqlx::query(select_agreements!(
            "WHERE a.source = ?1 OR a.recipient = ?1 ORDER BY a.source, a.recipient"
        ))
        .bind(ods.as_str().to_owned()),
    };
    let rows = query.fetch_all(main.readers()).await.map_err(fault)?;
    rows.iter().map(agreement_row).collect()
}

/// Turns a half.
pub(super) async fn set_half(main: &Database, change: &HalfChange) -> Result<HalfOutcome, StoreError> {
    let mut write = main.write().await?;
    let result = grants::turn(write.conn(), change).await;
    write.finish(result).await
}

/// One agreement, where a half of it was ever set.
pub(super) async fn one(conn: &mut SqliteConnection, pair: Pair) -> Result<Option<AgreementRow>, StoreError> {
    let row = sqlx::query(select_agreements!("WHERE a.source = ?1 AND a.recipient = ?2"))
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    row.as_ref().map(agreement_row).transpose()
}

fn agreement_row(row: &SqliteRow) -> Result<AgreementRow, StoreError> {
    let grant: Option<i64> = row.column("grant_id")?;
    Ok(AgreementRow {
        pair: row.pair()?,
        share_out: HalfRow {
            on: row.column("out_on")?,
            set_by: row.column("out_by")?,
            set_at: row.column("out_at")?,
            reason: row.column("out_reason")?,
        },
        share_in: HalfRow {
            on: row.column("in_on")?,
            set_by: row.column("in_by")?,
            set_at: row.column("in_at")?,
            reason: row.column("in_reason")?,
        },
        grant: grant.map(|_| row.count("grant_id").map(GrantId)).transpose()?,
        withdrawal: withdrawal(row)?,
    })
}

fn withdrawal(row: &SqliteRow) -> Result<Option<WithdrawalRow>, StoreError> {
    let Some(state) = row.column::<Option<&str>>("state")? else {
        return Ok(None);
    };
    let state = match state {
        "due" => WithdrawalState::Pending,
        "received" => WithdrawalState::Received,
        "confirmed" => WithdrawalState::Confirmed,
        _ => return Err(corrupt("a withdrawal's state is unknown")),
    };
    Ok(Some(WithdrawalRow {
        job: JobId(row.count("job")?),
        ended_grant: GrantId(row.count("ended_grant")?),
        state,
        removed: row.count("removed")?,
        not_removed: row.count("not_removed")?,
        since: row.column("since")?,
        confirmed_at: row.column("confirmed_at")?,
    }))
}
