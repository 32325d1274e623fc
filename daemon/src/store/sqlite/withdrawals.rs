//! What recipients confirm of withdrawals.

use super::{database::Database, fault::fault, values::int};
use crate::store::{ConfirmWithdrawal, StoreError};

/// Records that a withdrawal was carried out. Of one confirmed before, the first word stands; a job that
/// is not the recipient's, or is none, changes nothing, so that an inbox may always repeat itself.
pub(super) async fn confirm(main: &Database, confirm: &ConfirmWithdrawal) -> Result<(), StoreError> {
    let (job, removed) = (int(confirm.job.0)?, int(confirm.removed)?);
    let not_removed = int(confirm.not_removed)?;
    let sql = "UPDATE job SET state = 'confirmed', removed = ?3, not_removed = ?4, confirmed_at = ?5
               WHERE id = ?1 AND recipient = ?2 AND kind = 'withdraw' AND state <> 'confirmed'";
    let mut write = main.write().await?;
    let result = sqlx::query(sql)
        .bind(job)
        .bind(confirm.recipient.as_str())
        .bind(removed)
        .bind(not_removed)
        .bind(confirm.at)
        .execute(write.conn())
        .await;
    write.finish(result.map_err(fault).map(drop)).await
}
