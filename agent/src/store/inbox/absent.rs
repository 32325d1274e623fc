//! What was withdrawn and is not back: while there is any of it, clinicians are told. A grant that is caught up may
//! still lack it (a patient dissented, an entry turned private), and no time makes it whole.
//!
//! Of a patient whose records were withdrawn one record is remembered, the Patient if that went too; of an entry that
//! was withdrawn by itself that entry. Neither is named: only the tag of the record's name is kept, as tombstones do.
//!
//! Bound: [`MAX_ABSENT`] a source, some 40 bytes each. What is beyond it is told as long as what is withdrawn without
//! being known.

use std::{collections::BTreeMap, sync::LazyLock};

use handfast_proto::ids::RecordId;
use sqlx::SqliteConnection;

use super::{columns::Bulk, error::InboxError, source::Source, state::State, tag::Tag};

/// Tags remembered per source.
pub(super) const MAX_ABSENT: u64 = 100_000;

/// What a run of deliveries withdrew (true) or brought back (false), by source and name.
#[derive(Default)]
pub(super) struct Absences(BTreeMap<(i64, RecordId), bool>);

impl Absences {
    /// It was withdrawn.
    pub(super) fn withdrawn(&mut self, source: &Source, record: &RecordId) {
        self.0.insert((source.id, record.clone()), true);
    }

    /// It is here.
    pub(super) fn back(&mut self, source: &Source, record: &RecordId) {
        if source.absent > 0 || !self.0.is_empty() {
            self.0.insert((source.id, record.clone()), false);
        }
    }

    /// Enters all of it.
    pub(super) async fn write(
        &self,
        conn: &mut SqliteConnection,
        state: &mut State,
        now: i64,
    ) -> Result<(), InboxError> {
        let mut by_source: BTreeMap<i64, [Vec<Tag>; 2]> = BTreeMap::new();
        for ((source, record), withdrawn) in &self.0 {
            let [gone, back] = by_source.entry(*source).or_default();
            let list = if *withdrawn { gone } else { back };
            list.push(state.tags.record(record));
        }
        for (id, [gone, back]) in by_source {
            let Some(source) = state.sources.values_mut().find(|s| s.id == id) else {
                continue;
            };
            forget(conn, source, &back).await?;
            remember(conn, source, &gone, now).await?;
        }
        Ok(())
    }
}

/// These were withdrawn.
pub(super) async fn remember(
    conn: &mut SqliteConnection,
    source: &mut Source,
    tags: &[Tag],
    now: i64,
) -> Result<(), InboxError> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO absent (source_id, name)",
            2,
            "ON CONFLICT (source_id, name) DO NOTHING",
        )
    });
    if tags.is_empty() {
        return Ok(());
    }
    let room = usize::try_from(MAX_ABSENT.saturating_sub(source.absent)).unwrap_or(usize::MAX);
    let kept = tags.get(..room.min(tags.len())).unwrap_or_default();
    if kept.len() < tags.len() {
        source.withdrawn_at = Some(now);
    }
    let id = source.id;
    INSERT
        .write(&mut *conn, kept, |query, tag| query.bind(id).bind(tag.to_vec()))
        .await?;
    let absent: i64 = sqlx::query_scalar("SELECT count(*) FROM absent WHERE source_id = ?1")
        .bind(source.id)
        .fetch_one(conn)
        .await?;
    (source.absent, source.absent_at) = (absent.unsigned_abs(), Some(now));
    source.dirty = true;
    Ok(())
}

async fn forget(conn: &mut SqliteConnection, source: &mut Source, tags: &[Tag]) -> Result<(), InboxError> {
    if tags.is_empty() || source.absent == 0 {
        return Ok(());
    }
    let names: Vec<String> = tags.iter().map(|tag| tag.hex()).collect();
    let names = serde_json::to_string(&names).map_err(|_| InboxError::Damaged("a tag"))?;
    let back = sqlx::query(
        "DELETE FROM absent WHERE source_id = ?1 AND name IN (SELECT unhex(value) FROM json_each(?2))",
    )
    .bind(source.id)
    .bind(names)
    .execute(&mut *conn)
    .await?;
    source.absent = source.absent.saturating_sub(back.rows_affected());
    source.dirty = true;
    Ok(())
}
