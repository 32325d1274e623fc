//! What recipients confirm of withdrawals, and of reconciles that removed something.

use sqlx::SqliteConnection;

use handfast_proto::ids::OdsCode;

use super::{database::Database, fault::fault, jobs::job, values::int};
use crate::store::{ConfirmWithdrawal, Job, JobId, StoreError, With};

const UNCONFIRMED: &str = "
    SELECT id, grant_id, source, recipient, kind, patient, before, upto, through FROM job
    WHERE id = ?1 AND recipient = ?2 AND kind <> 'catch-up' AND state <> 'confirmed'";

const CONFIRM: &str = "
    UPDATE job SET state = 'confirmed', removed = ?3, not_removed = ?4, confirmed_at = ?5
    WHERE id = ?1 AND recipient = ?2 AND kind <> 'catch-up' AND state <> 'confirmed'";

/// A reconcile that removed nothing is of no interest to anybody.
const FORGET: &str = "
    DELETE FROM job
    WHERE id = ?1 AND recipient = ?2 AND kind IN ('patient', 'changes') AND state = 'confirmed'
      AND removed = 0 AND not_removed = 0";

/// What the recipient is yet to confirm under this number.
pub(super) async fn unconfirmed(
    main: &Database,
    recipient: OdsCode,
    id: JobId,
) -> Result<Option<Job>, StoreError> {
    let mut read = main.read().await?;
    let row = sqlx::query(UNCONFIRMED)
        .bind(int(id.0)?)
        .bind(recipient.as_str())
        .fetch_optional(&mut *read)
        .await
        .map_err(fault)?;
    row.as_ref().map(job).transpose()
}

/// Records that a withdrawal or a reconcile was carried out. Of one confirmed before, the first word stands;
/// a job that is not the recipient's, or is none, changes nothing, so that an inbox may always repeat itself.
/// What goes in beside it goes in only where it changed something.
pub(super) async fn confirm(
    main: &Database,
    confirm: &ConfirmWithdrawal,
    with: &With,
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    match keep(write.conn(), confirm).await {
        Ok(true) => write.finish_with(Ok(()), with, confirm.at).await,
        other => write.finish(other.map(drop)).await,
    }
}

/// Whether it changed something.
async fn keep(conn: &mut SqliteConnection, confirm: &ConfirmWithdrawal) -> Result<bool, StoreError> {
    let (job, removed) = (int(confirm.job.0)?, int(confirm.removed)?);
    let not_removed = int(confirm.not_removed)?;
    let confirmed = sqlx::query(CONFIRM)
        .bind(job)
        .bind(confirm.recipient.as_str())
        .bind(removed)
        .bind(not_removed)
        .bind(confirm.at)
        .execute(&mut *conn)
        .await
        .map_err(fault)?;
    if confirmed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(FORGET)
        .bind(job)
        .bind(confirm.recipient.as_str())
        .execute(conn)
        .await
        .map_err(fault)?;
    Ok(true)
}
