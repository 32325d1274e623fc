//! What the writer is asked, how much of it goes into one commit, and how each request is carried out.

use std::collections::HashMap;

use handfast_proto::{
    amendment::Amendment,
    ids::{NhsNumber, RecordId},
};
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::{
    OutboxError, Outcome,
    model::{DaemonHead, Mark, Welcomed},
    unit_of_work::UnitOfWork,
};
use crate::codec::fhir::Change;

/// Requests that one commit takes, and bytes of them, about.
const MAX_GROUP_JOBS: usize = 256;
const MAX_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// One request to the writer.
pub(super) struct Job {
    pub(super) work: Work,
    /// Bytes it holds, about.
    pub(super) weight: usize,
    pub(super) reply: oneshot::Sender<Result<Done, OutboxError>>,
}

/// What is asked.
pub(super) enum Work {
    Take {
        changes: Vec<Change>,
        /// All or, where one is refused, none.
        together: bool,
        marks: Vec<Mark>,
    },
    Push(Vec<Amendment>),
    /// The versions held of these, because the daemon asks for them.
    SendAgain(Vec<RecordId>),
    /// The Patient whom a Consent names was received under another number.
    FollowCopy(RecordId, NhsNumber),
    Welcome(DaemonHead),
}

/// The answer.
pub(super) enum Done {
    Outcomes(Vec<Outcome>),
    Pushed,
    Welcomed(Welcomed),
}

/// Whatever else was asked meanwhile, up to the bounds; a welcome ends the group.
pub(super) fn collect(first: Option<Job>, jobs: &mut mpsc::Receiver<Job>) -> (Vec<Job>, Option<Job>) {
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut next = first;
    while let Some(job) = next {
        if matches!(job.work, Work::Welcome(_)) {
            return (group, Some(job));
        }
        bytes += job.weight;
        group.push(job);
        next = if group.len() < MAX_GROUP_JOBS && bytes < MAX_GROUP_BYTES {
            jobs.try_recv().ok()
        } else {
            None
        };
    }
    (group, None)
}

/// Carries out one request.
pub(super) async fn work(
    unit: &mut UnitOfWork<'_>,
    work: &Work,
    on_their_way: &HashMap<RecordId, u64>,
) -> Result<Done, OutboxError> {
    match work {
        Work::Take {
            changes,
            together,
            marks,
        } => {
            let outcomes = if *together {
                unit.take_all_or_none(changes).await?
            } else {
                unit.take(changes).await?
            };
            for mark in marks {
                set_mark(unit.conn, mark).await?;
            }
            Ok(Done::Outcomes(outcomes))
        }
        Work::Push(amendments) => {
            for amendment in amendments {
                unit.numbering.push(unit.conn, amendment).await?;
            }
            Ok(Done::Pushed)
        }
        Work::SendAgain(records) => {
            unit.send_again(records, on_their_way).await?;
            Ok(Done::Pushed)
        }
        Work::FollowCopy(record, number) => {
            unit.follow_copy(record, *number).await?;
            Ok(Done::Pushed)
        }
        Work::Welcome(_) => Err(OutboxError::Closed),
    }
}

async fn set_mark(conn: &mut SqliteConnection, mark: &Mark) -> Result<(), OutboxError> {
    match &mark.value {
        Some(value) => {
            sqlx::query("INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)")
                .bind(mark.name.clone())
                .bind(value.clone())
                .execute(conn)
                .await?
        }
        None => {
            sqlx::query("DELETE FROM mark WHERE name = ?")
                .bind(mark.name.clone())
                .execute(conn)
                .await?
        }
    };
    Ok(())
}
