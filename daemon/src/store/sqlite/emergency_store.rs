//! What the store on SQLite does about emergency accesses as grants.

use async_trait::async_trait;

use super::{
    database::Database,
    emergencies,
    fault::fault,
    store::SqliteStore,
    values::{Columns, int},
};
use crate::{
    consent::{GrantId, Pair},
    store::{EmergencyGrants, EmergencyRow, OpenEmergency, StoreError, With},
};

const IN_FORCE: &str = "
    SELECT id, source, recipient, patient, started_at, until FROM sharing_grant
    WHERE patient IS NOT NULL AND ended_at IS NULL ORDER BY id";

#[async_trait]
impl EmergencyGrants for SqliteStore {
    async fn open_emergency(
        &self,
        open: &OpenEmergency,
        with: &With,
    ) -> Result<Vec<EmergencyRow>, StoreError> {
        let mut write = self.main().write().await?;
        let result = async {
            let mut opened = Vec::with_capacity(open.sources.len());
            for source in &open.sources {
                let pair = Pair {
                    source: *source,
                    recipient: open.recipient,
                };
                let grant = emergencies::open(write.conn(), pair, open.patient, open.until, open.at).await?;
                opened.push(EmergencyRow {
                    grant,
                    pair,
                    patient: open.patient,
                    from: open.at,
                    until: open.until,
                });
            }
            Ok(opened)
        }
        .await;
        write.finish_with(result, with, open.at).await
    }

    async fn which_are_emergencies(&self, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let sql = "SELECT id FROM sharing_grant
                   WHERE id IN (SELECT value FROM json_each(?1)) AND patient IS NOT NULL ORDER BY id";
        let rows = sqlx::query(sql)
            .bind(numbers(grants)?)
            .fetch_all(self.main().readers())
            .await
            .map_err(fault)?;
        rows.iter().map(|row| row.count("id").map(GrantId)).collect()
    }

    async fn emergencies(&self) -> Result<Vec<EmergencyRow>, StoreError> {
        in_force(self.main()).await
    }
}

fn numbers(grants: &[GrantId]) -> Result<String, StoreError> {
    let numbers = grants.iter().map(|grant| int(grant.0));
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    serde_json::to_string(&numbers).map_err(|error| StoreError::Failed(error.to_string()))
}

async fn in_force(main: &Database) -> Result<Vec<EmergencyRow>, StoreError> {
    let rows = sqlx::query(IN_FORCE)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(emergencies::row).collect()
}
