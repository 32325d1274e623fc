//! Applies a run of deliveries: looks up the records they name in one statement a source, works out in
//! memory what becomes of each, and writes the outcome in a few statements.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use bytes::Bytes;
use handfast_proto::{
    amendment::Batch,
    ids::{OdsCode, RecordId},
};
use sqlx::{Row as _, SqliteConnection};

use super::{
    columns::{Bulk, count},
    error::InboxError,
    model::ChangeOp,
    rule::{Around, Kind, Row, Touched, decide},
    state::{Granted, State},
};

/// One delivery of a run.
pub(super) struct Delivery<'a> {
    pub(super) source: OdsCode,
    pub(super) grant: u64,
    pub(super) job: u64,
    pub(super) batch: &'a Batch,
}

/// A row of `change` to be written.
pub(super) struct ChangeRow {
    number: u64,
    source: i64,
    seq: u64,
    op: ChangeOp,
    record: RecordId,
    version: u64,
}

/// A run of deliveries being worked out.
#[derive(Default)]
pub(super) struct Fold {
    rows: Vec<Row>,
    index: HashMap<(i64, RecordId), usize>,
    changes: Vec<ChangeRow>,
    amendments: u64,
}

impl Fold {
    /// Applies `run` within the caller's transaction. Returns how many amendments changed something.
    pub(super) async fn apply(
        conn: &mut SqliteConnection,
        state: &mut State,
        run: &[Delivery<'_>],
        now: i64,
    ) -> Result<u64, InboxError> {
        let mut fold = Self::default();
        for delivery in run {
            let source = state.source(conn, delivery.source).await?.id;
            fold.note(source, delivery.batch);
        }
        fold.look_up(conn).await?;
        for delivery in run {
            fold.deliver(conn, state, delivery, now).await?;
        }
        if state.has_outputs {
            write_changes(conn, &fold.changes, now).await?;
        }
        fold.write(conn).await?;
        Ok(fold.amendments)
    }

    /// Notes which records a batch names.
    fn note(&mut self, source: i64, batch: &Batch) {
        for entry in batch.entries() {
            self.index
                .entry((source, entry.record.clone()))
                .or_insert_with(|| {
                    self.rows.push(Row::absent(source, entry.record.clone()));
                    self.rows.len() - 1
                });
        }
    }

    /// Reads how the records noted stand.
    async fn look_up(&mut self, conn: &mut SqliteConnection) -> Result<(), InboxError> {
        let mut by_source: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (place, row) in self.rows.iter().enumerate() {
            by_source.entry(row.source).or_default().push(place);
        }
        for (source, places) in by_source {
            // A record id needs no escaping in JSON. One row comes back, whatever the number of records.
            let mut keys = String::with_capacity(places.len() * 48);
            for place in &places {
                keys.push(if keys.is_empty() { '[' } else { ',' });
                keys.push('"');
                keys.push_str(self.rows.get(*place).map_or("", |r| r.record.as_str()));
                keys.push('"');
            }
            keys.push(']');
            let found: String = sqlx::query(
                "SELECT json_group_array(json_array(k.key, r.seq, r.version, r.grant_no, r.confirmed_job, r.removed)) \
                 FROM json_each(?2) AS k CROSS JOIN record AS r ON r.source_id = ?1 AND r.record = k.value",
            )
            .bind(source)
            .bind(keys)
            .fetch_one(&mut *conn)
            .await?
            .try_get(0)?;
            let found: Vec<[u64; 6]> =
                serde_json::from_str(&found).map_err(|_| InboxError::Damaged("a record's numbers"))?;
            for [key, seq, version, grant, job, removed] in found {
                let place = usize::try_from(key).ok().and_then(|k| places.get(k)).copied();
                if let Some(row) = place.and_then(|p| self.rows.get_mut(p)) {
                    (row.seq, row.version, row.grant, row.job) = (seq, version, grant, job);
                    row.kind = if removed == 0 { Kind::Held } else { Kind::Removed };
                }
            }
        }
        Ok(())
    }

    /// Works out one delivery.
    async fn deliver(
        &mut self,
        conn: &mut SqliteConnection,
        state: &mut State,
        delivery: &Delivery<'_>,
        now: i64,
    ) -> Result<(), InboxError> {
        let State {
            sources, last_change, ..
        } = state;
        let Some(source) = sources.get_mut(&delivery.source) else {
            return Err(InboxError::Damaged("a source vanished"));
        };
        let granted = source.grants.entry(delivery.grant).or_default();
        source.dirty = true;
        let before = self.amendments;
        for (place, entry) in delivery.batch.entries().enumerate() {
            if delivery.job == 0 && !advance(granted, entry.seq) {
                continue;
            }
            let Some(row) = self
                .index
                .get(&(source.id, entry.record.clone()))
                .and_then(|p| self.rows.get_mut(*p))
            else {
                continue;
            };
            let payload = delivery.batch.payload(place);
            let mut around = Around {
                grant: delivery.grant,
                job: delivery.job,
                anew: granted.anew,
                same: true,
            };
            if around.anew && row.kind == Kind::Held && row.touched != Touched::Written {
                around.same = is_same(conn, row, &payload).await?;
            }
            let verdict = decide(row, entry.op, entry.seq, around);
            // What is applied while a catch-up runs is not to be swept by it.
            let job = if delivery.job == 0 {
                granted.catch_up.unwrap_or(0)
            } else {
                delivery.job
            };
            if let Some(op) = row.take(verdict, &entry, payload, delivery.grant, job) {
                *last_change += 1;
                self.amendments += 1;
                match op {
                    ChangeOp::Create => source.held += 1,
                    ChangeOp::Amend => {}
                    ChangeOp::Retract | ChangeOp::Withdraw => source.held = source.held.saturating_sub(1),
                }
                self.changes.push(ChangeRow {
                    number: *last_change,
                    source: source.id,
                    seq: entry.seq,
                    op,
                    record: row.record.clone(),
                    version: row.version,
                });
            }
        }
        if self.amendments > before {
            source.last_applied_at = Some(now);
        }
        Ok(())
    }

    /// Writes what became of the records.
    async fn write(&self, conn: &mut SqliteConnection) -> Result<(), InboxError> {
        static UPSERT: LazyLock<Bulk> = LazyLock::new(|| {
            Bulk::new(
                "INSERT INTO record (source_id, record, seq, version, grant_no, confirmed_job, removed, patient, \
                 category, recorded_at, content_type, payload)",
                12,
                "ON CONFLICT (source_id, record) DO UPDATE SET seq = excluded.seq, version = excluded.version, \
                 grant_no = excluded.grant_no, confirmed_job = excluded.confirmed_job, removed = excluded.removed, \
                 patient = excluded.patient, category = excluded.category, recorded_at = excluded.recorded_at, \
                 content_type = excluded.content_type, payload = excluded.payload",
            )
        });
        let written: Vec<&Row> = self
            .rows
            .iter()
            .filter(|r| r.touched == Touched::Written)
            .collect();
        UPSERT
            .write(conn, &written, |query, row| {
                let content = row.content.as_ref();
                query
                    .bind(row.source)
                    .bind(row.record.as_str().to_owned())
                    .bind(count(row.seq))
                    .bind(count(row.version))
                    .bind(count(row.grant))
                    .bind(count(row.job))
                    .bind(i64::from(row.kind == Kind::Removed))
                    .bind(content.map(|c| count(c.patient)))
                    .bind(content.map(|c| c.category))
                    .bind(content.map(|c| c.recorded_at))
                    .bind(content.map(|c| c.content_type.clone()))
                    .bind(content.map(|c| c.payload.to_vec()))
            })
            .await?;
        self.confirm(conn).await
    }

    /// Writes which records a catch-up confirmed, without touching their payloads.
    async fn confirm(&self, conn: &mut SqliteConnection) -> Result<(), InboxError> {
        let confirmed: Vec<_> = self
            .rows
            .iter()
            .filter(|r| r.touched == Touched::Confirmed)
            .map(|r| (r.source, r.record.as_str(), r.seq, r.grant, r.job))
            .collect();
        if confirmed.is_empty() {
            return Ok(());
        }
        let list = serde_json::to_string(&confirmed).map_err(|_| InboxError::Damaged("a record's name"))?;
        sqlx::query(
            "UPDATE record SET seq = k.value ->> 2, grant_no = k.value ->> 3, confirmed_job = k.value ->> 4 \
             FROM json_each(?1) AS k WHERE source_id = k.value ->> 0 AND record = k.value ->> 1",
        )
        .bind(list)
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Whether a live seq is beyond the position, which it then becomes.
fn advance(granted: &mut Granted, seq: u64) -> bool {
    if seq <= granted.position.unwrap_or(0) {
        return false;
    }
    granted.position = Some(seq);
    true
}

async fn is_same(conn: &mut SqliteConnection, row: &Row, payload: &Bytes) -> Result<bool, InboxError> {
    let same: Option<bool> =
        sqlx::query("SELECT payload = ?3 FROM record WHERE source_id = ?1 AND record = ?2")
            .bind(row.source)
            .bind(row.record.as_str().to_owned())
            .bind(payload.to_vec())
            .fetch_one(conn)
            .await?
            .try_get(0)?;
    Ok(same.unwrap_or(false))
}

async fn write_changes(
    conn: &mut SqliteConnection,
    changes: &[ChangeRow],
    now: i64,
) -> Result<(), InboxError> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO change (number, source_id, seq, op, record, version, applied_at)",
            7,
            "",
        )
    });
    INSERT
        .write(conn, changes, |query, c| {
            query
                .bind(count(c.number))
                .bind(c.source)
                .bind(count(c.seq))
                .bind(c.op.code())
                .bind(c.record.as_str().to_owned())
                .bind(count(c.version))
                .bind(now)
        })
        .await
}
