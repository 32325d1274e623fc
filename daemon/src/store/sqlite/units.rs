//! Units and how they stand.

use handfast_proto::ids::OdsCode;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    database::Database,
    emergencies, enrolment,
    fault::{fault, is_taken},
    grants,
    values::{Columns, unit_kind, unit_state, unit_state_text},
};
use crate::store::{NewToken, NewUnit, Role, StoreError, UnitRow, UnitState, UnitStateOutcome, With};

/// `?1` = now, `?2` = the role of an administrator; whoever uses it adds a WHERE or an ORDER BY.
macro_rules! select_units {
    ($rest:literal) => {
        concat!(
            "SELECT ods, name, kind, state, registered_at,
                    EXISTS (SELECT 1 FROM certificate WHERE holder = 'unit/' || unit.ods) AS agent_enrolled,
                    EXISTS (
                        SELECT 1 FROM person
                        WHERE person.unit = unit.ods AND person.role = ?2 AND person.revoked_at IS NULL
                          AND (EXISTS (SELECT 1 FROM certificate WHERE holder = 'person/' || person.id)
                            OR EXISTS (SELECT 1 FROM token
                                       WHERE token.holder = 'person/' || person.id AND token.used_at IS NULL
                                         AND token.void_at IS NULL AND token.expires_at > ?1))
                    ) AS has_administrator
             FROM unit ",
            $rest
        )
    };
}

pub(super) async fn all(main: &Database, now: i64) -> Result<Vec<UnitRow>, StoreError> {
    let rows = sqlx::query(select_units!("ORDER BY ods"))
        .bind(now)
        .bind(Role::UnitAdmin as i32)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(unit_row).collect()
}

pub(super) async fn register(
    main: &Database,
    unit: &NewUnit,
    token: &NewToken,
    at: i64,
    with: &With,
) -> Result<UnitRow, StoreError> {
    let mut write = main.write().await?;
    let result = insert(write.conn(), unit, token, at).await;
    write.finish_with(result, with, at).await
}

async fn insert(
    conn: &mut SqliteConnection,
    unit: &NewUnit,
    token: &NewToken,
    at: i64,
) -> Result<UnitRow, StoreError> {
    let sql = "INSERT INTO unit (ods, name, kind, state, state_at, registered_at)
               VALUES (?1, ?2, ?3, 'enrolled', ?4, ?4)";
    let inserted = sqlx::query(sql)
        .bind(unit.ods.as_str())
        .bind(unit.name.as_str())
        .bind(unit.kind as i32)
        .bind(at)
        .execute(&mut *conn)
        .await;
    match inserted {
        Err(error) if is_taken(&error) => return Err(StoreError::Exists("unit")),
        other => other.map_err(fault)?,
    };
    sqlx::query("INSERT INTO stream (source, head_seq) VALUES (?1, 0)")
        .bind(unit.ods.as_str())
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    enrolment::insert_token(conn, token, at).await?;
    one(conn, unit.ods, at).await
}

pub(super) async fn set_state(
    main: &Database,
    ods: OdsCode,
    state: UnitState,
    by: &str,
    reason: &str,
    at: i64,
    with: &With,
) -> Result<UnitStateOutcome, StoreError> {
    let mut write = main.write().await?;
    let result = change_state(write.conn(), ods, state, by, reason, at).await;
    write.finish_with(result, with, at).await
}

async fn change_state(
    conn: &mut SqliteConnection,
    ods: OdsCode,
    state: UnitState,
    by: &str,
    reason: &str,
    at: i64,
) -> Result<UnitStateOutcome, StoreError> {
    if state_of(conn, ods).await? == UnitState::Retired {
        return Err(StoreError::Conflict("the unit is retired, for good"));
    }
    sqlx::query("UPDATE unit SET state = ?2, state_by = ?3, state_reason = ?4, state_at = ?5 WHERE ods = ?1")
        .bind(ods.as_str())
        .bind(unit_state_text(state))
        .bind(by)
        .bind(reason)
        .bind(at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    let mut ended = Vec::new();
    if state == UnitState::Retired {
        enrolment::void_tokens(conn, &super::values::unit_holder(ods), at).await?;
        ended = grants::turn_all_off(conn, ods, by, reason, at).await?;
        for pair in emergencies::end_all(conn, ods, at).await? {
            ended.push(grants::settle(conn, pair, at).await?);
        }
    }
    let unit = one(conn, ods, at).await?;
    Ok(UnitStateOutcome { unit, ended })
}

/// How a unit stands.
pub(super) async fn state_of(conn: &mut SqliteConnection, ods: OdsCode) -> Result<UnitState, StoreError> {
    let row = sqlx::query("SELECT state FROM unit WHERE ods = ?1")
        .bind(ods.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    unit_state(row.ok_or(StoreError::Missing("unit"))?.column("state")?)
}

async fn one(conn: &mut SqliteConnection, ods: OdsCode, now: i64) -> Result<UnitRow, StoreError> {
    let row = sqlx::query(select_units!("WHERE ods = ?3"))
        .bind(now)
        .bind(Role::UnitAdmin as i32)
        .bind(ods.as_str())
        .fetch_one(conn)
        .await
        .map_err(fault)?;
    unit_row(&row)
}

fn unit_row(row: &SqliteRow) -> Result<UnitRow, StoreError> {
    Ok(UnitRow {
        ods: row.parsed("ods")?,
        name: row.column("name")?,
        kind: unit_kind(row.column("kind")?)?,
        state: unit_state(row.column("state")?)?,
        registered_at: row.column("registered_at")?,
        agent_enrolled: row.column("agent_enrolled")?,
        has_administrator: row.column("has_administrator")?,
    })
}
