//! Brings up behind the commits what entries are found by, in bulk. Who searches first waits until it has caught
//! up with what was entered before.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::keys::keys_of;
use crate::store::{Store, StoreError};

/// Bytes of entries made findable in one transaction, about.
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// How long entries wait to be made findable, unless somebody searches.
const REST: Duration = Duration::from_secs(5);

/// Makes entries findable. Cheap to clone.
#[derive(Clone)]
pub struct AuditIndex {
    store: Arc<dyn Store>,
    /// Who brings it up.
    work: Arc<Mutex<()>>,
}

impl AuditIndex {
    /// Of the log of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            work: Arc::default(),
        }
    }

    /// Waits until every entry that is there now can be found. Cancellation-safe: what was done is kept.
    pub async fn caught_up(&self) -> Result<(), StoreError> {
        let size = self.store.audit_size().await?;
        let _work = self.work.lock().await;
        let mut through = self.store.audit_indexed().await?;
        while through < size {
            let rows = self.store.audit_entries(through, BYTES_AT_ONCE).await?;
            let Some(last) = rows.last() else {
                return Err(StoreError::Corrupt(
                    "the audit log ends before its size".to_owned(),
                ));
            };
            let reached = last.index + 1;
            let keys: Vec<_> = rows.iter().map(keys_of).collect();
            self.store.index_audit(&keys, reached).await?;
            through = reached;
        }
        Ok(())
    }

    /// Makes entries findable until stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REST) => {}
            }
            if let Err(error) = self.caught_up().await {
                tracing::error!(%error, "new audit entries cannot be made findable; it is tried again");
            }
        }
    }
}
