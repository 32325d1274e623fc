//! Emergency accesses as people see them: what was asked, what became of it at each source, what followed.

use std::collections::HashMap;

use handfast_proto::{emergency::Ground, ids::OdsCode};
use sqlx::{
    SqliteConnection,
    query::Query,
    sqlite::{Sqlite, SqliteArguments, SqliteRow},
};

use super::{
    alerts,
    fault::fault,
    values::{Columns, corrupt, int},
};
use crate::{
    consent::GrantId,
    store::{
        AccessId, AccessQuery, AccessRow, AccessesOf, AlertId, NewAccess, RemovalRow, SourceRow, StoreError,
        WithdrawalState,
    },
};

/// `?1`: whose; `?2`: open at this moment or null; `?3`: below this number or null; `?4`: how many. `$of` is
/// a condition on the access `a`, `$mine` one on a source `s` of it.
macro_rules! select_accesses {
    ($of:literal, $mine:literal) => {
        concat!(
            "SELECT a.id, a.recipient, a.person, p.name AS person_name, a.patient, a.alert_type,
                    a.alert_reason, a.note, a.at, a.until
             FROM emergency_access AS a JOIN person AS p ON p.id = a.person
             WHERE ",
            $of,
            " AND (?2 IS NULL OR EXISTS (
                   SELECT 1 FROM emergency_source AS s
                   JOIN alert AS l ON l.id = s.alert
                   LEFT JOIN sharing_grant AS g ON g.id = s.grant_id
                   WHERE s.access = a.id AND ",
            $mine,
            " AND (l.reviewed_at IS NULL
                        OR (s.ended_at IS NULL AND s.grant_id IS NOT NULL AND g.ended_at IS NULL
                            AND s.until > ?2))))
               AND (?3 IS NULL OR a.id < ?3)
             ORDER BY a.id DESC LIMIT ?4"
        )
    };
}

/// The accesses that are asked for, the newest first.
pub(super) async fn select(
    conn: &mut SqliteConnection,
    query: &AccessQuery,
) -> Result<Vec<AccessRow>, StoreError> {
    let before = query.before.map(|id| int(id.0)).transpose()?;
    let rows = whose(&query.of)?
        .bind(query.open_at)
        .bind(before)
        .bind(query.limit)
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    let mut accesses: Vec<AccessRow> = rows.iter().map(access_row).collect::<Result<_, _>>()?;
    let ids = ids_json(accesses.iter().map(|access| access.id.0));
    let mut sources = sources(conn, &ids).await?;
    for access in &mut accesses {
        access.sources = sources.remove(&access.id).unwrap_or_default();
        access.access.sources = access.sources.iter().map(|s| s.source).collect();
    }
    Ok(accesses)
}

fn whose(of: &AccessesOf) -> Result<Query<'static, Sqlite, SqliteArguments>, StoreError> {
    Ok(match of {
        AccessesOf::One(id) => sqlx::query(select_accesses!("a.id = ?1", "1")).bind(int(id.0)?),
        AccessesOf::Person(person) => {
            sqlx::query(select_accesses!("a.person = ?1", "1")).bind(person.as_str().to_owned())
        }
        AccessesOf::Unit(ods) => sqlx::query(select_accesses!(
            "a.id IN (SELECT id FROM emergency_access WHERE recipient = ?1
                      UNION SELECT access FROM emergency_source WHERE source = ?1)",
            "(a.recipient = ?1 OR s.source = ?1)"
        ))
        .bind(ods.as_str().to_owned()),
    })
}

async fn sources(
    conn: &mut SqliteConnection,
    ids: &str,
) -> Result<HashMap<AccessId, Vec<SourceRow>>, StoreError> {
    let sql = "SELECT s.access, s.source, s.grant_id AS carried_by, s.until, s.alert,
                      coalesce(s.ended_at, g.ended_at) AS over_at, s.ended_by,
                      s.ended_unit,
                      l.escalated_at, l.reviewed_at, w.behind, w.removed, w.not_removed
               FROM emergency_source AS s
               JOIN alert AS l ON l.id = s.alert
               LEFT JOIN sharing_grant AS g ON g.id = s.grant_id
               LEFT JOIN (
                   SELECT grant_id, sum(removed) AS removed, sum(not_removed) AS not_removed,
                          max(CASE state WHEN 'due' THEN 2 WHEN 'received' THEN 1 ELSE 0 END) AS behind
                   FROM job
                   WHERE kind = 'withdraw' AND grant_id IN (
                       SELECT grant_id FROM emergency_source
                       WHERE access IN (SELECT value FROM json_each(?1)))
                   GROUP BY grant_id) AS w ON w.grant_id = s.grant_id
               WHERE s.access IN (SELECT value FROM json_each(?1))
               ORDER BY s.access, s.source";
    let rows = sqlx::query(sql)
        .bind(ids.to_owned())
        .fetch_all(&mut *conn)
        .await
        .map_err(fault)?;
    let mut found: HashMap<AccessId, Vec<SourceRow>> = HashMap::new();
    for row in &rows {
        let access = AccessId(row.count("access")?);
        found.entry(access).or_default().push(source_row(row)?);
    }
    let all = found.values().flatten().map(|source| source.alert.0);
    let mut reviews = alerts::reviews(conn, &ids_json(all)).await?;
    for source in found.values_mut().flatten() {
        source.reviews = reviews.remove(&source.alert).unwrap_or_default();
    }
    Ok(found)
}

/// Numbers as a JSON array, for `json_each`.
pub(super) fn ids_json(ids: impl Iterator<Item = u64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

fn access_row(row: &SqliteRow) -> Result<AccessRow, StoreError> {
    let ground = Ground::from_numbers(row.column("alert_type")?, row.column("alert_reason")?);
    Ok(AccessRow {
        id: AccessId(row.count("id")?),
        person_name: row.column("person_name")?,
        access: NewAccess {
            recipient: row.parsed("recipient")?,
            person: row.parsed("person")?,
            patient: row.patient("patient")?,
            sources: Vec::new(),
            ground: ground.map_err(|_| corrupt("an access's alert type and reason do not go together"))?,
            note: row.column("note")?,
            at: row.column("at")?,
            until: row.column("until")?,
        },
        sources: Vec::new(),
    })
}

fn source_row(row: &SqliteRow) -> Result<SourceRow, StoreError> {
    let grant: Option<i64> = row.column("carried_by")?;
    Ok(SourceRow {
        source: row.parsed("source")?,
        grant: grant.map(|_| row.count("carried_by").map(GrantId)).transpose()?,
        until: row.column("until")?,
        ended_at: row.column("over_at")?,
        ended_by: ended_by(row)?,
        removal: removal(row)?,
        alert: AlertId(row.count("alert")?),
        state: alerts::state(row)?,
        reviews: Vec::new(),
    })
}

fn ended_by(row: &SqliteRow) -> Result<Option<(String, OdsCode)>, StoreError> {
    let by: Option<String> = row.column("ended_by")?;
    by.map(|by| Ok((by, row.parsed("ended_unit")?))).transpose()
}

/// Of several withdrawals (a patient may have several numbers) the one that is furthest behind says how far
/// it is.
fn removal(row: &SqliteRow) -> Result<Option<RemovalRow>, StoreError> {
    let state = match row.column::<Option<i64>>("behind")? {
        None => return Ok(None),
        Some(0) => WithdrawalState::Confirmed,
        Some(1) => WithdrawalState::Received,
        Some(_) => WithdrawalState::Pending,
    };
    Ok(Some(RemovalRow {
        state,
        removed: row.count("removed")?,
        not_removed: row.count("not_removed")?,
    }))
}
