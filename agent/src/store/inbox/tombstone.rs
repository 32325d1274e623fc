//! Tombstones: which records were removed, and at which seq, while their grant stands. An older version that comes
//! late (a repeated job, a projection that lags behind the live feed, another grant's feed that lags behind) must not
//! bring one back. They name no record: only its tag is kept.
//!
//! Bound: one for each record that its source took back while the grant that said so stands, held here or not;
//! some 60 bytes each, about no patient. They go with the grant.

use std::{collections::HashMap, sync::LazyLock};

use handfast_proto::ids::OdsCode;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{
    columns::{Bulk, count},
    error::InboxError,
    feed,
    open::Inbox,
    rule::{Kind, Row},
    source::Source,
    tag::{Tag, TagKey},
};

/// Tombstones with a name that are taken over in one step.
const ADOPTED_AT_ONCE: i64 = 1000;

/// Reads the tombstones of records that are not held, into their rows.
pub(super) async fn look_up(
    conn: &mut SqliteConnection,
    tags: &TagKey,
    source: i64,
    rows: Vec<&mut Row>,
) -> Result<(), InboxError> {
    let mut by_tag: HashMap<Tag, &mut Row> = rows
        .into_iter()
        .map(|row| (tags.record(&row.record), row))
        .collect();
    let names: Vec<String> = by_tag.keys().map(|tag| tag.hex()).collect();
    let names = serde_json::to_string(&names).map_err(|_| InboxError::Damaged("a tag"))?;
    let found: String = sqlx::query(
        "SELECT json_group_array(json_array(hex(t.name), t.seq, t.version, t.grant_no, t.job)) \
         FROM json_each(?2) AS k CROSS JOIN tombstone AS t ON t.source_id = ?1 AND t.name = unhex(k.value)",
    )
    .bind(source)
    .bind(names)
    .fetch_one(conn)
    .await?
    .try_get(0)?;
    let found: Vec<(String, u64, u64, u64, u64)> =
        serde_json::from_str(&found).map_err(|_| InboxError::Damaged("a tombstone"))?;
    for (name, seq, version, grant, job) in found {
        let row = Tag::from_hex(&name).and_then(|tag| by_tag.get_mut(&tag));
        if let Some(row) = row {
            (row.seq, row.version, row.grant, row.job) = (seq, version, grant, job);
            (row.kind, row.filed) = (Kind::Removed, Kind::Removed);
        }
    }
    Ok(())
}

/// Writes what became of tombstones: those of records removed are made, those of records brought back go.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    tags: &TagKey,
    rows: &[&Row],
) -> Result<(), InboxError> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO tombstone (source_id, name, seq, version, grant_no, job)",
            6,
            "ON CONFLICT (source_id, name) DO UPDATE SET seq = excluded.seq, version = excluded.version, \
             grant_no = excluded.grant_no, job = excluded.job",
        )
    });
    let made: Vec<&Row> = rows.iter().copied().filter(|r| r.kind == Kind::Removed).collect();
    INSERT
        .write(&mut *conn, &made, |query, row| {
            query
                .bind(row.source)
                .bind(tags.record(&row.record).to_vec())
                .bind(count(row.seq))
                .bind(count(row.version))
                .bind(count(row.grant))
                .bind(count(row.job))
        })
        .await?;
    let back: Vec<(i64, String)> = rows
        .iter()
        .filter(|r| r.kind == Kind::Held && r.filed == Kind::Removed)
        .map(|r| (r.source, tags.record(&r.record).hex()))
        .collect();
    if back.is_empty() {
        return Ok(());
    }
    let back = serde_json::to_string(&back).map_err(|_| InboxError::Damaged("a tag"))?;
    sqlx::query(
        "DELETE FROM tombstone WHERE (source_id, name) IN \
         (SELECT k.value ->> 0, unhex(k.value ->> 1) FROM json_each(?1) AS k)",
    )
    .bind(back)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets those of grants that are not in force: what such a grant removed, another one may bring.
pub(super) async fn forget_ended(conn: &mut SqliteConnection, source: &mut Source) -> Result<(), InboxError> {
    if !source.tombstones {
        return Ok(());
    }
    let live = source.live();
    source.tombstones = !live.is_empty();
    sqlx::query(
        "DELETE FROM tombstone WHERE source_id = ?1 AND grant_no NOT IN (SELECT value FROM json_each(?2))",
    )
    .bind(source.id)
    .bind(format!("{live:?}"))
    .execute(conn)
    .await?;
    Ok(())
}

impl Inbox {
    /// Makes tombstones of rows that an earlier version kept with their names. Safe to be broken off.
    pub(super) async fn adopt_named_tombstones(&self) -> Result<(), InboxError> {
        loop {
            let mut guard = self.writer().await?;
            let writer = &mut *guard;
            let due: bool = sqlx::query("SELECT named_tombstones FROM meta")
                .fetch_one(&mut writer.conn)
                .await?
                .try_get(0)?;
            if !due {
                return Ok(());
            }
            writer.clean = false;
            let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
            let named = sqlx::query(
                "SELECT r.id, r.source_id, s.ods, r.record, r.seq, r.version, r.grant_no, r.confirmed_job \
                 FROM record AS r JOIN source AS s ON s.id = r.source_id WHERE r.removed = 1 LIMIT ?1",
            )
            .bind(ADOPTED_AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
            for row in &named {
                let ods: OdsCode = super::source::ods(row)?;
                let tag = writer.state.tags.record(&feed::record(row)?);
                sqlx::query(
                    "INSERT OR REPLACE INTO tombstone (source_id, name, seq, version, grant_no, job) \
                     SELECT source_id, ?2, seq, version, grant_no, confirmed_job FROM record WHERE id = ?1",
                )
                .bind(row.try_get::<i64, _>("id")?)
                .bind(tag.to_vec())
                .execute(&mut *tx)
                .await?;
                sqlx::query("DELETE FROM record WHERE id = ?1")
                    .bind(row.try_get::<i64, _>("id")?)
                    .execute(&mut *tx)
                    .await?;
                if let Some(source) = writer.state.sources.get_mut(&ods) {
                    source.tombstones = true;
                }
            }
            let state = &mut writer.state;
            if !named.is_empty() {
                state.residue = state.last_change.max(1);
            }
            sqlx::query("UPDATE meta SET residue = ?1")
                .bind(count(state.residue))
                .execute(&mut *tx)
                .await?;
            if named.is_empty() {
                sqlx::query("UPDATE meta SET named_tombstones = 0")
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            writer.clean = true;
        }
    }
}
