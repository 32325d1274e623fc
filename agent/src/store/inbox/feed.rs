//! What outputs take from the inbox, and how far each got.
//!
//! A change says only what happened to which record; the version held is read when an output asks, so an
//! output that is behind writes the newest version at once, and never one that has been removed since.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use handfast_proto::ids::{OdsCode, RecordId};
use sqlx::{Connection as _, Row as _, sqlite::SqliteRow};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    letters::{self, NewLetter},
    model::{Change, ChangeOp, Current, HeldHead, HeldRecord},
    open::Inbox,
    source::{Source, ods},
    target,
};

/// Changes that all outputs have carried out are deleted in steps of about this many.
const PRUNE_STEP: u64 = 1024;

/// How an output stands, as the inbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRow {
    /// Everything up to this change is carried out.
    pub position: u64,
    /// The output's own note of where it stood then.
    pub mark: Option<String>,
    /// It must compare all that is held with all that it wrote.
    pub resync: bool,
}

/// What an output has carried out since it last said so.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Everything up to this change.
    pub position: u64,
    /// The output's own note.
    pub mark: Option<String>,
    /// Whether the comparison of everything is still to be done.
    pub resync: bool,
    /// Written at the output, with the seq of the version (outputs that map ids).
    pub written: Vec<(OdsCode, RecordId, u64)>,
    /// Deleted at the output, or never there.
    pub deleted: Vec<(OdsCode, RecordId)>,
    /// What could not be carried out.
    pub letters: Vec<NewLetter>,
}

impl Inbox {
    /// How an output stands.
    pub async fn output(&self, name: &str) -> Result<OutputRow, InboxError> {
        let row = sqlx::query("SELECT position, mark, resync FROM output WHERE name = ?1")
            .bind(name.to_owned())
            .fetch_one(self.readers())
            .await?;
        Ok(OutputRow {
            position: unsigned(&row, "position")?,
            mark: row.try_get("mark")?,
            resync: row.try_get("resync")?,
        })
    }

    /// The next changes after `position`, in order, as many as the limits allow and at least one if there
    /// is one.
    pub async fn pending(&self, position: u64) -> Result<Vec<Change>, InboxError> {
        let limits = self.0.limits;
        let rows = sqlx::query(
            "SELECT c.number, c.seq, c.op, c.record, c.version, c.applied_at, c.job, s.ods AS ods, r.id AS row_id, \
             coalesce(length(r.payload), 0) AS size \
             FROM change AS c JOIN source AS s ON s.id = c.source_id \
             LEFT JOIN record AS r ON r.source_id = c.source_id AND r.record = c.record AND r.removed = 0 \
             WHERE c.number > ?1 ORDER BY c.number LIMIT ?2",
        )
        .bind(count(position))
        .bind(count(limits.output_group_changes as u64))
        .fetch_all(self.readers())
        .await?;
        let mut changes = Vec::with_capacity(rows.len());
        let mut row_ids = Vec::new();
        let mut bytes = 0;
        for row in &rows {
            bytes += unsigned(row, "size")?;
            if !changes.is_empty() && bytes > limits.output_group_bytes as u64 {
                break;
            }
            changes.push(change(row)?);
            row_ids.extend(row.try_get::<Option<i64>, _>("row_id")?);
        }
        self.fill(&mut changes, &row_ids).await?;
        Ok(changes)
    }

    /// Gives the last change of each record the version that is held.
    async fn fill(&self, changes: &mut [Change], row_ids: &[i64]) -> Result<(), InboxError> {
        let mut held = HashMap::new();
        for row in sqlx::query(
            "SELECT s.ods AS ods, r.record, r.seq, r.version, r.recorded_at, r.content_type, r.payload \
             FROM record AS r JOIN source AS s ON s.id = r.source_id \
             WHERE r.removed = 0 AND r.id IN (SELECT value FROM json_each(?1))",
        )
        .bind(format!("{row_ids:?}"))
        .fetch_all(self.readers())
        .await?
        {
            let record = held_record(&row)?;
            held.insert((record.source, record.record.clone()), record);
        }
        let mut seen = HashSet::new();
        for change in changes.iter_mut().rev() {
            let key = (change.source, change.record.clone());
            change.current = match held.remove(&key) {
                _ if seen.contains(&key) => Current::Later,
                Some(record) => Current::Held(record),
                None => Current::Gone,
            };
            seen.insert(key);
        }
        Ok(())
    }

    /// Enters what an output has carried out.
    pub async fn commit_output(&self, name: &str, progress: &Progress) -> Result<(), InboxError> {
        let now = self.now();
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        let before: i64 = sqlx::query("SELECT position FROM output WHERE name = ?1")
            .bind(name.to_owned())
            .fetch_one(&mut *tx)
            .await?
            .try_get(0)?;
        sqlx::query("UPDATE output SET position = ?2, mark = ?3, resync = ?4 WHERE name = ?1")
            .bind(name.to_owned())
            .bind(count(progress.position))
            .bind(progress.mark.clone())
            .bind(progress.resync)
            .execute(&mut *tx)
            .await?;
        target::settle(&mut tx, name, progress).await?;
        letters::close(&mut tx, name, progress, now).await?;
        for letter in &progress.letters {
            letters::put(&mut tx, name, letter, now).await?;
        }
        if before.unsigned_abs() / PRUNE_STEP != progress.position / PRUNE_STEP {
            sqlx::query("DELETE FROM change WHERE number <= (SELECT min(position) FROM output)")
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        writer.clean = true;
        self.keep_room(writer).await;
        drop(guard);
        self.0.progress.send_modify(|n| *n = n.wrapping_add(1));
        if !progress.letters.is_empty() {
            self.standing_changed();
        }
        Ok(())
    }

    /// The version held of a record.
    pub async fn held(&self, source: OdsCode, record: &RecordId) -> Result<Option<HeldRecord>, InboxError> {
        let row = sqlx::query(
            "SELECT s.ods AS ods, r.record, r.seq, r.version, r.recorded_at, r.content_type, r.payload \
             FROM source AS s JOIN record AS r ON r.source_id = s.id \
             WHERE s.ods = ?1 AND r.record = ?2 AND r.removed = 0",
        )
        .bind(source.as_str().to_owned())
        .bind(record.as_str().to_owned())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(held_record).transpose()
    }

    /// A page of what is held of one source, in the order of the records' names, after a given one: at
    /// most `limit`. With it the number of the newest change that it reflects.
    pub async fn held_page(
        &self,
        source: OdsCode,
        after: &str,
        limit: u32,
    ) -> Result<(u64, Vec<HeldHead>), InboxError> {
        let mut tx = self.readers().begin().await?;
        let meta = sqlx::query("SELECT last_change FROM meta")
            .fetch_one(&mut *tx)
            .await?;
        let rows = sqlx::query(
            "SELECT record, seq, version FROM record \
             WHERE source_id = (SELECT id FROM source WHERE ods = ?1) AND record > ?2 AND removed = 0 \
             ORDER BY record LIMIT ?3",
        )
        .bind(source.as_str().to_owned())
        .bind(after.to_owned())
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let heads: Result<Vec<_>, InboxError> = rows
            .iter()
            .map(|row| {
                Ok(HeldHead {
                    source,
                    record: record(row)?,
                    seq: unsigned(row, "seq")?,
                    version: unsigned(row, "version")?,
                })
            })
            .collect();
        Ok((unsigned(&meta, "last_change")?, heads?))
    }

    /// Which of these records are held. With it the number of the newest change that this reflects.
    pub async fn which_are_held(
        &self,
        records: &[(OdsCode, RecordId)],
    ) -> Result<(u64, HashSet<(OdsCode, RecordId)>), InboxError> {
        let mut tx = self.readers().begin().await?;
        let meta = sqlx::query("SELECT last_change FROM meta")
            .fetch_one(&mut *tx)
            .await?;
        let rows = sqlx::query(
            "SELECT s.ods AS ods, r.record FROM json_each(?1) AS k \
             CROSS JOIN source AS s ON s.ods = k.value ->> 0 \
             CROSS JOIN record AS r ON r.source_id = s.id AND r.record = k.value ->> 1 AND r.removed = 0",
        )
        .bind(target::names(records.iter().map(|(s, r)| (s, r))))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let held: Result<HashSet<_>, InboxError> =
            rows.iter().map(|row| Ok((ods(row)?, record(row)?))).collect();
        Ok((unsigned(&meta, "last_change")?, held?))
    }

    /// Every source that anything was ever held of, in order.
    pub async fn sources(&self) -> Result<Vec<OdsCode>, InboxError> {
        let rows = sqlx::query("SELECT ods FROM source ORDER BY ods")
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(ods).collect()
    }

    /// Whether what is held is all that is to be held by now: the daemon has welcomed this inbox since it
    /// was opened, every grant is caught up, and no other job is under way.
    pub async fn is_settled(&self) -> Result<bool, InboxError> {
        if !self.is_welcomed() {
            return Ok(false);
        }
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        if !writer.state.sources.values().all(Source::is_caught_up) {
            return Ok(false);
        }
        let open: bool = sqlx::query("SELECT EXISTS (SELECT 1 FROM job)")
            .fetch_one(&mut writer.conn)
            .await?
            .try_get(0)?;
        Ok(!open)
    }

    /// The number of the newest change.
    pub fn last_change(&self) -> u64 {
        *self.0.news.borrow()
    }
}

fn change(row: &SqliteRow) -> Result<Change, InboxError> {
    let op: i64 = row.try_get("op")?;
    Ok(Change {
        number: unsigned(row, "number")?,
        source: ods(row)?,
        record: record(row)?,
        seq: unsigned(row, "seq")?,
        op: ChangeOp::from_code(op).ok_or(InboxError::Damaged("a change's op"))?,
        version: unsigned(row, "version")?,
        applied_at: row.try_get("applied_at")?,
        job: unsigned(row, "job")?,
        current: Current::Gone,
    })
}

pub(super) fn record(row: &SqliteRow) -> Result<RecordId, InboxError> {
    let text: String = row.try_get("record")?;
    RecordId::from_bytes(Bytes::from(text)).map_err(|_| InboxError::Damaged("a record's name"))
}

fn held_record(row: &SqliteRow) -> Result<HeldRecord, InboxError> {
    let payload: Vec<u8> = row.try_get("payload")?;
    Ok(HeldRecord {
        source: ods(row)?,
        record: record(row)?,
        seq: unsigned(row, "seq")?,
        version: unsigned(row, "version")?,
        recorded_at: row.try_get("recorded_at")?,
        content_type: row.try_get("content_type")?,
        payload: payload.into(),
    })
}
