//! Works out a run of deliveries: looks up the records they name in one statement a source, and decides in
//! memory what becomes of each. [`super::outcome`] writes it down.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Entry},
    ids::{OdsCode, RecordId},
};
use sqlx::{Row as _, SqliteConnection};

use super::{
    absent::Absences,
    error::InboxError,
    job::{self, Over, Place},
    model::ChangeOp,
    outcome,
    rule::{Around, Kind, Marks, Row, Touched, Verdict, decide},
    source::{Granted, Source},
    state::{State, job_of},
    tombstone,
};

/// One delivery of a run.
pub(super) struct Delivery<'a> {
    pub(super) source: OdsCode,
    pub(super) grant: u64,
    /// 0 = live.
    pub(super) job: u64,
    pub(super) batch: &'a Batch,
}

/// A row of `change` to be written.
pub(super) struct ChangeRow {
    pub(super) number: u64,
    pub(super) source: i64,
    pub(super) seq: u64,
    pub(super) op: ChangeOp,
    pub(super) record: RecordId,
    pub(super) version: u64,
    /// The job to be confirmed by which the record went; 0 = none.
    pub(super) job: u64,
}

/// A run of deliveries being worked out.
#[derive(Default)]
pub(super) struct Fold {
    pub(super) rows: Vec<Row>,
    index: HashMap<(i64, RecordId), usize>,
    pub(super) changes: Vec<ChangeRow>,
    absences: Absences,
    amendments: u64,
}

/// What is the same for all of a delivery.
struct Delivered {
    place: Place,
    in_job: bool,
    over: Option<Over>,
    marks: Marks,
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
        fold.look_up(conn, state).await?;
        for delivery in run {
            let delivered = delivered(conn, state, delivery).await?;
            let removed = fold.deliver(conn, state, delivery, &delivered, now).await?;
            if removed > 0 && delivered.over.is_some() {
                job::count_removed(conn, delivered.place, removed).await?;
            }
        }
        outcome::write(conn, state, &fold, now).await?;
        fold.absences.write(conn, state, now).await?;
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
    async fn look_up(&mut self, conn: &mut SqliteConnection, state: &State) -> Result<(), InboxError> {
        let mut by_source: BTreeMap<i64, Vec<&mut Row>> = BTreeMap::new();
        for row in &mut self.rows {
            by_source.entry(row.source).or_default().push(row);
        }
        for (source, mut rows) in by_source {
            look_up_held(conn, source, &mut rows).await?;
            rows.retain(|row| row.kind == Kind::Absent);
            let buried = state.sources.values().any(|s| s.id == source && s.tombstones);
            if buried && !rows.is_empty() {
                tombstone::look_up(conn, &state.tags, source, rows).await?;
            }
        }
        Ok(())
    }

    /// Works out one delivery. Returns how many records it removed.
    async fn deliver(
        &mut self,
        conn: &mut SqliteConnection,
        state: &mut State,
        delivery: &Delivery<'_>,
        delivered: &Delivered,
        now: i64,
    ) -> Result<u64, InboxError> {
        let fresh_from = state.fresh_from();
        let State {
            sources,
            last_change,
            residue,
            ..
        } = state;
        let Some(source) = sources.get_mut(&delivery.source) else {
            return Err(InboxError::Damaged("a source vanished"));
        };
        source.dirty = true;
        let (before, mut removed) = (self.amendments, 0);
        for (place, entry) in delivery.batch.entries().enumerate() {
            let granted = source.grants.entry(delivery.grant).or_default();
            if !delivered.in_job && !advance(granted, entry.seq) {
                continue;
            }
            let anew = granted.anew;
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
                stamp: delivered.place.job,
                in_job: delivered.in_job,
                anew,
                fresh_from,
                same: true,
                under_another: row.grant != delivery.grant && source.grants.contains_key(&row.grant),
            };
            if anew && row.kind == Kind::Held && row.touched != Touched::Written {
                around.same = is_same(conn, row, &payload).await?;
            }
            let verdict = decide(row, entry.op, entry.seq, around);
            source.tombstones |= verdict == Verdict::Bury;
            let Some(op) = row.take(verdict, &entry, payload, delivered.marks) else {
                continue;
            };
            self.amendments += 1;
            removed += u64::from(!op.holds());
            *last_change += 1;
            let job = if delivered.over.is_some() { delivery.job } else { 0 };
            note_change(source, op);
            if op.holds() {
                self.absences.back(source, &row.record);
            } else {
                *residue = *last_change;
            }
            // What its source retracted was not withdrawn.
            if op == ChangeOp::Withdraw {
                self.absences.withdrawn(source, &row.record);
            }
            self.changes
                .push(change_row(*last_change, source.id, &entry, op, row, job));
        }
        if self.amendments > before {
            source.last_applied_at = Some(now);
        }
        Ok(removed)
    }
}

fn change_row(number: u64, source: i64, entry: &Entry<'_>, op: ChangeOp, row: &Row, job: u64) -> ChangeRow {
    ChangeRow {
        number,
        source,
        seq: entry.seq,
        op,
        record: row.record.clone(),
        version: row.version,
        job: if op.holds() { 0 } else { job },
    }
}

fn note_change(source: &mut Source, op: ChangeOp) {
    match op {
        ChangeOp::Create => source.held += 1,
        ChangeOp::Amend => {}
        ChangeOp::Retract | ChangeOp::Withdraw => {
            source.held = source.held.saturating_sub(1);
            source.tombstones = true;
        }
    }
}

/// What a delivery's job is, and what its amendments are marked with.
async fn delivered(
    conn: &mut SqliteConnection,
    state: &mut State,
    delivery: &Delivery<'_>,
) -> Result<Delivered, InboxError> {
    let (stamp, in_job) = (state.stamp(delivery.job), delivery.job != 0);
    let source = state.source(conn, delivery.source).await?;
    let catch_up = source.grants.entry(delivery.grant).or_default().catch_up;
    let place = Place {
        source: source.id,
        grant: delivery.grant,
        job: stamp,
    };
    let over = match catch_up {
        _ if !in_job => None,
        Some(catch_up) if job_of(catch_up) == delivery.job => None,
        _ => job::over(conn, place).await?,
    };
    Ok(Delivered {
        place,
        in_job,
        over,
        marks: Marks {
            grant: delivery.grant,
            // What is applied while a catch-up runs is not to be swept by it.
            job: catch_up.unwrap_or(stamp),
            patient_job: matches!(over, Some(Over::Patient(_))).then_some(stamp),
            removed_by: if in_job { stamp } else { catch_up.unwrap_or(stamp) },
        },
    })
}

async fn look_up_held(
    conn: &mut SqliteConnection,
    source: i64,
    rows: &mut [&mut Row],
) -> Result<(), InboxError> {
    // A record id needs no escaping in JSON. One row comes back, whatever the number of records.
    let mut keys = String::with_capacity(rows.len() * 48);
    for row in rows.iter() {
        keys.push(if keys.is_empty() { '[' } else { ',' });
        keys.push('"');
        keys.push_str(row.record.as_str());
        keys.push('"');
    }
    keys.push(']');
    let found: String = sqlx::query(
        "SELECT json_group_array(json_array(k.key, r.seq, r.version, r.grant_no, r.confirmed_job, r.patient_job)) \
         FROM json_each(?2) AS k CROSS JOIN record AS r ON r.source_id = ?1 AND r.record = k.value \
         AND r.removed = 0",
    )
    .bind(source)
    .bind(keys)
    .fetch_one(conn)
    .await?
    .try_get(0)?;
    let found: Vec<[u64; 6]> =
        serde_json::from_str(&found).map_err(|_| InboxError::Damaged("a record's numbers"))?;
    for [key, seq, version, grant, job, patient_job] in found {
        let row = usize::try_from(key).ok().and_then(|key| rows.get_mut(key));
        if let Some(row) = row {
            (row.seq, row.version, row.grant) = (seq, version, grant);
            (row.job, row.patient_job) = (job, patient_job);
            (row.kind, row.filed) = (Kind::Held, Kind::Held);
        }
    }
    Ok(())
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
