//! Emergency accesses: who opened whose records, from which units, and which grants carry them.
//!
//! Invariants: each source of an access has an alert of its own from the start; a grant that an access noted
//! stays noted, and holds as long as the longest access that it carries and that nobody ended; who ended a source
//! before its time is the first who did.

use std::collections::BTreeSet;

use handfast_proto::ids::OdsCode;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    access_rows, alerts,
    database::Database,
    emergencies,
    fault::{fault, is_missing_reference},
    grants, units,
    values::{Columns, int},
};
use crate::{
    consent::GrantId,
    store::{
        AccessEnded, AccessId, AccessQuery, AccessRow, AlertKind, EmergencyRow, EndAccess, NewAccess,
        NewAlert, OpenedSource, Role, StoreError, With,
    },
};

/// Whether a unit has a privacy officer who could review.
pub(super) async fn has_privacy_officer(
    main: &Database,
    unit: OdsCode,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (
                   SELECT 1 FROM person
                   WHERE unit = ?1 AND role = ?2 AND revoked_at IS NULL
                     AND EXISTS (SELECT 1 FROM certificate
                                 WHERE holder = 'person/' || person.id AND not_after > ?3)) AS there";
    let row = sqlx::query(sql)
        .bind(unit.as_str().to_owned())
        .bind(Role::PrivacyOfficer as i32)
        .bind(now)
        .fetch_one(main.readers())
        .await
        .map_err(fault)?;
    row.column("there")
}

/// Keeps an access that is about to be opened, with its alerts.
pub(super) async fn add(main: &Database, access: &NewAccess, with: &With) -> Result<AccessId, StoreError> {
    let mut write = main.write().await?;
    let result = insert(write.conn(), access).await;
    write.finish_with(result, with, access.at).await
}

async fn insert(conn: &mut SqliteConnection, access: &NewAccess) -> Result<AccessId, StoreError> {
    if access.sources.is_empty() || access.sources.contains(&access.recipient) {
        return Err(StoreError::Conflict(
            "an emergency access opens other units' records",
        ));
    }
    if access.until <= access.at {
        return Err(StoreError::Conflict("an emergency access lasts"));
    }
    units::state_of(conn, access.recipient).await?;
    let sql = "INSERT INTO emergency_access
                   (recipient, person, patient, alert_type, alert_reason, note, at, until)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id";
    let inserted = sqlx::query(sql)
        .bind(access.recipient.as_str())
        .bind(access.person.as_str())
        .bind(int(access.patient.as_u64())?)
        .bind(access.ground.alert_type() as i32)
        .bind(access.ground.reason() as i32)
        .bind(access.note.as_str())
        .bind(access.at)
        .bind(access.until)
        .fetch_one(&mut *conn)
        .await;
    let row = match inserted {
        Err(error) if is_missing_reference(&error) => return Err(StoreError::Missing("person")),
        other => other.map_err(fault)?,
    };
    let id = row.count("id")?;
    for source in &access.sources {
        insert_source(conn, id, access, *source).await?;
    }
    Ok(AccessId(id))
}

async fn insert_source(
    conn: &mut SqliteConnection,
    id: u64,
    access: &NewAccess,
    source: OdsCode,
) -> Result<(), StoreError> {
    let alert = NewAlert {
        kind: AlertKind::EmergencyAccess,
        unit: access.recipient,
        source: Some(source),
        patient: Some(access.patient),
        person: Some(access.person.clone()),
        by: format!("person {}", access.person),
        note: access.note.clone(),
        at: access.at,
    };
    let alert = alerts::insert(conn, &alert).await?;
    let sql = "INSERT INTO emergency_source (access, source, alert, until) VALUES (?1, ?2, ?3, ?4)";
    sqlx::query(sql)
        .bind(int(id)?)
        .bind(source.as_str())
        .bind(int(alert.0)?)
        .bind(access.until)
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Notes which grants carry an access, and has each hold for at least as long.
pub(super) async fn note_opened(
    main: &Database,
    id: AccessId,
    opened: &[OpenedSource],
    at: i64,
    with: &With,
) -> Result<Vec<EmergencyRow>, StoreError> {
    let mut write = main.write().await?;
    let result = note(write.conn(), id, opened, at).await;
    write.finish_with(result, with, at).await
}

async fn note(
    conn: &mut SqliteConnection,
    id: AccessId,
    opened: &[OpenedSource],
    at: i64,
) -> Result<Vec<EmergencyRow>, StoreError> {
    let sql = "UPDATE emergency_source SET grant_id = ?3
               WHERE access = ?1 AND source = ?2 AND grant_id IS NULL RETURNING until";
    let mut held = Vec::with_capacity(opened.len());
    for source in opened {
        let noted = sqlx::query(sql)
            .bind(int(id.0)?)
            .bind(source.source.as_str())
            .bind(int(source.grant.0)?)
            .fetch_optional(&mut *conn)
            .await
            .map_err(fault)?;
        if let Some(row) = noted {
            held.push(hold_until(conn, source.grant, row.column("until")?, at).await?);
        }
    }
    Ok(held)
}

/// Has a grant hold until then at least.
async fn hold_until(
    conn: &mut SqliteConnection,
    grant: GrantId,
    until: i64,
    at: i64,
) -> Result<EmergencyRow, StoreError> {
    let sql = "UPDATE sharing_grant SET until = max(until, ?2)
               WHERE id = ?1 AND ended_at IS NULL AND until > ?3
               RETURNING id, source, recipient, patient, started_at, until";
    let row = sqlx::query(sql)
        .bind(int(grant.0)?)
        .bind(until)
        .bind(at)
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    let over = StoreError::Conflict("the emergency access that was to be shared is over");
    emergencies::row(&row.ok_or(over)?)
}

/// Finds the grants of accesses that were opened and not noted.
pub(super) async fn adopt_grants(main: &Database) -> Result<u64, StoreError> {
    let sql = "UPDATE emergency_source AS s SET grant_id = g.id, until = min(s.until, g.until)
               FROM emergency_access AS a
               JOIN sharing_grant AS g ON g.recipient = a.recipient AND g.patient = a.patient
               WHERE s.access = a.id AND g.source = s.source AND s.grant_id IS NULL
                 AND g.ended_at IS NULL AND g.started_at >= a.at AND g.until IS NOT NULL";
    let mut write = main.write().await?;
    let result = sqlx::query(sql).execute(write.conn()).await.map_err(fault);
    write.finish(result.map(|done| done.rows_affected())).await
}

/// Emergency accesses, the newest first.
pub(super) async fn accesses(main: &Database, query: &AccessQuery) -> Result<Vec<AccessRow>, StoreError> {
    let mut read = main.read().await?;
    let rows = access_rows::select(&mut read, query).await?;
    read.rollback().await.map_err(fault)?;
    Ok(rows)
}

/// Ends an access before its time, and the grants that carry no other.
pub(super) async fn end(main: &Database, end: &EndAccess, with: &With) -> Result<AccessEnded, StoreError> {
    let mut write = main.write().await?;
    let result = end_all(write.conn(), end).await;
    write.finish_with_what_it_did(result, with, end.at).await
}

async fn end_all(conn: &mut SqliteConnection, end: &EndAccess) -> Result<AccessEnded, StoreError> {
    mark_ended(conn, end).await?;
    let mut ended = AccessEnded::default();
    let mut pairs = BTreeSet::new();
    for source in &end.sources {
        let Some(carried) = carried_by(conn, end, *source).await? else {
            continue;
        };
        match carried.others_until.filter(|_| carried.in_force) {
            Some(until) => ended.go_on.push(shorten(conn, carried.grant, until).await?),
            None => {
                ended.over.push(carried.grant);
                if carried.in_force {
                    pairs.insert(shorten(conn, carried.grant, end.at).await?.pair);
                }
            }
        }
    }
    for pair in pairs {
        ended.outcomes.push(grants::settle(conn, pair, end.at).await?);
    }
    Ok(ended)
}

/// The grant that carries a source of an access.
struct Carried {
    grant: GrantId,
    in_force: bool,
    /// Until when the longest of its other accesses holds.
    others_until: Option<i64>,
}

async fn carried_by(
    conn: &mut SqliteConnection,
    end: &EndAccess,
    source: OdsCode,
) -> Result<Option<Carried>, StoreError> {
    let sql = "SELECT g.id, g.ended_at IS NULL AS in_force,
                      (SELECT max(o.until) FROM emergency_source AS o
                       WHERE o.grant_id = g.id AND o.access <> s.access
                         AND o.ended_at IS NULL AND o.until > ?3) AS others_until
               FROM emergency_source AS s JOIN sharing_grant AS g ON g.id = s.grant_id
               WHERE s.access = ?1 AND s.source = ?2";
    let row = sqlx::query(sql)
        .bind(int(end.id.0)?)
        .bind(source.as_str())
        .bind(end.at)
        .fetch_optional(conn)
        .await
        .map_err(fault)?;
    let carried = |row: SqliteRow| {
        Ok(Carried {
            grant: GrantId(row.count("id")?),
            in_force: row.column("in_force")?,
            others_until: row.column("others_until")?,
        })
    };
    row.map(carried).transpose()
}

/// Has a grant hold no longer than until then.
async fn shorten(
    conn: &mut SqliteConnection,
    grant: GrantId,
    until: i64,
) -> Result<EmergencyRow, StoreError> {
    let sql = "UPDATE sharing_grant SET until = min(until, ?2) WHERE id = ?1
               RETURNING id, source, recipient, patient, started_at, until";
    let row = sqlx::query(sql)
        .bind(int(grant.0)?)
        .bind(until)
        .fetch_one(conn)
        .await
        .map_err(fault)?;
    emergencies::row(&row)
}

async fn mark_ended(conn: &mut SqliteConnection, end: &EndAccess) -> Result<(), StoreError> {
    let id = int(end.id.0)?;
    let row = sqlx::query("SELECT count(*) AS there FROM emergency_access WHERE id = ?1")
        .bind(id)
        .fetch_one(&mut *conn)
        .await
        .map_err(fault)?;
    if row.count("there")? == 0 {
        return Err(StoreError::Missing("emergency access"));
    }
    let sql = "UPDATE emergency_source SET ended_at = ?3, ended_by = ?4, ended_unit = ?5
               WHERE access = ?1 AND source = ?2 AND ended_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM sharing_grant AS g
                                 WHERE g.id = grant_id AND g.ended_at IS NOT NULL)";
    for source in &end.sources {
        sqlx::query(sql)
            .bind(id)
            .bind(source.as_str())
            .bind(end.at)
            .bind(end.by.as_str())
            .bind(end.unit.as_str())
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}
