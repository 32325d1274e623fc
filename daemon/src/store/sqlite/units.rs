//! Units and how they stand.

use handfast_proto::ids::OdsCode;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    agreements,
    database::Database,
    emergencies, enrolment,
    fault::{fault, is_taken},
    grants,
    values::{Columns, unit_kind, unit_state, unit_state_text},
};
use crate::store::{
    NewToken, NewUnit, Role, StoreError, UnitChange, UnitRow, UnitState, UnitStateOutcome, With,
};

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

pub(super) async fn stands(main: &Database, ods: OdsCode) -> Result<Option<UnitState>, StoreError> {
    let row = sqlx::query("SELECT state FROM unit WHERE ods = ?1")
        .bind(ods.as_str())
        .fetch_optional(main.readers())
        .await
        .map_err(fault)?;
    row.map(|row| unit_state(row.column("state")?)).transpose()
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
    change: &UnitChange,
    with: &With,
) -> Result<UnitStateOutcome, StoreError> {
    let mut write = main.write().await?;
    let result = change_state(write.conn(), change).await;
    write.finish_with_what_it_did(result, with, change.at).await
}

async fn change_state(
    conn: &mut SqliteConnection,
    change: &UnitChange,
) -> Result<UnitStateOutcome, StoreError> {
    let (ods, at) = (change.ods, change.at);
    if state_of(conn, ods).await? == UnitState::Retired {
        return Err(StoreError::Conflict("the unit is retired, for good"));
    }
    let suspended = change.state == UnitState::Suspended;
    let sql = "UPDATE unit SET state = ?2, state_by = ?3, state_reason = ?4, state_at = ?5,
                   withdrawn = (?6 AND (withdrawn OR ?7))
               WHERE ods = ?1";
    sqlx::query(sql)
        .bind(ods.as_str())
        .bind(unit_state_text(change.state))
        .bind(change.by.as_str())
        .bind(change.reason.as_str())
        .bind(at)
        .bind(suspended)
        .bind(change.withdraw)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    let mut pairs = Vec::new();
    if change.state == UnitState::Retired {
        enrolment::void_tokens(conn, &super::values::unit_holder(ods), at).await?;
        pairs = grants::turn_all_off(conn, ods, &change.by, &change.reason, at).await?;
        for pair in emergencies::end_all(conn, ods, at).await? {
            pairs.push(grants::settle(conn, pair, at).await?);
        }
    } else {
        for pair in agreements::of_source(conn, ods).await? {
            let settled = grants::settle(conn, pair, at).await?;
            if settled.started.is_some() || settled.ends_anything() {
                pairs.push(settled);
            }
        }
    }
    let unit = one(conn, ods, at).await?;
    Ok(UnitStateOutcome { unit, pairs })
}

/// Whether what a unit shares out is withdrawn by its suspension.
pub(super) async fn is_withdrawn(conn: &mut SqliteConnection, ods: OdsCode) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT withdrawn FROM unit WHERE ods = ?1")
        .bind(ods.as_str())
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    row.ok_or(StoreError::Missing("unit"))?.column("withdrawn")
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
