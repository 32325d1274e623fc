//! What goes into a change's own transaction beside the change itself.

use sqlx::SqliteConnection;

use super::{audit, jobs};
use crate::store::{Did, StoreError, With};

/// Enters the jobs that follow from a change, then its entries in the audit log. `at` is the change's time.
pub(super) async fn enter(conn: &mut SqliteConnection, with: &With, at: i64) -> Result<(), StoreError> {
    jobs::enter(conn, &with.jobs, at).await?;
    audit::insert(conn, &with.audit).await
}

/// The same, and then the entries that depend on what the change did.
pub(super) async fn enter_what_it_did(
    conn: &mut SqliteConnection,
    with: &With,
    did: Did<'_>,
    at: i64,
) -> Result<(), StoreError> {
    enter(conn, with, at).await?;
    match &with.enters {
        Some(enters) => audit::insert(conn, &enters.entries(did)?).await,
        None => Ok(()),
    }
}
