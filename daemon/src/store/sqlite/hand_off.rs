//! Which alerts other systems are still owed.
//!
//! Invariants: a target is owed an alert from the transaction that changed how it stands until it was told
//! just that; there is one row a target and alert, so the queue is bounded by the alerts.

use sqlx::SqliteConnection;

use super::{
    alerts::{kind, state},
    database::Database,
    fault::fault,
    values::{Columns, int},
};
use crate::store::{AlertId, HandOff, HandedOff, StoreError, Target};

/// Characters of a failure that are kept.
const MAX_ERROR_CHARS: usize = 200;

/// Every target is owed a new alert.
pub(super) async fn owe_new(conn: &mut SqliteConnection, alert: u64, at: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO hand_off (target, alert, due_at) SELECT target, ?1, ?2 FROM hand_off_target";
    sqlx::query(sql)
        .bind(int(alert)?)
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Every target is owed how an alert stands now. One that is being tried again stays due when it was.
pub(super) async fn owe_change(
    conn: &mut SqliteConnection,
    alert: AlertId,
    at: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO hand_off (target, alert, due_at) SELECT target, ?1, ?2 FROM hand_off_target
               WHERE true
               ON CONFLICT (target, alert) DO UPDATE SET due_at = coalesce(due_at, excluded.due_at)";
    sqlx::query(sql)
        .bind(int(alert.0)?)
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Says which targets there are.
pub(super) async fn set_targets(main: &Database, targets: &[Target], at: i64) -> Result<u64, StoreError> {
    let mut write = main.write().await?;
    let result = replace_targets(write.conn(), targets, at).await;
    write.finish(result).await
}

async fn replace_targets(
    conn: &mut SqliteConnection,
    targets: &[Target],
    at: i64,
) -> Result<u64, StoreError> {
    let mut lost = 0;
    for target in [Target::Webhook, Target::Mail] {
        if targets.contains(&target) {
            add_target(conn, target, at).await?;
        } else {
            lost += remove_target(conn, target).await?;
        }
    }
    Ok(lost)
}

async fn add_target(conn: &mut SqliteConnection, target: Target, at: i64) -> Result<(), StoreError> {
    let added = sqlx::query("INSERT INTO hand_off_target (target) VALUES (?1) ON CONFLICT DO NOTHING")
        .bind(target.as_str())
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    if added.rows_affected() == 0 {
        return Ok(());
    }
    let sql =
        "INSERT INTO hand_off (target, alert, due_at) SELECT ?1, id, ?2 FROM alert WHERE reviewed_at IS NULL";
    sqlx::query(sql)
        .bind(target.as_str())
        .bind(at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn remove_target(conn: &mut SqliteConnection, target: Target) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT count(*) AS owed FROM hand_off WHERE target = ?1 AND due_at IS NOT NULL")
        .bind(target.as_str())
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    sqlx::query("DELETE FROM hand_off_target WHERE target = ?1")
        .bind(target.as_str())
        .execute(conn)
        .await
        .map_err(fault)?;
    row.count("owed")
}

/// Alerts that a target is owed, those that wait longest first.
pub(super) async fn owed(
    main: &Database,
    target: Target,
    now: i64,
    limit: u32,
) -> Result<Vec<HandOff>, StoreError> {
    let sql = "SELECT h.alert, h.tries, l.kind, l.unit, l.source, l.raised_at, l.escalated_at, l.reviewed_at
               FROM hand_off AS h JOIN alert AS l ON l.id = h.alert
               WHERE h.target = ?1 AND h.due_at <= ?2 ORDER BY h.due_at, h.alert LIMIT ?3";
    let rows = sqlx::query(sql)
        .bind(target.as_str())
        .bind(now)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let source: Option<&str> = row.column("source")?;
        Ok(HandOff {
            alert: AlertId(row.count("alert")?),
            kind: kind(row)?,
            unit: row.parsed("unit")?,
            source: source.map(|_| row.parsed("source")).transpose()?,
            state: state(row)?,
            raised_at: row.column("raised_at")?,
            tries: row.column("tries")?,
        })
    };
    rows.iter().map(read).collect()
}

/// When a target is next owed something.
pub(super) async fn next_owed(main: &Database, target: Target) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT min(due_at) AS due_at FROM hand_off WHERE target = ?1 AND due_at IS NOT NULL";
    let row = sqlx::query(sql)
        .bind(target.as_str())
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    row.column("due_at")
}

/// Keeps what came of a try.
pub(super) async fn tried(main: &Database, tried: &HandedOff) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = match &tried.failed {
        None => told(write.conn(), tried).await,
        Some((again_at, why)) => failed(write.conn(), tried, *again_at, why).await,
    };
    write.finish(result).await
}

async fn told(conn: &mut SqliteConnection, tried: &HandedOff) -> Result<(), StoreError> {
    let sql = "UPDATE hand_off SET tries = 0, last_error = '',
                   due_at = CASE WHEN ?3 = (
                       SELECT CASE WHEN reviewed_at IS NOT NULL THEN 'reviewed'
                                   WHEN escalated_at IS NOT NULL THEN 'escalated' ELSE 'open' END
                       FROM alert WHERE id = ?2) THEN NULL ELSE ?4 END
               WHERE target = ?1 AND alert = ?2";
    sqlx::query(sql)
        .bind(tried.target.as_str())
        .bind(int(tried.alert.0)?)
        .bind(tried.state.as_str())
        .bind(tried.at)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn failed(
    conn: &mut SqliteConnection,
    tried: &HandedOff,
    again_at: i64,
    why: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE hand_off SET tries = tries + 1, due_at = ?3, last_error = ?4
               WHERE target = ?1 AND alert = ?2";
    sqlx::query(sql)
        .bind(tried.target.as_str())
        .bind(int(tried.alert.0)?)
        .bind(again_at)
        .bind(why.chars().take(MAX_ERROR_CHARS).collect::<String>())
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}
