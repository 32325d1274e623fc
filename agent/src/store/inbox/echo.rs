//! What is held of a record, asked when the unit's own clinical system may have sent it back. Only reads.

use bytes::Bytes;
use handfast_proto::ids::{NhsNumber, OdsCode, RecordId};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{error::InboxError, feed::record, open::Inbox, source::ods};

/// Of what something may be a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyOf {
    /// A record of a source.
    Record(OdsCode, RecordId),
    /// What an output wrote under this name.
    Target(RecordId),
    /// A record of this name, of whatever source.
    Named(RecordId),
}

/// A record that is held, of which something may be a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCopy {
    /// Its source.
    pub source: OdsCode,
    /// Its name at its source.
    pub record: RecordId,
    /// Whose it is.
    pub patient: Option<NhsNumber>,
    /// The resource as its source holds it.
    pub payload: Bytes,
    /// Whether an output has written another version of it than the one held, by what it has entered.
    pub behind: bool,
}

/// What every question selects; `s`, `r`, `k` are the source, the record and the question.
const COLUMNS: &str = "k.value ->> 0 AS ask, s.ods AS ods, r.record, r.patient, r.payload,
    EXISTS (SELECT 1 FROM output AS o CROSS JOIN output_map AS m ON m.output = o.name
        AND m.source_id = r.source_id AND m.record = r.record WHERE m.seq <> r.seq) AS behind";

impl Inbox {
    /// Whether anything was ever received.
    pub async fn has_received(&self) -> Result<bool, InboxError> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM source) AS any")
            .fetch_one(self.readers())
            .await?;
        Ok(row.try_get("any")?)
    }

    /// What is held of each; one answer a question, in order, empty where nothing is.
    pub async fn copies(&self, asked: &[CopyOf]) -> Result<Vec<Vec<HeldCopy>>, InboxError> {
        let mut names: Vec<(usize, Option<&str>, &str)> = Vec::new();
        let mut targets: Vec<(usize, &str)> = Vec::new();
        for (index, one) in asked.iter().enumerate() {
            match one {
                CopyOf::Record(source, record) => names.push((index, Some(source.as_str()), record.as_str())),
                CopyOf::Named(record) => names.push((index, None, record.as_str())),
                CopyOf::Target(copy) => targets.push((index, copy.id())),
            }
        }
        let mut found = vec![Vec::new(); asked.len()];
        let by_name = format!(
            "SELECT {COLUMNS} FROM json_each(?1) AS k
             CROSS JOIN source AS s ON k.value ->> 1 IS NULL OR s.ods = k.value ->> 1
             CROSS JOIN record AS r ON r.source_id = s.id AND r.record = k.value ->> 2 AND r.removed = 0"
        );
        let by_target = format!(
            "SELECT {COLUMNS} FROM json_each(?1) AS k CROSS JOIN output_map AS t ON t.target = k.value ->> 1
             CROSS JOIN source AS s ON s.id = t.source_id
             CROSS JOIN record AS r ON r.source_id = s.id AND r.record = t.record AND r.removed = 0"
        );
        for (sql, list, any) in [
            (by_name, serde_json::json!(names), !names.is_empty()),
            (by_target, serde_json::json!(targets), !targets.is_empty()),
        ] {
            if !any {
                continue;
            }
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(list.to_string())
                .fetch_all(self.readers())
                .await?;
            for row in &rows {
                let (ask, copy) = read(row)?;
                let place = found.get_mut(ask).ok_or(InboxError::Damaged("an answer"))?;
                // Several outputs may have written it.
                if !place.contains(&copy) {
                    place.push(copy);
                }
            }
        }
        Ok(found)
    }
}

fn read(row: &SqliteRow) -> Result<(usize, HeldCopy), InboxError> {
    let ask: i64 = row.try_get("ask")?;
    let patient: Option<i64> = row.try_get("patient")?;
    let payload: Vec<u8> = row.try_get("payload")?;
    let copy = HeldCopy {
        source: ods(row)?,
        record: record(row)?,
        patient: patient.and_then(|p| NhsNumber::from_u64(u64::try_from(p).ok()?).ok()),
        payload: payload.into(),
        behind: row.try_get("behind")?,
    };
    Ok((
        usize::try_from(ask).map_err(|_| InboxError::Damaged("an answer"))?,
        copy,
    ))
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::Op;

    use handfast_proto::ids::RecordId;

    use super::CopyOf;
    use crate::store::inbox::{Progress, testing::*};

    const PAYLOAD: &str = r#"{"resourceType":"Observation","id":"1"}"#;

    #[tokio::test]
    async fn records_are_found_by_source_by_name_and_by_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = open_with_output(dir.path(), "fhir").await;
        assert!(!inbox.has_received().await.unwrap());
        let name: RecordId = "Observation/1".parse().unwrap();
        let copy: RecordId = "Observation/hf-1".parse().unwrap();
        let lines = [
            (1, Op::Create, "Observation/1", PAYLOAD),
            (2, Op::Create, "Observation/2", PAYLOAD),
        ];
        let contents = vec![
            welcome(true, &[("Z00101", 1), ("Z00102", 2)]),
            begins("Z00101", 1, 5),
            in_job("Z00101", 1, 5, &lines),
            begins("Z00102", 2, 6),
            in_job("Z00102", 2, 6, &lines[..1]),
        ];
        inbox.apply(&group(7, 1, contents)).await.unwrap();
        assert!(inbox.has_received().await.unwrap());
        let key = (ods("Z00101"), name.clone(), "hf-1".to_owned());
        inbox
            .prepare_targets("out", std::slice::from_ref(&key))
            .await
            .unwrap();
        let asked = [
            CopyOf::Record(ods("Z00101"), name.clone()),
            CopyOf::Named(name.clone()),
            CopyOf::Target(copy),
            CopyOf::Target("Observation/hf-2".parse().unwrap()),
            CopyOf::Record(ods("Z00102"), "Observation/2".parse().unwrap()),
        ];
        let found = inbox.copies(&asked).await.unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1, 0, 0]);
        assert_eq!(found[2][0], found[0][0]);
        assert_eq!((found[0][0].source, &found[0][0].record), (ods("Z00101"), &name));
        assert_eq!(found[0][0].payload, PAYLOAD);
        assert!(
            found[0][0].patient.is_some() && found[0][0].behind,
            "about to be written"
        );
        let progress = Progress {
            written: vec![(key.0, name, 1)],
            ..Progress::default()
        };
        inbox.commit_output("out", &progress).await.unwrap();
        assert!(!inbox.copies(&asked).await.unwrap()[0][0].behind);
    }
}
