//! Renews the daemon's own certificate at two thirds of its life, without a restart.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::tls::{LeafResolver, TlsError};
use crate::{
    clock::Clock,
    enrolment::{Authority, IssueError, ServerLeaf, Validity},
    random::Random,
};

/// How long to wait at most before looking at the clock again: it may have been put forward.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to wait at least, so that a certificate that could not be made does not keep a core busy.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Why the daemon has no certificate of its own.
#[derive(Debug, thiserror::Error)]
pub enum OwnLeafError {
    /// It could not be signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// It cannot be shown.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The daemon's own certificate.
pub struct OwnLeaf {
    authority: Arc<Authority>,
    names: Vec<String>,
    lifetime_ms: i64,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    resolver: Arc<LeafResolver>,
    renew_at: i64,
}

impl OwnLeaf {
    /// Makes the first one.
    pub fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        lifetime_ms: i64,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OwnLeafError> {
        let now = clock.now_ms();
        let leaf = authority.issue_server(&names, now, lifetime_ms, random.as_ref())?;
        let renew_at = due(now, leaf.validity);
        let resolver = Arc::new(LeafResolver::new(leaf)?);
        Ok(Self {
            authority,
            names,
            lifetime_ms,
            clock,
            random,
            resolver,
            renew_at,
        })
    }

    /// What shows it.
    pub fn resolver(&self) -> Arc<LeafResolver> {
        Arc::clone(&self.resolver)
    }

    /// Makes the next one and shows it from the next handshake on.
    pub fn renew(&mut self) -> Result<(), OwnLeafError> {
        let now = self.clock.now_ms();
        let leaf = self.make(now)?;
        let next = due(now, leaf.validity);
        self.resolver.replace(leaf)?;
        self.renew_at = next;
        Ok(())
    }

    /// Renews for ever, each when it is due.
    pub async fn keep_fresh(mut self) {
        loop {
            let left = self.renew_at.saturating_sub(self.clock.now_ms());
            let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
            sleep(left.clamp(SHORTEST_WAIT, LONGEST_WAIT)).await;
            if self.clock.now_ms() < self.renew_at {
                continue;
            }
            match self.renew() {
                Ok(()) => tracing::info!("renewed the daemon's own certificate"),
                Err(error) => tracing::error!(%error, "cannot renew the daemon's own certificate"),
            }
        }
    }

    fn make(&self, now: i64) -> Result<ServerLeaf, IssueError> {
        self.authority
            .issue_server(&self.names, now, self.lifetime_ms, self.random.as_ref())
    }
}

/// Two thirds of the way from now to the end.
fn due(now: i64, validity: Validity) -> i64 {
    let left = validity.not_after.saturating_sub(now).max(0);
    now.saturating_add(left - left / 3)
}
