//! What is this unit's own, asked when something may be another unit's, sent back.

use std::collections::HashSet;

use handfast_proto::ids::RecordId;
use sqlx::SqliteConnection;

use super::{OutboxError, WaitReason};

/// Which of these records are held or wait.
pub(super) async fn records(
    conn: &mut SqliteConnection,
    records: &[&RecordId],
) -> Result<HashSet<RecordId>, OutboxError> {
    let names: Vec<&str> = records.iter().map(|r| r.as_str()).collect();
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT r.name FROM json_each(?1) AS k CROSS JOIN record AS r ON r.name = k.value WHERE r.held = 1
         UNION SELECT w.name FROM json_each(?1) AS k CROSS JOIN waiting AS w ON w.name = k.value
             WHERE w.reason <> ?2",
    )
    .bind(list(&names))
    .bind(WaitReason::AsReceived as i64)
    .fetch_all(conn)
    .await?;
    Ok(found.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Which of these Patients are known, and not set aside.
pub(super) async fn patients(
    conn: &mut SqliteConnection,
    ids: &[&str],
) -> Result<HashSet<String>, OutboxError> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT p.id FROM json_each(?1) AS k CROSS JOIN patient AS p ON p.id = k.value WHERE p.aside = 0",
    )
    .bind(list(ids))
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().collect())
}

fn list(names: &[&str]) -> String {
    serde_json::json!(names).to_string()
}
