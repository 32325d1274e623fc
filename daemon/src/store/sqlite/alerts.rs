//! Alerts to privacy officers and their reviews.
//!
//! Invariants: an alert is raised, may be escalated while it is open, and is closed by its first review;
//! nothing of that is undone. Whatever changes how an alert stands makes it due at every target.

use std::collections::HashMap;

use handfast_proto::ids::PersonId;
use sqlx::{
    SqliteConnection,
    query::Query,
    sqlite::{Sqlite, SqliteArguments, SqliteRow},
};

use super::{
    access_rows::ids_json,
    database::Database,
    fault::{fault, is_missing_reference, is_taken},
    hand_off,
    values::{Columns, corrupt, int},
};
use crate::store::{
    AccessId, AlertId, AlertKind, AlertQuery, AlertRow, AlertState, AlertsOf, NewAlert, ReviewRow,
    StoreError, With,
};

/// `?1`: whose; `?2`: of which kind or null; `?3`: only open ones; `?4`: below this number or null; `?5`: how
/// many.
macro_rules! select_alerts {
    ($of:literal) => {
        concat!(
            "SELECT l.id, l.kind, l.unit, l.source, l.patient, l.person, l.by, l.note, l.raised_at,
                    l.escalated_at, l.reviewed_at, s.access
             FROM alert AS l LEFT JOIN emergency_source AS s ON s.alert = l.id
             WHERE ",
            $of,
            " AND (?2 IS NULL OR l.kind = ?2) AND (?3 = 0 OR l.reviewed_at IS NULL)
               AND (?4 IS NULL OR l.id < ?4)
             ORDER BY l.id DESC LIMIT ?5"
        )
    };
}

/// Raises alerts.
pub(super) async fn raise(
    main: &Database,
    alerts: &[NewAlert],
    with: &With,
) -> Result<Vec<AlertId>, StoreError> {
    let mut write = main.write().await?;
    let result = async {
        let mut raised = Vec::with_capacity(alerts.len());
        for alert in alerts {
            raised.push(insert(write.conn(), alert).await?);
        }
        Ok(raised)
    }
    .await;
    let at = alerts.iter().map(|alert| alert.at).max().unwrap_or_default();
    write.finish_with(result, with, at).await
}

/// Raises one, inside a transaction.
pub(super) async fn insert(conn: &mut SqliteConnection, alert: &NewAlert) -> Result<AlertId, StoreError> {
    let patient = alert.patient.map(|patient| int(patient.as_u64())).transpose()?;
    let sql = "INSERT INTO alert (kind, unit, source, patient, person, by, note, raised_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id";
    let inserted = sqlx::query(sql)
        .bind(alert.kind as i32)
        .bind(alert.unit.as_str())
        .bind(alert.source.map(|ods| ods.as_str().to_owned()))
        .bind(patient)
        .bind(alert.person.as_ref().map(|id| id.as_str().to_owned()))
        .bind(alert.by.as_str())
        .bind(alert.note.as_str())
        .bind(alert.at)
        .fetch_one(&mut *conn)
        .await;
    let row = match inserted {
        Err(error) if is_missing_reference(&error) => return Err(StoreError::Missing("unit")),
        other => other.map_err(fault)?,
    };
    let id = row.count("id")?;
    hand_off::owe_new(conn, id, alert.at).await?;
    Ok(AlertId(id))
}

/// Alerts, the newest first.
pub(super) async fn alerts(main: &Database, query: &AlertQuery) -> Result<Vec<AlertRow>, StoreError> {
    let (select, kind) = whose(&query.of)?;
    let before = query.before.map(|id| int(id.0)).transpose()?;
    let mut read = main.read().await?;
    let rows = select
        .bind(kind.map(|kind| kind as i32))
        .bind(query.open)
        .bind(before)
        .bind(query.limit)
        .fetch_all(&mut *read)
        .await
        .map_err(fault)?;
    let mut alerts: Vec<AlertRow> = rows.iter().map(alert_row).collect::<Result<_, _>>()?;
    let mut reviews = reviews(&mut read, &ids_json(alerts.iter().map(|alert| alert.id.0))).await?;
    for alert in &mut alerts {
        alert.reviews = reviews.remove(&alert.id).unwrap_or_default();
    }
    read.rollback().await.map_err(fault)?;
    Ok(alerts)
}

type Select = Query<'static, Sqlite, SqliteArguments>;

fn whose(of: &AlertsOf) -> Result<(Select, Option<AlertKind>), StoreError> {
    Ok(match of {
        AlertsOf::One(id) => (sqlx::query(select_alerts!("l.id = ?1")).bind(int(id.0)?), None),
        AlertsOf::Unit(ods, kind) => {
            let select = sqlx::query(select_alerts!(
                "l.id IN (SELECT id FROM alert WHERE unit = ?1 UNION SELECT id FROM alert WHERE source = ?1)"
            ));
            (select.bind(ods.as_str().to_owned()), *kind)
        }
        AlertsOf::Escalated(ods) => {
            let select = sqlx::query(select_alerts!(
                "l.escalated_at IS NOT NULL AND (?1 IS NULL OR l.unit = ?1 OR l.source = ?1)"
            ));
            (select.bind(ods.map(|ods| ods.as_str().to_owned())), None)
        }
    })
}

/// The reviews of alerts (a JSON array of their numbers), in order.
pub(super) async fn reviews(
    conn: &mut SqliteConnection,
    ids: &str,
) -> Result<HashMap<AlertId, Vec<ReviewRow>>, StoreError> {
    let sql = "SELECT alert, person, unit, justified, note, at FROM alert_review
               WHERE alert IN (SELECT value FROM json_each(?1)) ORDER BY id";
    let rows = sqlx::query(sql)
        .bind(ids.to_owned())
        .fetch_all(conn)
        .await
        .map_err(fault)?;
    let mut found: HashMap<AlertId, Vec<ReviewRow>> = HashMap::new();
    for row in &rows {
        let review = ReviewRow {
            person: row.parsed("person")?,
            unit: row.parsed("unit")?,
            justified: row.column("justified")?,
            note: row.column("note")?,
            at: row.column("at")?,
        };
        found
            .entry(AlertId(row.count("alert")?))
            .or_default()
            .push(review);
    }
    Ok(found)
}

/// Adds a review to alerts, and closes those that are open.
pub(super) async fn review(
    main: &Database,
    alerts: &[AlertId],
    review: &ReviewRow,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = async {
        for alert in alerts {
            review_one(write.conn(), *alert, review).await?;
        }
        Ok(())
    }
    .await;
    write.finish_with(result, with, review.at).await
}

async fn review_one(
    conn: &mut SqliteConnection,
    alert: AlertId,
    review: &ReviewRow,
) -> Result<(), StoreError> {
    let id = int(alert.0)?;
    let row = sqlx::query("SELECT person FROM alert WHERE id = ?1")
        .bind(id)
        .fetch_optional(&mut *conn)
        .await
        .map_err(fault)?;
    let about: Option<&str> = row
        .as_ref()
        .ok_or(StoreError::Missing("alert"))?
        .column("person")?;
    if about == Some(review.person.as_str()) {
        return Err(StoreError::Conflict("nobody reviews what they did themselves"));
    }
    let sql = "INSERT INTO alert_review (alert, person, unit, justified, note, at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let inserted = sqlx::query(sql)
        .bind(id)
        .bind(review.person.as_str())
        .bind(review.unit.as_str())
        .bind(review.justified)
        .bind(review.note.as_str())
        .bind(review.at)
        .execute(&mut *conn)
        .await;
    match inserted {
        Err(error) if is_taken(&error) => {
            return Err(StoreError::Conflict(
                "you have reviewed this already: another person may add to it",
            ));
        }
        Err(error) if is_missing_reference(&error) => return Err(StoreError::Missing("person or unit")),
        other => other.map_err(fault)?,
    };
    let closed = sqlx::query("UPDATE alert SET reviewed_at = ?2 WHERE id = ?1 AND reviewed_at IS NULL")
        .bind(id)
        .bind(review.at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    if closed.rows_affected() > 0 {
        hand_off::owe_change(conn, alert, review.at).await?;
    }
    Ok(())
}

/// Escalates alerts, all or none.
pub(super) async fn escalate(
    main: &Database,
    alerts: &[AlertId],
    at: i64,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = async {
        for alert in alerts {
            escalate_one(write.conn(), *alert, at).await?;
        }
        Ok(())
    }
    .await;
    write.finish_with(result, with, at).await
}

async fn escalate_one(conn: &mut SqliteConnection, alert: AlertId, at: i64) -> Result<(), StoreError> {
    let sql = "UPDATE alert SET escalated_at = ?2
               WHERE id = ?1 AND reviewed_at IS NULL AND escalated_at IS NULL";
    let done = sqlx::query(sql)
        .bind(int(alert.0)?)
        .bind(at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    match done.rows_affected() {
        0 => Err(StoreError::Conflict(
            "the alert does not wait for a review any more",
        )),
        _ => hand_off::owe_change(conn, alert, at).await,
    }
}

/// The open alerts that are not escalated, those raised first.
pub(super) async fn not_escalated(main: &Database, limit: u32) -> Result<Vec<AlertRow>, StoreError> {
    let sql = "SELECT l.id, l.kind, l.unit, l.source, l.patient, l.person, l.by, l.note, l.raised_at,
                      l.escalated_at, l.reviewed_at, s.access
               FROM alert AS l LEFT JOIN emergency_source AS s ON s.alert = l.id
               WHERE l.reviewed_at IS NULL AND l.escalated_at IS NULL
               ORDER BY l.raised_at, l.id LIMIT ?1";
    let rows = sqlx::query(sql)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(alert_row).collect()
}

fn alert_row(row: &SqliteRow) -> Result<AlertRow, StoreError> {
    let person: Option<&str> = row.column("person")?;
    let source: Option<&str> = row.column("source")?;
    let access: Option<i64> = row.column("access")?;
    Ok(AlertRow {
        id: AlertId(row.count("id")?),
        alert: NewAlert {
            kind: kind(row)?,
            unit: row.parsed("unit")?,
            source: source.map(|_| row.parsed("source")).transpose()?,
            patient: row.patient_or_none("patient")?,
            person: person.map(|_| row.parsed::<PersonId>("person")).transpose()?,
            by: row.column("by")?,
            note: row.column("note")?,
            at: row.column("raised_at")?,
        },
        access: access.map(|_| row.count("access").map(AccessId)).transpose()?,
        state: state(row)?,
        escalated_at: row.column("escalated_at")?,
        reviewed_at: row.column("reviewed_at")?,
        reviews: Vec::new(),
    })
}

pub(super) fn kind(row: &SqliteRow) -> Result<AlertKind, StoreError> {
    AlertKind::try_from(row.column::<i32>("kind")?).map_err(|_| corrupt("an alert's kind is unknown"))
}

/// How an alert stands, by its `escalated_at` and `reviewed_at`.
pub(super) fn state(row: &SqliteRow) -> Result<AlertState, StoreError> {
    let reviewed: Option<i64> = row.column("reviewed_at")?;
    let escalated: Option<i64> = row.column("escalated_at")?;
    Ok(match (reviewed, escalated) {
        (Some(_), _) => AlertState::Reviewed,
        (None, Some(_)) => AlertState::Escalated,
        (None, None) => AlertState::Open,
    })
}
