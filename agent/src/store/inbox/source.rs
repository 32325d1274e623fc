//! What the writer keeps in memory of each source: its grants, and how far each got.

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use handfast_proto::{amendment::Category, ids::OdsCode};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    columns::{Bulk, count, unsigned},
    error::InboxError,
    tag::Tag,
};

/// Ended grants remembered per source; beyond that the oldest are forgotten.
const MAX_ENDED_GRANTS: usize = 10_000;

const DAMAGED_CATEGORIES: InboxError = InboxError::Damaged("a grant's categories");

pub(super) struct Source {
    pub(super) id: i64,
    pub(super) held: u64,
    pub(super) last_applied_at: Option<i64>,
    /// When the daemon was last heard of it, as far as that was written down.
    pub(super) as_of: Option<i64>,
    /// When something of it was last withdrawn of which it is not known what; `None`: all of it came since.
    pub(super) withdrawn_at: Option<i64>,
    /// When something was last withdrawn that is known and not back.
    pub(super) absent_at: Option<i64>,
    /// Rows of `absent`.
    pub(super) absent: u64,
    pub(super) grants: BTreeMap<u64, Granted>,
    pub(super) ended: HashSet<u64>,
    /// Whether there may be tombstones.
    pub(super) tombstones: bool,
    /// Counts or grants differ from what stands in the file.
    pub(super) dirty: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// Everything live up to this seq is applied. None until the catch-up is complete, or something live came.
    pub(super) position: Option<u64>,
    pub(super) catch_up: Option<u64>,
    /// What is held may be ahead of the daemon: the catch-up decides, not the seq.
    pub(super) anew: bool,
    /// The patient was caught up, where the grant is an emergency's.
    pub(super) caught_up: bool,
    /// The tag of the patient, where the grant is an emergency's.
    pub(super) patient: Option<Tag>,
    /// What it carries at most; empty: every category.
    pub(super) categories: Vec<Category>,
    /// The source is suspended.
    pub(super) stale: bool,
    /// It does not carry every patient's records.
    pub(super) not_everyone: bool,
}

impl Source {
    pub(super) fn new(id: i64) -> Self {
        Self {
            id,
            held: 0,
            last_applied_at: None,
            as_of: None,
            withdrawn_at: None,
            absent_at: None,
            absent: 0,
            grants: BTreeMap::new(),
            ended: HashSet::new(),
            tombstones: false,
            dirty: false,
        }
    }

    /// The numbers of the grants in force.
    pub(super) fn live(&self) -> Vec<u64> {
        self.grants.keys().copied().collect()
    }

    /// Whether every grant was caught up.
    pub(super) fn is_caught_up(&self) -> bool {
        self.grants.values().all(Granted::is_caught_up)
    }

    /// Whether what the daemon says now is what is held: then as long as the stream stands, nothing is missing.
    pub(super) fn is_current(&self) -> bool {
        !self.grants.is_empty() && self.is_caught_up() && self.grants.values().all(|g| !g.stale)
    }

    /// A grant is in force no more, as far as is known; its jobs go with it.
    pub(super) async fn let_go(&mut self, conn: &mut SqliteConnection, grant: u64) -> Result<(), InboxError> {
        self.grants.remove(&grant);
        self.dirty = true;
        for sql in [
            "DELETE FROM granted WHERE source_id = ?1 AND grant_no = ?2",
            "DELETE FROM job WHERE source_id = ?1 AND grant_no = ?2",
        ] {
            sqlx::query(sql)
                .bind(self.id)
                .bind(count(grant))
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }

    /// Enters a grant as ended, here and in the file.
    pub(super) async fn end(&mut self, conn: &mut SqliteConnection, grant: u64) -> Result<(), InboxError> {
        self.let_go(&mut *conn, grant).await?;
        self.ended.insert(grant);
        sqlx::query("INSERT OR IGNORE INTO ended_grant (source_id, grant_no) VALUES (?1, ?2)")
            .bind(self.id)
            .bind(count(grant))
            .execute(&mut *conn)
            .await?;
        if self.ended.len() > MAX_ENDED_GRANTS
            && let Some(oldest) = self.ended.iter().min().copied()
        {
            self.ended.remove(&oldest);
            sqlx::query("DELETE FROM ended_grant WHERE source_id = ?1 AND grant_no = ?2")
                .bind(self.id)
                .bind(count(oldest))
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

impl Granted {
    pub(super) fn is_caught_up(&self) -> bool {
        self.catch_up.is_none() && (self.position.is_some() || self.caught_up)
    }

    /// Whether it carries everything of everyone who has not dissented.
    pub(super) fn is_whole(&self) -> bool {
        self.patient.is_none() && self.categories.is_empty() && !self.not_everyone
    }

    fn read(row: &SqliteRow) -> Result<Self, InboxError> {
        let number = |name| -> Result<Option<u64>, InboxError> {
            let raw: Option<i64> = row.try_get(name)?;
            Ok(raw.and_then(|n| u64::try_from(n).ok()))
        };
        let categories: String = row.try_get("categories")?;
        let categories: Vec<i32> = serde_json::from_str(&categories).map_err(|_| DAMAGED_CATEGORIES)?;
        let categories: Result<Vec<_>, _> = categories.into_iter().map(Category::try_from).collect();
        Ok(Self {
            position: number("position")?,
            catch_up: number("catch_up_job")?,
            anew: row.try_get("anew")?,
            caught_up: row.try_get("caught_up")?,
            patient: Tag::read(row, "patient")?,
            // None of them is left out: an empty list means every category.
            categories: categories.map_err(|_| DAMAGED_CATEGORIES)?,
            stale: row.try_get("stale")?,
            not_everyone: row.try_get("not_everyone")?,
        })
    }
}

/// Reads every source, by its code.
pub(super) async fn load(
    conn: &mut SqliteConnection,
) -> Result<impl Iterator<Item = (OdsCode, Source)> + use<>, InboxError> {
    let mut by_id = BTreeMap::new();
    let sources = "SELECT s.id, s.ods, s.held, s.last_applied_at, s.as_of, s.withdrawn_at, s.absent_at, \
                   (SELECT count(*) FROM absent AS a WHERE a.source_id = s.id) AS absent, \
                   EXISTS (SELECT 1 FROM tombstone AS t WHERE t.source_id = s.id) AS tombstones FROM source AS s";
    for row in sqlx::query(sources).fetch_all(&mut *conn).await? {
        let mut source = Source::new(row.try_get("id")?);
        source.held = unsigned(&row, "held")?;
        source.last_applied_at = row.try_get("last_applied_at")?;
        source.as_of = row.try_get("as_of")?;
        source.withdrawn_at = row.try_get("withdrawn_at")?;
        source.absent_at = row.try_get("absent_at")?;
        source.absent = unsigned(&row, "absent")?;
        source.tombstones = row.try_get("tombstones")?;
        by_id.insert(source.id, (ods(&row)?, source));
    }
    let orphan = InboxError::Damaged("a grant of no source");
    for row in sqlx::query("SELECT * FROM granted").fetch_all(&mut *conn).await? {
        let Some((_, source)) = by_id.get_mut(&row.try_get::<i64, _>("source_id")?) else {
            return Err(orphan);
        };
        source
            .grants
            .insert(unsigned(&row, "grant_no")?, Granted::read(&row)?);
    }
    for row in sqlx::query("SELECT source_id, grant_no FROM ended_grant")
        .fetch_all(&mut *conn)
        .await?
    {
        let Some((_, source)) = by_id.get_mut(&row.try_get::<i64, _>("source_id")?) else {
            return Err(orphan);
        };
        source.ended.insert(unsigned(&row, "grant_no")?);
    }
    Ok(by_id.into_values())
}

/// Writes what changed of the sources.
pub(super) async fn flush<'a>(
    conn: &mut SqliteConnection,
    sources: impl Iterator<Item = &'a mut Source>,
) -> Result<(), InboxError> {
    static GRANTED: LazyLock<Bulk> = LazyLock::new(|| {
        Bulk::new(
            "INSERT INTO granted (source_id, grant_no, position, catch_up_job, anew, caught_up, patient, \
             categories, stale, not_everyone)",
            10,
            "ON CONFLICT (source_id, grant_no) DO UPDATE SET position = excluded.position, \
             catch_up_job = excluded.catch_up_job, anew = excluded.anew, caught_up = excluded.caught_up, \
             patient = excluded.patient, categories = excluded.categories, stale = excluded.stale, \
             not_everyone = excluded.not_everyone",
        )
    });
    let mut granted: Vec<(i64, u64, Granted)> = Vec::new();
    for source in sources.filter(|s| s.dirty) {
        source.dirty = false;
        granted.extend(
            source
                .grants
                .iter()
                .map(|(number, g)| (source.id, *number, g.clone())),
        );
        sqlx::query(
            "UPDATE source SET held = ?2, last_applied_at = ?3, as_of = ?4, withdrawn_at = ?5, absent_at = ?6 \
             WHERE id = ?1",
        )
        .bind(source.id)
        .bind(count(source.held))
        .bind(source.last_applied_at)
        .bind(source.as_of)
        .bind(source.withdrawn_at)
        .bind(source.absent_at)
        .execute(&mut *conn)
        .await?;
    }
    GRANTED
        .write(conn, &granted, |query, (source, number, g)| {
            let categories: Vec<i32> = g.categories.iter().map(|c| *c as i32).collect();
            query
                .bind(*source)
                .bind(count(*number))
                .bind(g.position.map(count))
                .bind(g.catch_up.map(count))
                .bind(g.anew)
                .bind(g.caught_up)
                .bind(g.patient.map(Tag::to_vec))
                .bind(format!("{categories:?}"))
                .bind(g.stale)
                .bind(g.not_everyone)
        })
        .await
}

pub(super) fn ods(row: &SqliteRow) -> Result<OdsCode, InboxError> {
    let text: String = row.try_get("ods")?;
    text.parse()
        .map_err(|_| InboxError::Damaged("a source's ODS code"))
}
