//! One transaction of the writer: what it changes in the file, and what must be told after its commit.
//!
//! Nothing here is kept where the transaction fails: the writer goes back to what it held before.

use std::collections::HashMap;

use handfast_proto::ids::RecordId;
use sqlx::SqliteConnection;

use super::{
    OutboxError, OutboxLimits,
    numbering::{Numbering, Place},
    patients::{self, Resolution},
    shared::Standing,
};
use crate::codec::fhir::PatientLink;

/// Patients whose resolution is remembered within a transaction.
const MAX_REMEMBERED: usize = 4096;

/// A transaction under way.
pub(super) struct UnitOfWork<'a> {
    pub(super) conn: &'a mut SqliteConnection,
    pub(super) limits: &'a OutboxLimits,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(super) now_ms: i64,
    pub(super) numbering: Numbering,
    pub(super) tally: Tally,
    /// Records sent again because the daemon asked, and the seqs they got.
    pub(super) asked: HashMap<RecordId, u64>,
    resolved: HashMap<PatientLink, Resolution>,
}

/// What is counted beside the seqs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) waiting: u64,
    pub(super) rejected: u64,
    pub(super) older: u64,
}

/// Where to go back to.
pub(super) struct Savepoint {
    place: Place,
    tally: Tally,
}

impl<'a> UnitOfWork<'a> {
    /// In the transaction that is open on `conn`.
    pub(super) fn new(
        conn: &'a mut SqliteConnection,
        limits: &'a OutboxLimits,
        now_ms: i64,
        standing: &Standing,
        waiting: u64,
    ) -> Self {
        Self {
            conn,
            limits,
            now_ms,
            numbering: Numbering::new(standing.last_seq, standing.last_chain),
            tally: Tally {
                waiting,
                rejected: standing.rejected,
                older: standing.older,
            },
            asked: HashMap::new(),
            resolved: HashMap::new(),
        }
    }

    /// Whose an entry is; remembered until a Patient changes.
    pub(super) async fn resolve(&mut self, link: &PatientLink) -> Result<Resolution, OutboxError> {
        if let Some(known) = self.resolved.get(link) {
            return Ok(known.clone());
        }
        let resolution = patients::resolve(self.conn, link).await?;
        if self.resolved.len() >= MAX_REMEMBERED {
            self.resolved.clear();
        }
        self.resolved.insert(link.clone(), resolution.clone());
        Ok(resolution)
    }

    /// A Patient changed: nothing remembered of any holds.
    pub(super) fn forget_patients(&mut self) {
        self.resolved.clear();
    }

    /// Begins a part that can be undone by itself.
    pub(super) async fn savepoint(&mut self) -> Result<Savepoint, OutboxError> {
        self.numbering.flush(self.conn).await?;
        sqlx::query("SAVEPOINT part").execute(&mut *self.conn).await?;
        Ok(Savepoint {
            place: self.numbering.place(),
            tally: self.tally,
        })
    }

    /// Keeps the part.
    pub(super) async fn release(&mut self, _savepoint: Savepoint) -> Result<(), OutboxError> {
        self.numbering.flush(self.conn).await?;
        sqlx::query("RELEASE part").execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Undoes the part.
    pub(super) async fn undo(&mut self, savepoint: Savepoint) -> Result<(), OutboxError> {
        sqlx::query("ROLLBACK TO part").execute(&mut *self.conn).await?;
        sqlx::query("RELEASE part").execute(&mut *self.conn).await?;
        self.numbering.back_to(savepoint.place);
        self.tally = savepoint.tally;
        self.resolved.clear();
        Ok(())
    }
}
