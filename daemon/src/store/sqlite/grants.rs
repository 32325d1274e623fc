//! The halves of an agreement and the grants that follow from them.
//!
//! Invariant, at the end of each transaction: a pair has a grant in force exactly where both its halves are
//! on; a grant in force has no withdrawal and at most one catch-up, one that ended has one withdrawal and
//! no catch-up.

use handfast_proto::ids::OdsCode;
use sqlx::SqliteConnection;

use super::{
    agreements,
    fault::fault,
    units,
    values::{Columns, corrupt},
};
use crate::{
    consent::{GrantId, Pair, Side},
    store::{HalfChange, HalfOutcome, StoreError, UnitState},
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

/// Turns a half, and starts or ends the grant that depends on it.
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
    let set_half = match change.side {
        Side::ShareOut => SET_SHARE_OUT,
        Side::ShareIn => SET_SHARE_IN,
    };
    sqlx::query(set_half)
        .bind(pair.source.as_str())
        .bind(pair.recipient.as_str())
        .bind(change.on)
        .bind(change.by.as_str())
        .bind(change.at)
        .bind(change.reason.as_str())
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    settle(conn, pair, change.at).await
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
            at,
        };
        let outcome = turn(conn, &change).await?;
        if outcome.ended.is_some() {
            ended.push(outcome);
        }
    }
    Ok(ended)
}

/// Starts or ends a pair's grant, as its halves say now.
async fn settle(conn: &mut SqliteConnection, pair: Pair, at: i64) -> Result<HalfOutcome, StoreError> {
    let found = agreements::one(conn, pair).await?;
    let found = found.ok_or_else(|| corrupt("an agreement has gone"))?;
    let both = found.share_out.on && found.share_in.on;
    let (mut ended, mut started) = (None, None);
    match found.grant {
        None if both => started = Some(start(conn, pair, at).await?),
        Some(grant) if !both => ended = Some((grant, end(conn, pair, grant, at).await?)),
        _ => {
            return Ok(HalfOutcome {
                agreement: found,
                ended,
                started,
            });
        }
    }
    let agreement = agreements::one(conn, pair).await?;
    Ok(HalfOutcome {
        agreement: agreement.ok_or_else(|| corrupt("an agreement has gone"))?,
        ended,
        started,
    })
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

/// Drops the catch-up and makes a withdrawal due. Returns the cursor of that moment.
async fn end(conn: &mut SqliteConnection, pair: Pair, grant: GrantId, at: i64) -> Result<u64, StoreError> {
    let id = super::values::int(grant.0)?;
    let row = sqlx::query("UPDATE sharing_grant SET ended_at = ?2 WHERE id = ?1 RETURNING cursor")
        .bind(id)
        .bind(at)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    sqlx::query("DELETE FROM job WHERE grant_id = ?1 AND kind = 'catch-up'")
        .bind(id)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    sqlx::query(
        "INSERT INTO job (grant_id, source, recipient, kind, since) VALUES (?1, ?2, ?3, 'withdraw', ?4)",
    )
    .bind(id)
    .bind(pair.source.as_str())
    .bind(pair.recipient.as_str())
    .bind(at)
    .execute(conn)
    .await
    .map_err(fault)?;
    row.count("cursor")
}
