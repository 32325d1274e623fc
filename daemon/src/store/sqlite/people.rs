//! People and their roles.

use handfast_proto::ids::PersonId;
use sqlx::{SqliteConnection, SqliteExecutor, sqlite::SqliteRow};

use super::{
    database::Database,
    enrolment,
    fault::{fault, is_taken},
    units,
    values::{self, Columns, corrupt, person_holder},
};
use crate::store::{NewPerson, NewToken, PersonRow, Role, StoreError, UnitState, With};

pub(super) async fn add(
    main: &Database,
    person: &NewPerson,
    token: &NewToken,
    at: i64,
    with: &With,
) -> Result<PersonRow, StoreError> {
    let mut write = main.write().await?;
    let result = insert(write.conn(), person, token, at).await;
    write.finish_with(result, with, at).await
}

async fn insert(
    conn: &mut SqliteConnection,
    person: &NewPerson,
    token: &NewToken,
    at: i64,
) -> Result<PersonRow, StoreError> {
    if let Some(unit) = person.unit
        && units::state_of(conn, unit).await? == UnitState::Retired
    {
        return Err(StoreError::Conflict("the unit is retired, for good"));
    }
    let sql = "INSERT INTO person (id, name, unit, role, role_at, added_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
    let inserted = sqlx::query(sql)
        .bind(person.id.as_str())
        .bind(person.name.as_str())
        .bind(person.unit.as_ref().map(|unit| unit.as_str().to_owned()))
        .bind(person.role as i32)
        .bind(at)
        .execute(&mut *conn)
        .await;
    match inserted {
        Err(error) if is_taken(&error) => return Err(StoreError::Exists("person")),
        other => other.map_err(fault)?,
    };
    enrolment::insert_token(conn, token, at).await?;
    present(conn, &person.id).await
}

pub(super) async fn one(main: &Database, id: &PersonId) -> Result<Option<PersonRow>, StoreError> {
    find(main.readers(), id).await
}

pub(super) async fn all(main: &Database) -> Result<Vec<PersonRow>, StoreError> {
    let sql = "SELECT id, name, unit, role, added_at, revoked_at FROM person ORDER BY unit, name, id";
    let rows = sqlx::query(sql).fetch_all(main.readers()).await.map_err(fault)?;
    rows.iter().map(person_row).collect()
}

pub(super) async fn set_role(
    main: &Database,
    id: &PersonId,
    role: Role,
    at: i64,
    with: &With,
) -> Result<PersonRow, StoreError> {
    let mut write = main.write().await?;
    let result = change_role(write.conn(), id, role, at).await;
    write.finish_with(result, with, at).await
}

async fn change_role(
    conn: &mut SqliteConnection,
    id: &PersonId,
    role: Role,
    at: i64,
) -> Result<PersonRow, StoreError> {
    let person = find(&mut *conn, id).await?.ok_or(StoreError::Missing("person"))?;
    if person.revoked {
        return Err(StoreError::Conflict("the person was revoked, for good"));
    }
    sqlx::query("UPDATE person SET role = ?2, role_at = ?3 WHERE id = ?1")
        .bind(id.as_str())
        .bind(role as i32)
        .bind(at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    present(conn, id).await
}

pub(super) async fn revoke(
    main: &Database,
    id: &PersonId,
    reason: &str,
    at: i64,
    with: &With,
) -> Result<PersonRow, StoreError> {
    let mut write = main.write().await?;
    let result = end(write.conn(), id, reason, at).await;
    write.finish_with(result, with, at).await
}

/// Of a person who was revoked before, the first reason stands.
async fn end(
    conn: &mut SqliteConnection,
    id: &PersonId,
    reason: &str,
    at: i64,
) -> Result<PersonRow, StoreError> {
    find(&mut *conn, id).await?.ok_or(StoreError::Missing("person"))?;
    sqlx::query(
        "UPDATE person SET revoked_at = ?2, revoked_reason = ?3 WHERE id = ?1 AND revoked_at IS NULL",
    )
    .bind(id.as_str())
    .bind(at)
    .bind(reason)
    .execute(&mut *conn)
    .await
    .map_err(fault)?;
    enrolment::void_tokens(conn, &person_holder(id), at).await?;
    present(conn, id).await
}

/// One person, where there is one.
pub(super) async fn find<'e>(
    executor: impl SqliteExecutor<'e>,
    id: &PersonId,
) -> Result<Option<PersonRow>, StoreError> {
    let row = sqlx::query("SELECT id, name, unit, role, added_at, revoked_at FROM person WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(executor)
        .await
        .map_err(fault)?;
    row.as_ref().map(person_row).transpose()
}

async fn present(conn: &mut SqliteConnection, id: &PersonId) -> Result<PersonRow, StoreError> {
    find(conn, id).await?.ok_or_else(|| corrupt("a person has gone"))
}

fn person_row(row: &SqliteRow) -> Result<PersonRow, StoreError> {
    let unit: Option<&str> = row.column("unit")?;
    let unit = unit.map(str::parse).transpose();
    Ok(PersonRow {
        id: row.parsed("id")?,
        name: row.column("name")?,
        unit: unit.map_err(|_| corrupt("a person's unit is not an ODS code"))?,
        role: values::role(row.column("role")?)?,
        revoked: row.column::<Option<i64>>("revoked_at")?.is_some(),
        added_at: row.column("added_at")?,
    })
}
