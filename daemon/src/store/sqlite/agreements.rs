//! Agreements as people see them: both halves, the grant in force, the newest withdrawal.

use handfast_proto::ids::OdsCode;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    fault::fault,
    grants,
    values::{Columns, corrupt, patients},
};
use crate::{
    consent::{CategorySet, GrantId, Pair},
    store::{
        AgreementRow, HalfChange, HalfOutcome, HalfRow, HalfScope, JobId, PartialWithdrawals, StoreError,
        With, WithdrawalRow, WithdrawalState,
    },
};

/// Whoever uses it adds what comes behind.
macro_rules! select_agreements {
    ($rest:literal) => {
        concat!(
            "SELECT a.source, a.recipient,
                    a.out_on, a.out_by, a.out_at, a.out_reason, a.out_categories, a.out_patients,
                    a.out_explicit, a.out_ends_on, a.out_ends_at, a.out_review_on, a.out_reference,
                    a.out_legal_basis,
                    a.in_on, a.in_by, a.in_at, a.in_reason, a.in_categories, a.in_patients,
                    a.in_explicit, a.in_ends_on, a.in_ends_at, a.in_review_on, a.in_reference,
                    a.in_legal_basis,
                    g.id AS grant_id,
                    iif(g.id IS NULL, coalesce(
                        (SELECT cursor FROM sharing_grant
                         WHERE source = a.source AND recipient = a.recipient AND patient IS NULL
                         ORDER BY id DESC LIMIT 1), 0), 0) AS ended_at_seq,
                    w.id AS job, w.grant_id AS ended_grant, w.state, w.removed, w.not_removed, w.since,
                    w.confirmed_at,
                    p.id AS part_job, p.removed AS part_removed, p.not_removed AS part_stays,
                    p.since AS part_since, p.confirmed_at AS part_at,
                    (SELECT count(*) FROM job
                     WHERE recipient = a.recipient AND state <> 'confirmed' AND grant_id = g.id
                       AND kind IN ('patient', 'changes')) AS part_open,
                    (SELECT coalesce(sum(not_removed), 0) FROM job
                     WHERE grant_id = g.id AND kind IN ('patient', 'changes')) AS part_not_removed
             FROM agreement AS a
             LEFT JOIN sharing_grant AS g
                 ON g.source = a.source AND g.recipient = a.recipient AND g.ended_at IS NULL
                    AND g.patient IS NULL
             LEFT JOIN job AS w ON w.id = (
                 SELECT max(id) FROM job
                 WHERE source = a.source AND recipient = a.recipient AND kind = 'withdraw'
                   AND patient IS NULL)
             LEFT JOIN job AS p ON p.id = (
                 SELECT max(id) FROM job
                 WHERE grant_id = g.id AND kind IN ('patient', 'changes') AND state = 'confirmed') ",
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
pub(super) async fn set_half(
    main: &Database,
    change: &HalfChange,
    with: &With,
) -> Result<HalfOutcome, StoreError> {
    let mut write = main.write().await?;
    let result = grants::turn(write.conn(), change).await;
    write.finish_with_what_it_did(result, with, change.at).await
}

/// The pairs of which a half was ever set, with a unit as source.
pub(super) async fn of_source(conn: &mut SqliteConnection, ods: OdsCode) -> Result<Vec<Pair>, StoreError> {
    let rows = sqlx::query("SELECT source, recipient FROM agreement WHERE source = ?1 ORDER BY recipient")
        .bind(ods.as_str())
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    rows.iter().map(Columns::pair).collect()
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
    let grant = grant.map(|_| row.count("grant_id").map(GrantId)).transpose()?;
    Ok(AgreementRow {
        pair: row.pair()?,
        share_out: half(row, &SHARE_OUT)?,
        share_in: half(row, &SHARE_IN)?,
        grant,
        ended_at_seq: row.count("ended_at_seq")?,
        withdrawal: withdrawal(row)?,
        partial: PartialWithdrawals {
            open: row.count("part_open")?,
            not_removed: row.count("part_not_removed")?,
            last: grant.map(|grant| last_part(row, grant)).transpose()?.flatten(),
        },
    })
}

/// The columns of one half.
struct HalfColumns {
    on: &'static str,
    by: &'static str,
    at: &'static str,
    reason: &'static str,
    categories: &'static str,
    patients: &'static str,
    explicit: &'static str,
    ends_on: &'static str,
    ends_at: &'static str,
    review_on: &'static str,
    reference: &'static str,
    legal_basis: &'static str,
}

const SHARE_OUT: HalfColumns = HalfColumns {
    on: "out_on",
    by: "out_by",
    at: "out_at",
    reason: "out_reason",
    categories: "out_categories",
    patients: "out_patients",
    explicit: "out_explicit",
    ends_on: "out_ends_on",
    ends_at: "out_ends_at",
    review_on: "out_review_on",
    reference: "out_reference",
    legal_basis: "out_legal_basis",
};

const SHARE_IN: HalfColumns = HalfColumns {
    on: "in_on",
    by: "in_by",
    at: "in_at",
    reason: "in_reason",
    categories: "in_categories",
    patients: "in_patients",
    explicit: "in_explicit",
    ends_on: "in_ends_on",
    ends_at: "in_ends_at",
    review_on: "in_review_on",
    reference: "in_reference",
    legal_basis: "in_legal_basis",
};

fn half(row: &SqliteRow, of: &HalfColumns) -> Result<HalfRow, StoreError> {
    let categories = u32::try_from(row.count(of.categories)?);
    let categories = categories.map_err(|_| corrupt("a half's categories are no set"))?;
    let day = |name| {
        let text: Option<&str> = row.column(name)?;
        let day = text.map(str::parse).transpose();
        day.map_err(|_| corrupt("a half's day is not a date"))
    };
    Ok(HalfRow {
        on: row.column(of.on)?,
        set_by: row.column(of.by)?,
        set_at: row.column(of.at)?,
        reason: row.column(of.reason)?,
        scope: HalfScope {
            categories: CategorySet::from_bits(categories),
            patients: patients(row.column(of.patients)?)?,
            explicit: row.column(of.explicit)?,
            ends_on: day(of.ends_on)?,
            ends_at: row.column(of.ends_at)?,
            review_on: day(of.review_on)?,
            reference: row.column(of.reference)?,
            legal_basis: row.column(of.legal_basis)?,
        },
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

fn last_part(row: &SqliteRow, of: GrantId) -> Result<Option<WithdrawalRow>, StoreError> {
    if row.column::<Option<i64>>("part_job")?.is_none() {
        return Ok(None);
    }
    Ok(Some(WithdrawalRow {
        job: JobId(row.count("part_job")?),
        ended_grant: of,
        state: WithdrawalState::Confirmed,
        removed: row.count("part_removed")?,
        not_removed: row.count("part_stays")?,
        since: row.column("part_since")?,
        confirmed_at: row.column("part_at")?,
    }))
}
