//! Jobs over one patient or over changes, between their edges: what they removed so far, and which of a patient's
//! jobs counts. The patient is known here by a tag only.

use handfast_proto::ids::NhsNumber;
use sqlx::SqliteConnection;

use super::{
    columns::{count, unsigned},
    error::InboxError,
    tag::{Tag, TagKey},
};

/// What a job goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// One patient's records.
    Patient(Tag),
    /// Whatever is sent in it.
    Changes,
}

/// A job under a grant of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) source: i64,
    pub(super) grant: u64,
    /// Stamped.
    pub(super) job: u64,
}

impl Over {
    pub(super) fn of(tags: &TagKey, patient: Option<NhsNumber>) -> Self {
        patient.map_or(Self::Changes, |p| Self::Patient(tags.patient(p)))
    }

    fn scope(self) -> i64 {
        match self {
            Self::Patient(_) => 1,
            Self::Changes => 2,
        }
    }

    fn patient(self) -> Vec<u8> {
        match self {
            Self::Patient(tag) => tag.to_vec(),
            Self::Changes => Vec::new(),
        }
    }
}

/// A job begins, in the place of an earlier one of the same scope. One that is repeated keeps its count.
pub(super) async fn begin(conn: &mut SqliteConnection, place: Place, over: Over) -> Result<(), InboxError> {
    sqlx::query(
        "INSERT INTO job (source_id, grant_no, scope, patient, job, removed) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
         ON CONFLICT (source_id, grant_no, scope, patient) DO UPDATE SET \
         removed = CASE job.job WHEN excluded.job THEN job.removed ELSE 0 END, job = excluded.job",
    )
    .bind(place.source)
    .bind(count(place.grant))
    .bind(over.scope())
    .bind(over.patient())
    .bind(count(place.job))
    .execute(conn)
    .await?;
    Ok(())
}

/// What a delivery's job goes over. `None`: it is none of these, or has not begun.
pub(super) async fn over(conn: &mut SqliteConnection, place: Place) -> Result<Option<Over>, InboxError> {
    let row = sqlx::query(
        "SELECT nullif(patient, x'') AS patient FROM job WHERE source_id = ?1 AND grant_no = ?2 AND job = ?3",
    )
    .bind(place.source)
    .bind(count(place.grant))
    .bind(count(place.job))
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok(Tag::read(&row, "patient")?.map_or(Over::Changes, Over::Patient)))
        .transpose()
}

/// A delivery in the job removed records.
pub(super) async fn count_removed(
    conn: &mut SqliteConnection,
    place: Place,
    removed: u64,
) -> Result<(), InboxError> {
    sqlx::query("UPDATE job SET removed = removed + ?4 WHERE source_id = ?1 AND grant_no = ?2 AND job = ?3")
        .bind(place.source)
        .bind(count(place.grant))
        .bind(count(place.job))
        .bind(count(removed))
        .execute(conn)
        .await?;
    Ok(())
}

/// The job is complete. Says how many records its deliveries removed; `None` where it never began here, or a
/// later one took its place.
pub(super) async fn complete(
    conn: &mut SqliteConnection,
    place: Place,
    over: Over,
) -> Result<Option<u64>, InboxError> {
    let row = sqlx::query(
        "DELETE FROM job WHERE source_id = ?1 AND grant_no = ?2 AND scope = ?3 AND patient = ?4 AND job = ?5 \
         RETURNING removed",
    )
    .bind(place.source)
    .bind(count(place.grant))
    .bind(over.scope())
    .bind(over.patient())
    .bind(count(place.job))
    .fetch_optional(conn)
    .await?;
    row.map(|row| unsigned(&row, "removed")).transpose()
}
