//! How the inbox stands, for `handfast-agent status`. Counts and times only.

use std::collections::HashMap;

use handfast_proto::ids::OdsCode;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{
    columns::unsigned,
    error::InboxError,
    heads::HeadStanding,
    notice::Notice,
    open::Inbox,
    source::ods,
    standing::{About, category_name},
};

/// How the inbox stands with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSummary {
    /// The source.
    pub source: String,
    /// Records held.
    pub held: u64,
    /// Everything live up to this seq is applied; `None` while nothing is granted or caught up.
    pub position: Option<u64>,
    /// When something of it was last applied, milliseconds since 1970-01-01T00:00:00Z.
    pub last_applied_at: Option<i64>,
    /// A grant is in force, as far as is known here.
    pub granted: bool,
    /// A catch-up is still to come or under way: what is held may be incomplete.
    pub catching_up: bool,
    /// Something is held though no grant is known: what is held may be out of date.
    pub stale: bool,
    /// Dead letters that are open.
    pub dead_letters: u64,
    /// Withdrawals that are not confirmed yet.
    pub withdrawals_pending: u64,
    /// Until when the daemon was heard of this source, milliseconds since 1970-01-01T00:00:00Z.
    #[serde(default)]
    pub as_of: Option<i64>,
    /// The categories in scope; `None`: every category.
    #[serde(default)]
    pub categories: Option<Vec<String>>,
    /// What clinicians are told.
    #[serde(default)]
    pub notices: Vec<Notice>,
}

/// How the inbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InboxSummary {
    /// Each source that something was ever held of.
    pub sources: Vec<SourceSummary>,
    /// Withdrawals that are not confirmed yet.
    pub withdrawals_pending: u64,
    /// Dead letters that are open, of all outputs.
    pub dead_letters: u64,
    /// Changes that some output has not carried out yet.
    pub changes_pending: u64,
    /// The same, by output.
    pub outputs: Vec<OutputBacklog>,
    /// The daemon's audit log, as seen from here.
    #[serde(default)]
    pub audit_log: HeadStanding,
}

/// How far behind an output is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBacklog {
    /// Its name.
    pub name: String,
    /// Changes not carried out yet.
    pub changes_pending: u64,
    /// It still compares all that is held with all that it wrote.
    pub resync: bool,
}

impl Inbox {
    /// How the inbox stands.
    pub async fn summary(&self) -> Result<InboxSummary, InboxError> {
        let rows = sqlx::query(
            "SELECT s.ods AS ods, s.held, s.last_applied_at, g.position, coalesce(g.grants, 0) AS grants, \
             coalesce(g.open, 0) AS open, \
             (SELECT count(*) FROM dead_letter AS d WHERE d.source_id = s.id \
              AND d.state IN ('waiting', 'refused')) AS letters, \
             (SELECT count(*) FROM withdrawal AS w WHERE w.source_id = s.id AND w.confirmed_at IS NULL) AS pending \
             FROM source AS s LEFT JOIN (SELECT source_id, max(position) AS position, count(*) AS grants, \
             max(position IS NULL AND caught_up = 0 OR catch_up_job IS NOT NULL) AS open FROM granted GROUP BY source_id) AS g \
             ON g.source_id = s.id ORDER BY s.ods",
        )
        .fetch_all(self.readers())
        .await?;
        let mut summary = InboxSummary {
            audit_log: self.head_standing().await?,
            ..InboxSummary::default()
        };
        let abouts = self.abouts(None).await?.into_iter().map(|a| (a.source, a));
        let mut abouts: HashMap<OdsCode, About> = abouts.collect();
        for row in &rows {
            let ods = ods(row)?;
            let (as_of, categories, notices) = abouts.remove(&ods).map(told).unwrap_or_default();
            let position: Option<i64> = row.try_get("position")?;
            let source = SourceSummary {
                source: ods.to_string(),
                held: unsigned(row, "held")?,
                position: position.map(i64::unsigned_abs),
                last_applied_at: row.try_get("last_applied_at")?,
                granted: unsigned(row, "grants")? > 0,
                catching_up: unsigned(row, "open")? > 0,
                stale: unsigned(row, "grants")? == 0 && unsigned(row, "held")? > 0,
                dead_letters: unsigned(row, "letters")?,
                withdrawals_pending: unsigned(row, "pending")?,
                as_of,
                categories,
                notices,
            };
            summary.dead_letters += source.dead_letters;
            summary.withdrawals_pending += source.withdrawals_pending;
            summary.sources.push(source);
        }
        let outputs = sqlx::query(
            "SELECT name, resync, max(m.last_change - position, 0) AS pending FROM output CROSS JOIN meta AS m \
             ORDER BY name",
        )
        .fetch_all(self.readers())
        .await?;
        for row in &outputs {
            summary.outputs.push(OutputBacklog {
                name: row.try_get("name")?,
                changes_pending: unsigned(row, "pending")?,
                resync: row.try_get("resync")?,
            });
        }
        summary.changes_pending = summary
            .outputs
            .iter()
            .map(|o| o.changes_pending)
            .max()
            .unwrap_or(0);
        Ok(summary)
    }
}

fn told(about: About) -> (Option<i64>, Option<Vec<String>>, Vec<Notice>) {
    let names = |all: Vec<_>| all.into_iter().map(category_name).collect();
    (about.as_of, about.categories.map(names), about.notices)
}
