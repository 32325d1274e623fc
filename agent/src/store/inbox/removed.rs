//! What was removed and may still come back: the unit's clinical system may export what it had before it was told to
//! remove it, in files that bear no mark of whose they are. Such a file is known by its name and content together; of
//! both only one keyed digest is kept, so that nothing of them outlives the removal here.
//!
//! Where every output marks what it writes (those at a FHIR server do) nothing is kept: a mark needs no memory.
//!
//! Bounds: [`KEPT_FOR_MS`] and [`MAX_KEPT`], some 40 bytes each; beyond that the oldest are forgotten, and of one
//! removal of more than so many records only a part is known.

use std::{collections::HashSet, sync::LazyLock};

use handfast_proto::ids::RecordId;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    columns::{Bulk, count},
    error::InboxError,
    feed::record,
    open::Inbox,
    state::State,
    tag::{Tag, TagKey},
};
use crate::codec::fhir::content_digest;

/// How long a digest is kept: 30 days, in milliseconds. An export comes by the day, or by the week.
const KEPT_FOR_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Digests kept, of all sources together.
pub(super) const MAX_KEPT: u64 = 250_000;

/// The digest of a row of `record` that has its name and its payload. `None`: it is no content that could come back.
pub(super) fn tag_of(tags: &TagKey, row: &SqliteRow) -> Result<Option<Tag>, InboxError> {
    let payload: Option<Vec<u8>> = row.try_get("payload")?;
    let digest = payload.and_then(|payload| content_digest(&payload));
    let name = record(row)?;
    Ok(digest.map(|digest| tags.copy(&name, &digest)))
}

/// Keeps the digests of records that are about to be removed, by source and name in JSON.
pub(super) async fn keep_named(
    conn: &mut SqliteConnection,
    state: &State,
    names: &str,
    now: i64,
) -> Result<(), InboxError> {
    if !state.unmarked {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT record, payload FROM record WHERE (source_id, record) IN \
         (SELECT k.value ->> 0, k.value ->> 1 FROM json_each(?1) AS k)",
    )
    .bind(names.to_owned())
    .fetch_all(&mut *conn)
    .await?;
    let mut gone = Vec::with_capacity(rows.len());
    for row in &rows {
        gone.extend(tag_of(&state.tags, row)?);
    }
    keep(conn, &gone, now).await
}

/// Keeps digests, and forgets what is beyond the bounds.
pub(super) async fn keep(conn: &mut SqliteConnection, gone: &[Tag], now: i64) -> Result<(), InboxError> {
    static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO removed_copy (tag, at)",
            2,
            "ON CONFLICT (tag) DO UPDATE SET at = excluded.at",
        )
    });
    if gone.is_empty() {
        return Ok(());
    }
    INSERT
        .write(&mut *conn, gone, |query, tag| query.bind(tag.to_vec()).bind(now))
        .await?;
    forget_old(conn, now).await?;
    sqlx::query(
        "DELETE FROM removed_copy WHERE tag IN (SELECT tag FROM removed_copy ORDER BY at \
         LIMIT max(0, (SELECT count(*) FROM removed_copy) - ?1))",
    )
    .bind(count(MAX_KEPT))
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets what is kept for longer than it is to be.
pub(super) async fn forget_old(conn: &mut SqliteConnection, now: i64) -> Result<(), InboxError> {
    sqlx::query("DELETE FROM removed_copy WHERE at <= ?1")
        .bind(now - KEPT_FOR_MS)
        .execute(conn)
        .await?;
    Ok(())
}

impl Inbox {
    /// Whether each, by its name and the digest of its content, is what was removed lately; one answer a question,
    /// in order.
    pub async fn were_removed(&self, asked: &[(&RecordId, [u8; 32])]) -> Result<Vec<bool>, InboxError> {
        let row = sqlx::query("SELECT tag_key, EXISTS (SELECT 1 FROM removed_copy) AS any FROM meta")
            .fetch_one(self.readers())
            .await?;
        if asked.is_empty() || !row.try_get::<bool, _>("any")? {
            return Ok(vec![false; asked.len()]);
        }
        let key: Vec<u8> = row.try_get("tag_key")?;
        let key = TagKey::from_slice(&key)?;
        let tags: Vec<Tag> = asked
            .iter()
            .map(|(name, digest)| key.copy(name, digest))
            .collect();
        let list: Vec<String> = tags.iter().map(|tag| tag.hex()).collect();
        let found = sqlx::query(
            "SELECT r.tag FROM json_each(?1) AS k CROSS JOIN removed_copy AS r ON r.tag = unhex(k.value) \
             WHERE r.at > ?2",
        )
        .bind(serde_json::json!(list).to_string())
        .bind(self.now() - KEPT_FOR_MS)
        .fetch_all(self.readers())
        .await?;
        let found: Result<HashSet<Tag>, InboxError> = found
            .iter()
            .filter_map(|row| Tag::read(row, "tag").transpose())
            .collect();
        let found = found?;
        Ok(tags.iter().map(|tag| found.contains(tag)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use handfast_proto::{amendment::Op, ids::RecordId};

    use super::*;
    use crate::{
        clock::ManualClock,
        store::inbox::{Inbox, InboxLimits, OutputSpec, testing::*},
    };

    const PAYLOAD: &str = r#"{"resourceType":"Observation","id":"1"}"#;

    async fn removed(folder: &std::path::Path, clock: &ManualClock, kind: &str) -> Inbox {
        let path = folder.join("inbox.db");
        let inbox = Inbox::open(&path, Arc::new(clock.clone()), InboxLimits::default());
        let inbox = inbox.await.unwrap();
        let (name, kind) = ("out".to_owned(), kind.to_owned());
        inbox.set_outputs(&[OutputSpec { name, kind }]).await.unwrap();
        let contents = vec![
            welcome(true, &[("Z00101", 1)]),
            live("Z00101", 1, &[(1, Op::Create, "Observation/1", PAYLOAD)]),
            fenced("Z00101", 1),
            withdraw("Z00101", 5, 1),
        ];
        inbox.apply(&group(1, 1, contents)).await.unwrap();
        inbox
    }

    async fn known(inbox: &Inbox, name: &str, payload: &str) -> bool {
        let name: RecordId = name.parse().unwrap();
        let digest = content_digest(payload.as_bytes()).unwrap();
        inbox.were_removed(&[(&name, digest)]).await.unwrap()[0]
    }

    #[tokio::test]
    async fn what_was_removed_is_known_by_name_and_content_for_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOON);
        let inbox = removed(folder.path(), &clock, "directory").await;
        assert!(known(&inbox, "Observation/1", PAYLOAD).await);
        assert!(!known(&inbox, "Observation/2", PAYLOAD).await);
        assert!(!known(&inbox, "Observation/1", r#"{"resourceType":"Observation"}"#).await);
        clock.advance(KEPT_FOR_MS - 1);
        assert!(known(&inbox, "Observation/1", PAYLOAD).await);
        clock.advance(1);
        assert!(!known(&inbox, "Observation/1", PAYLOAD).await);
        inbox.close().await;
        drop(inbox);
        let path = folder.path().join("inbox.db");
        let inbox = Inbox::open(&path, Arc::new(clock), InboxLimits::default());
        let inbox = inbox.await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM removed_copy")
            .fetch_one(inbox.readers())
            .await
            .unwrap();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn where_what_is_written_is_marked_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOON);
        let inbox = removed(folder.path(), &clock, "fhir http://ehr.example/fhir").await;
        assert!(!known(&inbox, "Observation/1", PAYLOAD).await);
        assert!(!inbox.writer().await.unwrap().state.unmarked);
        inbox.writer().await.unwrap().clean = false;
        assert!(!inbox.writer().await.unwrap().state.unmarked, "read again");
    }

    #[tokio::test]
    async fn beyond_the_bound_the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = removed(folder.path(), &ManualClock::at(NOON), "directory").await;
        let mut writer = inbox.writer().await.unwrap();
        let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                    INSERT INTO removed_copy (tag, at) SELECT unhex(printf('%032x', i)), ?2 FROM n";
        sqlx::query(fill)
            .bind(count(MAX_KEPT - 1))
            .bind(NOON + 1)
            .execute(&mut writer.conn)
            .await
            .unwrap();
        let more = writer
            .state
            .tags
            .copy(&"Observation/9".parse().unwrap(), &[0; 32]);
        keep(&mut writer.conn, &[more], NOON + 2).await.unwrap();
        drop(writer);
        assert!(
            !known(&inbox, "Observation/1", PAYLOAD).await,
            "it was the oldest"
        );
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM removed_copy")
            .fetch_one(inbox.readers())
            .await
            .unwrap();
        assert_eq!(kept, count(MAX_KEPT));
    }
}
