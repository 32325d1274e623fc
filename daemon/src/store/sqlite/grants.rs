//! The halves of an agreement and the grants that follow from them.
//!
//! Invariant, at the end of each transaction: a pair has an agreement's grant in force exactly where both its
//! halves are on, neither had ended when the pair was last settled, and what the source shares out is not
//! withdrawn by a suspension; a grant in force has no withdrawal and
//! at most one catch-up, one that ended has one withdrawal and no catch-up. Emergency accesses are settled
//! beside them (see `emergencies`).

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    agreements, emergencies,
    fault::fault,
    units,
    values::{Columns, corrupt, int, patients_text},
};
use crate::{
    consent::{GrantId, Pair, Side},
    store::{AgreementRow, HalfChange, HalfOutcome, HalfScope, StoreError, UnitState},
};

const SET_SHARE_OUT: &str = "
    INSERT INTO agreement (source, recipient, out_on, out_by, out_at, out_reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (source, recipient) DO UPDATE SET
        out_on = excluded.out_on, out_by = excluded.out_by,
        out_at = excluded.out_at, out_reason = excluded.out_reason";

const SET_SHARE_IN: &str = "
    INSERT INTO agreement (source, recipient, in_on, in_by, in_at, in_reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (source, recipient) DO UPDATE SET
        in_on = excluded.in_on, in_by = excluded.in_by,
        in_at = excluded.in_at, in_reason = excluded.in_reason";

const NARROW_SHARE_OUT: &str = "
    UPDATE agreement SET out_categories = ?3, out_patients = ?4, out_explicit = ?5, out_ends_on = ?6,
        out_ends_at = ?7, out_review_on = ?8, out_reference = ?9, out_legal_basis = ?10
    WHERE source = ?1 AND recipient = ?2";

const NARROW_SHARE_IN: &str = "
    UPDATE agreement SET in_categories = ?3, in_patients = ?4, in_explicit = ?5, in_ends_on = ?6,
        in_ends_at = ?7, in_review_on = ?8, in_reference = ?9, in_legal_basis = ?10
    WHERE source = ?1 AND recipient = ?2";

/// Turns a half, and starts or ends the grants that depend on it.
pub(super) async fn turn(
    conn: &mut SqliteConnection,
    change: &HalfChange,
) -> Result<HalfOutcome, StoreError> {
    let pair = change.pair;
    if pair.source == pair.recipient {
        return Err(StoreError::Conflict("a unit has no agreement with itself"));
    }
    for ods in [pair.source, pair.recipient] {
        if units::state_of(conn, ods).await? == UnitState::Retired && change.on {
            return Err(StoreError::Conflict("one of the units is retired, for good"));
        }
    }
    let (set, narrow) = match change.side {
        Side::ShareOut => (SET_SHARE_OUT, NARROW_SHARE_OUT),
        Side::ShareIn => (SET_SHARE_IN, NARROW_SHARE_IN),
    };
    sqlx::query(set)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .bind(change.on)
        .bind(change.by.as_str())
        .bind(change.at)
        .bind(change.reason.as_str())
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    if let Some(scope) = &change.scope {
        narrow_half(conn, pair, narrow, scope).await?;
    }
    settle(conn, pair, change.at).await
}

async fn narrow_half(
    conn: &mut SqliteConnection,
    pair: Pair,
    sql: &'static str,
    scope: &HalfScope,
) -> Result<(), StoreError> {
    if scope.ends_on.is_some() != scope.ends_at.is_some() {
        return Err(StoreError::Conflict(
            "a half ends on a day and at its end, or not at all",
        ));
    }
    sqlx::query(sql)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .bind(i64::from(scope.categories.bits()))
        .bind(patients_text(scope.patients))
        .bind(scope.explicit)
        .bind(scope.ends_on.map(|day| day.to_string()))
        .bind(scope.ends_at)
        .bind(scope.review_on.map(|day| day.to_string()))
        .bind(scope.reference.as_str())
        .bind(scope.legal_basis.as_str())
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Turns off every half that is on and belongs to a unit, in both directions. Returns those that ended a
/// grant.
pub(super) async fn turn_all_off(
    conn: &mut SqliteConnection,
    ods: OdsCode,
    by: &str,
    reason: &str,
    at: i64,
) -> Result<Vec<HalfOutcome>, StoreError> {
    let sql = "SELECT source, recipient FROM agreement
               WHERE (source = ?1 AND out_on = 1) OR (recipient = ?1 AND in_on = 1)
               ORDER BY source, recipient";
    let rows = sqlx::query(sql)
        .bind(ods.as_str())
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    let mut ended = Vec::new();
    for row in rows {
        let pair = row.pair()?;
        let side = if pair.source == ods {
            Side::ShareOut
        } else {
            Side::ShareIn
        };
        let change = HalfChange {
            pair,
            side,
            on: false,
            by: by.to_owned(),
            reason: reason.to_owned(),
            scope: None,
            at,
        };
        let outcome = turn(conn, &change).await?;
        if outcome.ends_anything() {
            ended.push(outcome);
        }
    }
    Ok(ended)
}

/// Starts or ends a pair's grants, as its halves and emergency accesses say at `at`. Safe to repeat.
pub(super) async fn settle(
    conn: &mut SqliteConnection,
    pair: Pair,
    at: i64,
) -> Result<HalfOutcome, StoreError> {
    let found = present(conn, pair).await?;
    let share_out = found.share_out.holds(at) && !units::is_withdrawn(conn, pair.source).await?;
    let both = share_out && found.share_in.holds(at);
    let (mut ended, mut started) = (None, None);
    match found.grant {
        None if both => started = Some(start(conn, pair, at).await?),
        Some(grant) if !both => ended = Some((grant, end(conn, pair, grant, at).await?)),
        _ => {}
    }
    let emergencies = emergencies::Settling {
        pair,
        share_out,
        agreement_ended: ended.is_some(),
        agreement_in_force: both,
        at,
    };
    let emergencies_ended = emergencies::settle(conn, &emergencies).await?;
    let agreement = if ended.is_some() || started.is_some() {
        present(conn, pair).await?
    } else {
        found
    };
    Ok(HalfOutcome {
        agreement,
        ended,
        started,
        emergencies_ended,
    })
}

async fn present(conn: &mut SqliteConnection, pair: Pair) -> Result<AgreementRow, StoreError> {
    let found = agreements::one(conn, pair).await?;
    found.ok_or_else(|| corrupt("an agreement has gone"))
}

/// The cursor at the source's head, and a catch-up up to there.
async fn start(conn: &mut SqliteConnection, pair: Pair, at: i64) -> Result<GrantId, StoreError> {
    let sql = "INSERT INTO sharing_grant (source, recipient, cursor, started_at)
               SELECT source, ?2, head_seq, ?3 FROM stream WHERE source = ?1
               RETURNING id";
    let row = sqlx::query(sql)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .bind(at)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    let id = row.count("id")?;
    sqlx::query(
        "INSERT INTO job (grant_id, source, recipient, kind, upto, since)
         SELECT id, source, recipient, 'catch-up', cursor, started_at FROM sharing_grant WHERE id = ?1",
    )
    .bind(row.column::<i64>("id")?)
    .execute(conn)
    .await
    .map_err(fault)?;
    Ok(GrantId(id))
}

/// Drops what is due of it and makes a withdrawal due. Returns the cursor of that moment.
async fn end(conn: &mut SqliteConnection, pair: Pair, grant: GrantId, at: i64) -> Result<u64, StoreError> {
    let cursor = close(conn, grant, at).await?;
    sqlx::query(
        "INSERT INTO job (grant_id, source, recipient, kind, since) VALUES (?1, ?2, ?3, 'withdraw', ?4)",
    )
    .bind(int(grant.0)?)
    .bind(pair.source.as_str())
    .bind(pair.recipient.as_str())
    .bind(at)
    .execute(conn)
    .await
    .map_err(fault)?;
    Ok(cursor)
}

/// Ends a grant and drops what is due of it. Returns the cursor of that moment. What the recipient has
/// received of it and not yet confirmed stays until it does.
pub(super) async fn close(conn: &mut SqliteConnection, grant: GrantId, at: i64) -> Result<u64, StoreError> {
    let id = int(grant.0)?;
    let row = sqlx::query("UPDATE sharing_grant SET ended_at = ?2 WHERE id = ?1 RETURNING cursor")
        .bind(id)
        .bind(at)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    sqlx::query("DELETE FROM job WHERE grant_id = ?1 AND kind <> 'withdraw' AND state = 'due'")
        .bind(id)
        .execute(conn)
        .await
        .map_err(fault)?;
    row.count("cursor")
}

/// The agreement's grant that is in force.
pub(super) async fn agreement_in_force(
    conn: &mut SqliteConnection,
    pair: Pair,
) -> Result<Option<GrantId>, StoreError> {
    let sql = "SELECT id FROM sharing_grant
               WHERE source = ?1 AND recipient = ?2 AND ended_at IS NULL AND patient IS NULL";
    let row = sqlx::query(sql)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    row.map(|row| row.count("id").map(GrantId)).transpose()
}
