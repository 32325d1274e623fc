//! Which outputs there are.

use std::collections::HashSet;

use sqlx::{Connection as _, Row as _};

use super::{columns::count, error::InboxError, model::OutputSpec, open::Inbox};

/// The kind of output that marks what it writes; behind it stands where it writes.
const MARKS: &str = "fhir";

impl Inbox {
    /// Says which outputs there are. One that is new, or of another kind than before, begins with a
    /// comparison of everything. What was kept for one that is gone is dropped: what it wrote is no business
    /// of this agent's any more. Returns the names of those that are gone.
    pub async fn set_outputs(&self, specs: &[OutputSpec]) -> Result<Vec<String>, InboxError> {
        let now = self.now();
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await?;
        let wanted: Vec<_> = specs.iter().map(|s| [&s.name, &s.kind]).collect();
        let wanted = serde_json::to_string(&wanted).map_err(|_| InboxError::Damaged("an output's name"))?;
        let dropped = sqlx::query(
            "DELETE FROM output WHERE NOT EXISTS (SELECT 1 FROM json_each(?1) AS k \
             WHERE k.value ->> 0 = output.name AND k.value ->> 1 = output.kind) RETURNING name",
        )
        .bind(wanted)
        .fetch_all(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM output_map WHERE output NOT IN (SELECT name FROM output)")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE dead_letter SET state = 'discarded', closed_at = ?1, \
             reason = reason || '; the output is not configured any more' \
             WHERE state IN ('waiting', 'refused') AND output NOT IN (SELECT name FROM output)",
        )
        .bind(now)
        .execute(&mut *tx)
        .await?;
        for spec in specs {
            sqlx::query(
                "INSERT INTO output (name, kind, position, mark, resync) VALUES (?1, ?2, ?3, NULL, 1) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(spec.name.clone())
            .bind(spec.kind.clone())
            .bind(count(writer.state.last_change))
            .execute(&mut *tx)
            .await?;
        }
        if specs.is_empty() {
            sqlx::query("DELETE FROM change").execute(&mut *tx).await?;
        }
        tx.commit().await?;
        writer.state.has_outputs = !specs.is_empty();
        writer.state.unmarked = specs.iter().any(|s| s.kind.split(' ').next() != Some(MARKS));
        writer.clean = true;
        drop(guard);
        let kept: HashSet<&str> = specs.iter().map(|s| s.name.as_str()).collect();
        let mut gone = Vec::new();
        for row in dropped {
            let name: String = row.try_get("name")?;
            if !kept.contains(name.as_str()) {
                gone.push(name);
            }
        }
        Ok(gone)
    }
}
