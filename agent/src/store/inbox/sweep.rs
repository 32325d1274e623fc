//! Removes records of a source with their payloads, in the transaction of whoever asks, and queues a change for
//! each. What others refer to goes last (patients, then by age), so that a server which keeps references
//! intact lets go of it. What no output has carried out yet of the records is dropped from the queue: an
//! output that lags behind must not go on to write what is withdrawn.

use futures::TryStreamExt as _;
use handfast_proto::ids::{NhsNumber, OdsCode};
use sqlx::SqliteConnection;

use super::{
    absent::{self, MAX_ABSENT},
    columns::{Bound, count},
    error::InboxError,
    feed::record,
    model::ChangeOp,
    removed::{self, MAX_KEPT},
    source::Source,
    state::State,
    tag::{Tag, TagKey},
};

/// Which records of a source go.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// Those held under none of these grants; of one patient or of everyone.
    NotUnder {
        grants: Vec<u64>,
        patient: Option<NhsNumber>,
    },
    /// Those of none of these patients.
    NotOf(Vec<NhsNumber>),
    /// Those that a job did not name, but for what another grant in force holds.
    Unconfirmed(Unconfirmed),
}

/// A job that is complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unconfirmed {
    /// Over whose records; `None`: everyone's.
    pub(super) patient: Option<NhsNumber>,
    pub(super) grant: u64,
    /// Stamped.
    pub(super) job: u64,
    /// What the live feed of the grant brought beyond this seq stays.
    pub(super) upto: u64,
}

/// A condition on `record`, by `?1` the source, `?2` a list in JSON, `?3` the patient, `?4` the grant, `?5` the
/// job, `?6` the seq, `?7` the stamp from which on the grant's live feed counts.
struct Condition {
    sql: &'static str,
    list: String,
    patient: Option<NhsNumber>,
    unconfirmed: Option<(Unconfirmed, u64)>,
}

macro_rules! unconfirmed {
    ($mark:literal) => {
        concat!(
            $mark,
            " <> ?5 AND NOT (grant_no = ?4 AND seq > ?6 AND confirmed_job >= ?7) \
             AND NOT EXISTS (SELECT 1 FROM json_each(?2) AS o WHERE record.grant_no = o.value ->> 0 \
             AND record.confirmed_job >= o.value ->> 1)"
        )
    };
}

impl Which {
    fn condition(self, source: &Source, fresh_from: u64) -> Condition {
        let plain = |sql, list, patient| Condition {
            sql,
            list,
            patient,
            unconfirmed: None,
        };
        match self {
            Self::NotUnder {
                grants,
                patient: None,
            } => {
                let sql = "grant_no NOT IN (SELECT value FROM json_each(?2))";
                plain(sql, format!("{grants:?}"), None)
            }
            Self::NotUnder { grants, patient } => {
                let sql = "patient = ?3 AND grant_no NOT IN (SELECT value FROM json_each(?2))";
                plain(sql, format!("{grants:?}"), patient)
            }
            Self::NotOf(patients) => {
                let numbers: Vec<u64> = patients.iter().map(|p| p.as_u64()).collect();
                let sql = "patient NOT IN (SELECT value FROM json_each(?2))";
                plain(sql, format!("{numbers:?}"), None)
            }
            Self::Unconfirmed(job) => {
                // Where the daemon began anew, an older mark may be of another numbering.
                let floor = |anew| if anew { fresh_from } else { 0 };
                let others = source.grants.iter().filter(|(number, _)| **number != job.grant);
                let others: Vec<[u64; 2]> = others.map(|(number, g)| [*number, floor(g.anew)]).collect();
                let own = source.grants.get(&job.grant).is_some_and(|g| g.anew);
                Condition {
                    sql: match job.patient {
                        None => unconfirmed!("confirmed_job"),
                        Some(_) => concat!("patient = ?3 AND ", unconfirmed!("patient_job")),
                    },
                    list: format!("{others:?}"),
                    patient: job.patient,
                    unconfirmed: Some((job, floor(own))),
                }
            }
        }
    }
}

impl Condition {
    /// A statement of which the condition is a part.
    fn query(&self, source: i64, statement: impl FnOnce(&str) -> String, more: &[i64]) -> Bound {
        let sql = statement(&format!("source_id = ?1 AND removed = 0 AND {}", self.sql));
        let number = |of: fn(&(Unconfirmed, u64)) -> u64| self.unconfirmed.as_ref().map(|u| count(of(u)));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(source)
            .bind(self.list.clone())
            .bind(self.patient.map(|p| count(p.as_u64())))
            .bind(number(|(u, _)| u.grant))
            .bind(number(|(u, _)| u.job))
            .bind(number(|(u, _)| u.upto))
            .bind(number(|(_, floor)| *floor));
        for value in more {
            query = query.bind(*value);
        }
        query
    }

    /// Runs it.
    async fn run(
        &self,
        conn: &mut SqliteConnection,
        source: i64,
        statement: impl FnOnce(&str) -> String,
        more: &[i64],
    ) -> Result<u64, InboxError> {
        let query = self.query(source, statement, more);
        Ok(query.execute(conn).await?.rows_affected())
    }

    /// The tag of one record of each patient, the Patient where that is among them; a bounded number.
    async fn one_of_each(
        &self,
        conn: &mut SqliteConnection,
        source: i64,
        tags: &TagKey,
    ) -> Result<Vec<Tag>, InboxError> {
        // SQLite takes the other columns of a row from where the maximum stands (lang_select, "bare columns").
        let statement = |condition: &str| {
            format!(
                "SELECT record, max(record GLOB 'Patient/*') FROM record WHERE {condition} \
                 GROUP BY patient LIMIT ?8"
            )
        };
        // One more than is kept, so that it is known where there are more.
        let rows = self
            .query(source, statement, &[count(MAX_ABSENT + 1)])
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Ok(tags.record(&record(row)?))).collect()
    }

    /// The digests by which copies of what is removed are known; a bounded number, and one payload at a time.
    async fn copies(
        &self,
        conn: &mut SqliteConnection,
        source: i64,
        tags: &TagKey,
    ) -> Result<Vec<Tag>, InboxError> {
        let statement =
            |condition: &str| format!("SELECT record, payload FROM record WHERE {condition} LIMIT ?8");
        let query = self.query(source, statement, &[count(MAX_KEPT)]);
        let mut rows = query.fetch(conn);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await? {
            found.extend(removed::tag_of(tags, &row)?);
        }
        Ok(found)
    }
}

/// Removes records. `job` is the withdrawal to be confirmed by which they go; 0 = none.
pub(super) async fn remove(
    conn: &mut SqliteConnection,
    state: &mut State,
    ods: OdsCode,
    which: Which,
    job: u64,
    now: i64,
) -> Result<u64, InboxError> {
    let (has_outputs, base, fresh_from) = (state.has_outputs, state.last_change, state.fresh_from());
    let (tags, unmarked) = (state.tags.clone(), state.unmarked);
    let source = state.source(conn, ods).await?;
    let condition = which.condition(source, fresh_from);
    let id = source.id;
    if has_outputs {
        let queue = |condition: &str| {
            format!(
                "INSERT INTO change (number, source_id, seq, op, record, version, applied_at, job) \
                 SELECT ?8 + row_number() OVER (ORDER BY record GLOB 'Patient/*', seq DESC), source_id, seq, ?9, \
                 record, version, ?10, ?11 FROM record WHERE {condition}"
            )
        };
        let more = [count(base), ChangeOp::Withdraw.code(), now, count(job)];
        if condition.run(conn, id, queue, &more).await? == 0 {
            return Ok(0);
        }
        overtake(conn, id, base).await?;
        close_letters(conn, id, base, now).await?;
    }
    let absent = condition.one_of_each(conn, id, &tags).await?;
    absent::remember(conn, source, &absent, now).await?;
    if unmarked {
        let gone = condition.copies(conn, id, &tags).await?;
        removed::keep(conn, &gone, now).await?;
    }
    let delete = |condition: &str| format!("DELETE FROM record WHERE {condition}");
    let removed = condition.run(conn, id, delete, &[]).await?;
    if removed > 0 {
        source.held = source.held.saturating_sub(removed);
        source.last_applied_at = Some(now);
        source.dirty = true;
        state.last_change += removed;
        state.residue = state.last_change;
    }
    Ok(removed)
}

/// Drops what was queued and is not carried out of the records whose removal was queued after `base`.
async fn overtake(conn: &mut SqliteConnection, source_id: i64, base: u64) -> Result<(), InboxError> {
    sqlx::query(
        "DELETE FROM change WHERE number > (SELECT min(position) FROM output) AND number <= ?2 \
         AND source_id = ?1 AND op IN (?3, ?4) AND record IN (SELECT record FROM change WHERE number > ?2)",
    )
    .bind(source_id)
    .bind(count(base))
    .bind(ChangeOp::Create.code())
    .bind(ChangeOp::Amend.code())
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes letters about writing those records. One about a deletion stays: it says that something could not be
/// removed.
async fn close_letters(
    conn: &mut SqliteConnection,
    source_id: i64,
    base: u64,
    now: i64,
) -> Result<(), InboxError> {
    sqlx::query(
        "UPDATE dead_letter SET state = 'resolved', closed_at = ?3 \
         WHERE source_id = ?1 AND state IN ('waiting', 'refused') AND op = 'write' \
         AND record IN (SELECT record FROM change WHERE number > ?2)",
    )
    .bind(source_id)
    .bind(count(base))
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
