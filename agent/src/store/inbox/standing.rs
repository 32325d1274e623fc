//! How this unit stands with each source, for its clinicians: how old what they see is, what is in scope, and
//! notices.

use std::collections::HashSet;

use handfast_proto::{amendment::Category, ids::OdsCode};
use sqlx::{Connection as _, Row as _};

use super::{
    columns::count,
    error::InboxError,
    notice::{BEHIND_AFTER_MS, Facts, Notice, notices},
    open::Inbox,
    source::{self, Source},
};

/// A heard time is written down when it has moved by this much: a minute, in milliseconds. After a crash a source
/// may seem older than it is by so much, never newer.
const HEARD_STEP_MS: i64 = 60 * 1000;

/// How this unit stands with a source, as an output tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The source.
    pub source: OdsCode,
    /// Until when the daemon was heard of this source, so that what it sent by then is shown; milliseconds since
    /// 1970-01-01T00:00:00Z.
    pub as_of: Option<i64>,
    /// A grant is in force.
    pub shared: bool,
    /// The categories in scope; `None`: every category. Empty where nothing is granted.
    pub categories: Option<Vec<Category>>,
    /// At most one of each kind.
    pub notices: Vec<Notice>,
}

/// How an output stands.
#[derive(Default)]
struct OutputFacts {
    /// When the oldest change that it has not carried out was applied.
    oldest: Option<i64>,
    resync: bool,
}

impl About {
    /// Whether both say the same, but for how old it is.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let strip = |about: &Self| Self {
            as_of: None,
            ..about.clone()
        };
        strip(self) == strip(other)
    }
}

impl Source {
    /// Until when the daemon was heard of it: while nothing is missing, as long as its stream stands.
    fn known_as_of(&self, heard: Option<i64>) -> Option<i64> {
        let heard = heard.filter(|_| self.is_current());
        self.as_of
            .max(self.last_applied_at.filter(|_| self.is_current()))
            .max(heard)
    }

    /// Keeps that for good, to be written down. To be called before something is missing.
    pub(super) fn keep_as_of(&mut self, heard: Option<i64>) {
        let known = self.known_as_of(heard);
        if known != self.as_of {
            self.as_of = known;
            self.dirty = true;
        }
    }

    fn is_narrowed(&self) -> bool {
        let mut agreements = self.grants.values().filter(|g| g.patient.is_none());
        agreements.any(|g| !g.categories.is_empty())
    }

    fn scope(&self) -> Option<Vec<Category>> {
        if self.grants.values().any(|g| g.categories.is_empty()) {
            return None;
        }
        let mut all: Vec<Category> = self
            .grants
            .values()
            .flat_map(|g| g.categories.iter().copied())
            .collect();
        // `Unspecified` alone: none at all.
        all.retain(|c| *c != Category::Unspecified);
        all.sort_by_key(|c| *c as i32);
        all.dedup();
        Some(all)
    }

    fn facts(&self, as_of: Option<i64>) -> Facts {
        Facts {
            granted: !self.grants.is_empty(),
            suspended: self.grants.values().any(|g| g.stale),
            caught_up: self.is_caught_up(),
            narrowed: self.is_narrowed(),
            emergency_only: !self.grants.is_empty() && self.grants.values().all(|g| g.patient.is_some()),
            held: self.held > 0,
            as_of,
            not_everyone: self.grants.values().any(|g| g.not_everyone),
            withdrawn_at: self.withdrawn_at,
            absent_at: self.absent_at.filter(|_| self.absent > 0),
            ..Facts::default()
        }
    }
}

impl Inbox {
    /// The daemon's stream is known to have stood at `at`, milliseconds since 1970-01-01T00:00:00Z. Written down
    /// about once a minute.
    pub async fn heard(&self, at: i64) -> Result<(), InboxError> {
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        let heard = writer.state.heard.max(Some(at));
        writer.state.heard = heard;
        let due = |s: &Source| {
            s.is_current()
                && s.as_of
                    .is_none_or(|known| at.saturating_sub(known) >= HEARD_STEP_MS)
        };
        if !writer.state.sources.values().any(due) {
            return Ok(());
        }
        writer.clean = false;
        for source in writer.state.sources.values_mut() {
            source.keep_as_of(heard);
        }
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        source::flush(&mut tx, writer.state.sources.values_mut()).await?;
        tx.commit().await?;
        writer.clean = true;
        Ok(())
    }

    /// How this unit stands with each source, in order: as an output of this name tells it, or at all.
    pub async fn abouts(&self, output: Option<&str>) -> Result<Vec<About>, InboxError> {
        let now = self.now();
        let mut guard = self.writer().await?;
        let letters = self
            .sources_with(output, "dead_letter", "AND state IN ('waiting', 'refused')")
            .await?;
        let jobs = self.sources_with(None, "job", "").await?;
        let facts = self.output_facts(output).await?;
        let state = &mut guard.state;
        let mut abouts: Vec<About> = state
            .sources
            .iter()
            .map(|(ods, source)| {
                let known = source.known_as_of(state.heard);
                let mut all = source.facts(known);
                all.letters = letters.contains(&source.id);
                all.jobs = jobs.contains(&source.id);
                all.behind = facts.resync
                    || facts
                        .oldest
                        .is_some_and(|at| now.saturating_sub(at) > BEHIND_AFTER_MS);
                About {
                    source: *ods,
                    as_of: known.map(|at| facts.oldest.map_or(at, |oldest| at.min(oldest))),
                    shared: all.granted,
                    categories: source.scope(),
                    notices: notices(&all, now),
                }
            })
            .collect();
        drop(guard);
        abouts.sort_by_key(|a| a.source);
        Ok(abouts)
    }

    /// Enters sources that an output found what was written of before this inbox was made; with `withdrawn` also
    /// that it took something of them away.
    pub async fn note_sources(&self, sources: &[OdsCode], withdrawn: bool) -> Result<(), InboxError> {
        let now = self.now();
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        for ods in sources {
            let source = writer.state.source(&mut tx, *ods).await?;
            if withdrawn {
                source.withdrawn_at = Some(now);
                source.dirty = true;
            }
        }
        source::flush(&mut tx, writer.state.sources.values_mut()).await?;
        tx.commit().await?;
        writer.clean = true;
        drop(guard);
        self.standing_changed();
        Ok(())
    }

    /// The sources that a table has rows of.
    async fn sources_with(
        &self,
        output: Option<&str>,
        table: &'static str,
        condition: &'static str,
    ) -> Result<HashSet<i64>, InboxError> {
        let of_output = if output.is_some() { "AND output = ?1" } else { "" };
        let sql = format!("SELECT DISTINCT source_id FROM {table} WHERE 1 {condition} {of_output}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(output.map(ToOwned::to_owned))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn output_facts(&self, output: Option<&str>) -> Result<OutputFacts, InboxError> {
        let Some(name) = output else {
            return Ok(OutputFacts::default());
        };
        let row = self.output(name).await?;
        let oldest = sqlx::query("SELECT applied_at FROM change WHERE number > ?1 ORDER BY number LIMIT 1")
            .bind(count(row.position))
            .fetch_optional(self.readers())
            .await?;
        Ok(OutputFacts {
            oldest: oldest.map(|row| row.try_get(0)).transpose()?,
            resync: row.resync,
        })
    }
}

/// A category as people and programs read it: `care-plans`.
pub fn category_name(category: Category) -> String {
    let name = category.as_str_name();
    name.strip_prefix("CATEGORY_")
        .unwrap_or(name)
        .to_lowercase()
        .replace('_', "-")
}
