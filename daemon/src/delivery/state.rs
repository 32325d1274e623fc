//! The delivery side as a whole: what its parts share, and how it starts from what the store has.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use handfast_proto::ids::OdsCode;
use parking_lot::Mutex;

use super::{
    Changes,
    acts::Remembered,
    fence::{Fence, standing, terms},
    pair_feed::Sources,
};
use crate::{
    clock::Clock,
    consent::{Book, Pair, Standing},
    ingest::{Committer, Projector, Publishers},
    store::{Store, StoreError},
};

/// What delivery is made from.
pub struct DeliveryParts {
    /// Where everything durable is.
    pub store: Arc<dyn Store>,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Who commits.
    pub committer: Committer,
    /// Who knows the current records.
    pub projector: Projector,
    /// Who publishes.
    pub publishers: Arc<Publishers>,
    /// Told of changes to agreements and withdrawals.
    pub changes: Arc<Changes>,
    /// How long a revocation waits for a recipient's receipt before it cuts the connection.
    pub drain: Duration,
}

/// The delivery side. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) fence: Arc<Fence>,
    pub(super) sources: Sources,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Committer,
    pub(super) publishers: Arc<Publishers>,
    pub(super) changes: Arc<Changes>,
    /// Changes of consent and openings of subscriptions, one after the other.
    pub(super) order: tokio::sync::Mutex<()>,
    pub(super) remembered: Mutex<HashMap<Pair, Remembered>>,
}

impl Delivery {
    /// Starts from what the store has.
    pub async fn start(parts: DeliveryParts) -> Result<Self, StoreError> {
        let DeliveryParts {
            store,
            clock,
            committer,
            projector,
            publishers,
            changes,
            drain,
        } = parts;
        let deployment = store.deployment().await?;
        let units = store.units(clock.now_ms()).await?;
        let agreements = store.agreements(None).await?;
        let book = Book::new(
            deployment.policy,
            units.iter().map(|u| (u.ods, standing(u.state))),
            agreements.iter().map(|row| (row.pair, terms(row))),
        );
        let heads = committer.tails().heads();
        let fence = Arc::new(Fence::new(book, heads, drain));
        for unit in &units {
            let (pairs, _jobs) = store.recipient_jobs(unit.ods).await?;
            pairs
                .iter()
                .for_each(|p| fence.counters.of(p.pair).cursor(p.cursor));
        }
        let inner = Inner {
            fence,
            sources: Sources {
                store: Arc::clone(&store),
                projector,
            },
            store,
            clock,
            committer,
            publishers,
            changes,
            order: tokio::sync::Mutex::new(()),
            remembered: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// How a unit stands for the gate.
    pub fn standing(&self, ods: OdsCode) -> Standing {
        self.inner.fence.book().standing(ods)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
