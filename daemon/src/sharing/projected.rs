//! Waits for the projection, where an answer is read from it: after a start it may be far behind the log, and what it
//! does not have yet would look as if it had never been.

use std::{sync::Arc, time::Duration};

use handfast_proto::ids::OdsCode;

use super::ActError;
use crate::{ingest::Projector, store::Store};

/// How long an act waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has been projected. Clones are cheap and alike.
#[derive(Clone)]
pub struct Projected {
    store: Arc<dyn Store>,
    projector: Projector,
    patience: Duration,
}

impl Projected {
    /// What `projector` brings into `store`.
    pub fn new(store: Arc<dyn Store>, projector: Projector) -> Self {
        Self {
            store,
            projector,
            patience: PATIENCE,
        }
    }

    /// The same, but that acts wait no longer than this.
    #[cfg(test)]
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Waits for all that a source has published.
    pub(super) async fn all_of(&self, source: OdsCode) -> Result<(), ActError> {
        self.up_to(source, u64::MAX).await
    }

    /// Waits for what a source has published up to a seq.
    pub(super) async fn up_to(&self, source: OdsCode, seq: u64) -> Result<(), ActError> {
        let heads = self.store.heads().await?;
        let head = heads.iter().find(|(of, _)| *of == source);
        let seq = head.map_or(0, |(_, head)| head.seq).min(seq);
        if self.store.projected_through(source).await? >= seq {
            return Ok(());
        }
        let caught_up = self.projector.caught_up(source, seq);
        tokio::time::timeout(self.patience, caught_up).await.map_err(|_| {
            let why = format!("the records of {source} are still being read in: ask again in a while");
            ActError::Unavailable(why)
        })
    }
}
