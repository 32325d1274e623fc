//! The map of what outputs wrote under ids of their own making. Only what stands here is ever written or
//! deleted there, so an output can never touch what is not Handfast's.

use std::{collections::HashMap, sync::LazyLock};

use handfast_proto::ids::{OdsCode, RecordId};
use sqlx::{Connection as _, SqliteConnection};

use super::{
    columns::{Bulk, count, unsigned},
    error::InboxError,
    feed::{Progress, record},
    open::Inbox,
    source::ods,
};

impl Inbox {
    /// Enters records that an output is about to write for the first time. Durable before anything is
    /// written, so that a crash in between leaves nothing unknown at the output.
    pub async fn prepare_targets(
        &self,
        output: &str,
        records: &[(OdsCode, RecordId, String)],
    ) -> Result<(), InboxError> {
        static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
            Bulk::new(
                "INSERT INTO output_map (output, source_id, record, target, seq)",
                5,
                "ON CONFLICT DO NOTHING",
            )
        });
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        let mut rows = Vec::with_capacity(records.len());
        for (source, record, target) in records {
            rows.push((writer.state.source(&mut tx, *source).await?.id, record, target));
        }
        INSERT
            .write(&mut tx, &rows, |query, (source, record, target)| {
                query
                    .bind(output.to_owned())
                    .bind(*source)
                    .bind(record.as_str().to_owned())
                    .bind((*target).clone())
                    .bind(0_i64)
            })
            .await?;
        tx.commit().await?;
        writer.clean = true;
        Ok(())
    }

    /// Enters what an output is about to tell about a source itself, which has no record's name.
    pub async fn prepare_about(&self, output: &str, source: OdsCode, target: &str) -> Result<(), InboxError> {
        let mut writer = self.writer().await?;
        sqlx::query(
            "INSERT INTO output_map (output, source_id, record, target, seq) \
             SELECT ?1, id, '', ?3, 0 FROM source WHERE ods = ?2 ON CONFLICT DO NOTHING",
        )
        .bind(output.to_owned())
        .bind(source.as_str().to_owned())
        .bind(target.to_owned())
        .execute(&mut writer.conn)
        .await?;
        Ok(())
    }

    /// Which of these records an output has in its map, and the seq last written of each.
    pub async fn targets(
        &self,
        output: &str,
        records: &[(OdsCode, RecordId)],
    ) -> Result<HashMap<(OdsCode, RecordId), u64>, InboxError> {
        let rows = sqlx::query(
            "SELECT s.ods AS ods, m.record, m.seq FROM json_each(?2) AS k \
             CROSS JOIN source AS s ON s.ods = k.value ->> 0 \
             CROSS JOIN output_map AS m ON m.output = ?1 AND m.source_id = s.id AND m.record = k.value ->> 1",
        )
        .bind(output.to_owned())
        .bind(names(records.iter().map(|(s, r)| (s, r))))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| Ok(((ods(row)?, record(row)?), unsigned(row, "seq")?)))
            .collect()
    }

    /// A page of what stands in an output's map but is not held any more: at most `limit`.
    pub async fn orphans(&self, output: &str, limit: u32) -> Result<Vec<(OdsCode, RecordId)>, InboxError> {
        let rows = sqlx::query(
            "SELECT s.ods AS ods, m.record FROM output_map AS m JOIN source AS s ON s.id = m.source_id \
             WHERE m.output = ?1 AND m.record <> '' AND NOT EXISTS (SELECT 1 FROM record AS r WHERE r.source_id = m.source_id \
             AND r.record = m.record AND r.removed = 0) \
             AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.output = m.output \
             AND d.source_id = m.source_id AND d.record = m.record AND d.state IN ('waiting', 'refused')) \
             LIMIT ?2",
        )
        .bind(output.to_owned())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Ok((ods(row)?, record(row)?))).collect()
    }
}

/// Source and record each, as JSON. Neither needs escaping.
pub(super) fn names<'a>(records: impl Iterator<Item = (&'a OdsCode, &'a RecordId)>) -> String {
    let mut list = String::from("[");
    for (source, record) in records {
        if list.len() > 1 {
            list.push(',');
        }
        list.extend(["[\"", source.as_str(), "\",\"", record.as_str(), "\"]"]);
    }
    list.push(']');
    list
}

/// Enters what an output wrote and deleted.
pub(super) async fn settle(
    conn: &mut SqliteConnection,
    output: &str,
    progress: &Progress,
) -> Result<(), InboxError> {
    for (source, record, seq) in &progress.written {
        sqlx::query(
            "UPDATE output_map SET seq = ?4 WHERE output = ?1 AND record = ?3 \
             AND source_id = (SELECT id FROM source WHERE ods = ?2)",
        )
        .bind(output.to_owned())
        .bind(source.as_str().to_owned())
        .bind(record.as_str().to_owned())
        .bind(count(*seq))
        .execute(&mut *conn)
        .await?;
    }
    for (source, record) in &progress.deleted {
        sqlx::query(
            "DELETE FROM output_map WHERE output = ?1 AND record = ?3 \
             AND source_id = (SELECT id FROM source WHERE ods = ?2)",
        )
        .bind(output.to_owned())
        .bind(source.as_str().to_owned())
        .bind(record.as_str().to_owned())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}
