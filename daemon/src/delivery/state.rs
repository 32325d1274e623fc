//! The delivery side as a whole: what its parts share, and how it starts from what the store has.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use handfast_proto::ids::OdsCode;
use parking_lot::Mutex;

use super::{
    Changes,
    doubt::Doubts,
    erasing::Erasing,
    fence::Fence,
    load,
    order::{Order, Turn},
    pair_feed::Sources,
    remembered::Remembered,
};
use crate::{
    audit::{Actor, Event, Scribe},
    clock::Clock,
    consent::{Pair, Standing},
    ingest::{Committer, Projector, Publishers},
    store::{NewEntry, Store, StoreError},
};

/// What delivery is made from.
pub struct DeliveryParts {
    /// Where everything durable is.
    pub store: Arc<dyn Store>,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
    /// Makes entries for the audit log.
    pub scribe: Scribe,
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
    pub(super) scribe: Scribe,
    pub(super) committer: Committer,
    pub(super) publishers: Arc<Publishers>,
    pub(super) changes: Arc<Changes>,
    /// Changes of consent and openings of subscriptions, one after the other.
    pub(super) order: Order,
    pub(super) remembered: Mutex<HashMap<Pair, Remembered>>,
    pub(super) erasing: Erasing,
    /// Set where it is not known whether a change was kept, until the book was read from the store again.
    unsure: AtomicBool,
    /// Set where grants were closed for a change that is not committed yet; see [`super::ending`].
    pub(super) ahead: Arc<AtomicBool>,
}

impl Delivery {
    /// Starts from what the store has.
    pub async fn start(parts: DeliveryParts) -> Result<Self, StoreError> {
        let DeliveryParts {
            store,
            clock,
            scribe,
            committer,
            projector,
            publishers,
            changes,
            drain,
        } = parts;
        let book = load::book(&*store, clock.now_ms()).await?;
        let recipients = store.owed_recipients().await?;
        let mut reaches = Vec::new();
        for recipient in &recipients {
            reaches.extend(store.reaches(*recipient).await?);
        }
        let doubts = Doubts::new(&reaches, committer.tails().heads());
        let fence = Arc::new(Fence::new(book, doubts, drain));
        for recipient in recipients {
            let (pairs, _jobs) = store.recipient_jobs(recipient).await?;
            let of_agreements = pairs.iter().filter(|p| p.patient.is_none());
            of_agreements.for_each(|p| fence.counters.of(p.pair).cursor(p.cursor));
        }
        // Grants that ended before this process began: what came since is what is withheld.
        let ended = store.agreements(None).await?;
        for row in ended.iter().filter(|row| row.ended_at_seq > 0) {
            fence.counters.of(row.pair).decided(row.ended_at_seq);
        }
        let inner = Inner {
            order: Order::new(Arc::clone(&fence)),
            sources: Sources {
                store: Arc::clone(&store),
                projector,
                fence: Arc::clone(&fence),
                clock: Arc::clone(&clock),
            },
            fence,
            store,
            clock,
            scribe,
            committer,
            publishers,
            changes,
            remembered: Mutex::default(),
            erasing: Erasing::default(),
            unsure: AtomicBool::new(false),
            ahead: Arc::default(),
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

impl Inner {
    /// An entry for the audit log. Where none can be made, what it is about must not happen.
    pub(super) fn entry(&self, at: i64, actor: &Actor, event: &dyn Event) -> Result<NewEntry, StoreError> {
        let entry = self.scribe.entry(at, actor, event);
        entry.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// Waits for a change's turn, with a book that is what the store has, and nothing in it that has run out.
    /// Cancellation-safe only before it is this one's turn.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<Turn, StoreError> {
        Ok(self.begin_at().await?.0)
    }

    /// The same, with the moment at which nothing else in the book has run out.
    pub(super) async fn begin_at(self: &Arc<Self>) -> Result<(Turn, i64), StoreError> {
        let turn = self.order.turn().await;
        self.be_sure().await?;
        let now = self.clock.now_ms();
        self.is_abreast();
        self.expire(&turn, now).await?;
        self.is_abreast();
        Ok((turn, now))
    }

    /// It is not known whether a change was kept: what it was to end goes no more, and the book is read again
    /// before the next change.
    pub(super) fn is_unsure(&self, pairs: impl IntoIterator<Item = Pair>) {
        self.unsure.store(true, Ordering::SeqCst);
        let pairs: Vec<Pair> = pairs.into_iter().collect();
        self.fence.swap(
            |book| pairs.iter().fold(book.clone(), |book, pair| book.closed(*pair)),
            &[],
        );
        self.fence.refresh_all();
    }

    /// Whether the book is to be read from the store again.
    pub(super) fn must_be_sure(&self) -> bool {
        self.unsure.load(Ordering::SeqCst)
    }

    /// Reads the book from the store again, if it is not known what that has.
    pub(super) async fn be_sure(&self) -> Result<(), StoreError> {
        if !self.must_be_sure() {
            return Ok(());
        }
        let found = load::book(&*self.store, self.clock.now_ms()).await?;
        self.fence.swap(|book| found.following(book), &[]);
        self.unsure.store(false, Ordering::SeqCst);
        self.fence.refresh_all();
        tracing::info!("the consents in force were read again from the store");
        Ok(())
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
