//! Opening a recipient's subscription, and what it says while it is open.
//!
//! Invariants: a recipient has at most one live subscription; an older one of the same inbox is cut, and
//! gone, before the next is opened; another inbox is refused while one is live.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use handfast_proto::{
    ids::OdsCode,
    limits::MAX_CREDIT_BYTES,
    v1::{GrantInForce, SubscribeWelcome},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    connection::Connection,
    feed::Feed,
    ledger::{ImpossibleReceipt, Ledger},
    pump::{AHEAD_CANDIDATES, Grant, Pump},
    stands::stands,
    state::{Delivery, Inner},
    subscriber::Subscriber,
};
use crate::{
    audit::{Actor, Stream, events::WithdrawalConfirmed},
    consent::{Book, GrantId, Pair},
    ingest::Moves,
    store::{self, ConfirmWithdrawal, DeadLetterRow, Hello, JobKind, StoreError, With},
};

/// How long an older connection of the same inbox may take to be gone.
const TAKE_OVER_BOUND: Duration = Duration::from_secs(2);

/// Bytes of credit below which a wish is raised: less would hold up every batch.
const MIN_CREDIT_BYTES: u64 = 16 * 1024;

/// Why a subscription was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeRefused {
    /// Another inbox of the unit is connected.
    #[error("another store of this unit is connected: stop one of the two agents")]
    AnotherStoreIsLive,
    /// An older connection of the same inbox is not gone yet.
    #[error("an older connection of this unit is not closed yet: try again")]
    OlderConnection,
    /// The store could not open it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a hello led to.
#[derive(Debug)]
pub enum Opened {
    /// The stream is to carry this one message, and end: the inbox must take a new id.
    NotAccepted(SubscribeWelcome),
    /// The stream, and the handle for what the recipient says.
    Live(Box<Feed>, Subscription),
}

/// What a recipient says while its subscription is open.
#[derive(Clone, Debug)]
pub struct Subscription {
    delivery: Delivery,
    subscriber: Arc<Subscriber>,
}

impl Delivery {
    /// Opens a recipient's subscription. Not cancellation-safe: run it in a task of its own.
    pub async fn subscribe(
        &self,
        hello: Hello,
        credit: u64,
        connection: Arc<dyn Connection>,
    ) -> Result<Opened, SubscribeRefused> {
        let inner = &self.inner;
        inner.take_over(&hello).await?;
        let _still = inner.order.still().await;
        if !inner.fence.of(hello.recipient).is_empty() {
            return Err(SubscribeRefused::OlderConnection);
        }
        if hello.session == 0 {
            // Of a new inbox the store forgets how far the streams of the one before went.
            let is_its = |stream: &Stream| stream.pair.recipient == hello.recipient;
            inner.committer.entered(is_its).await?;
        }
        let opened = inner
            .store
            .open_subscription(&hello, inner.clock.now_ms())
            .await?;
        let (welcome, told) = welcome(&inner.fence.book(), &opened);
        if !opened.accepted {
            return Ok(Opened::NotAccepted(welcome));
        }
        let credit = credit.clamp(MIN_CREDIT_BYTES, MAX_CREDIT_BYTES);
        let subscriber = Arc::new(Subscriber {
            recipient: hello.recipient,
            store: hello.store,
            ledger: Ledger::new(hello.recipient, opened.session, credit),
            connection,
            wake: Arc::new(Notify::new()),
            stale: AtomicBool::new(true),
            waits_for_swap: AtomicBool::new(false),
            dropped: parking_lot::Mutex::default(),
            over: CancellationToken::new(),
        });
        inner.fence.list(&subscriber);
        let feed = inner.feed(Arc::clone(&subscriber), welcome, told);
        Ok(Opened::Live(
            Box::new(feed),
            Subscription {
                delivery: self.clone(),
                subscriber,
            },
        ))
    }

    /// Ends every subscription, for the daemon's own stopping.
    pub fn end_all(&self) {
        for recipient in self.inner.fence.subscribed() {
            self.inner
                .fence
                .of(recipient)
                .iter()
                .for_each(|s| s.over.cancel());
        }
    }
}

impl Inner {
    async fn take_over(&self, hello: &Hello) -> Result<(), SubscribeRefused> {
        for older in self.fence.of(hello.recipient) {
            if older.store != hello.store && !older.over.is_cancelled() {
                return Err(SubscribeRefused::AnotherStoreIsLive);
            }
            older.over.cancel();
            older.connection.cut();
            let gone = tokio::time::timeout(TAKE_OVER_BOUND, older.connection.closed()).await;
            gone.map_err(|_| SubscribeRefused::OlderConnection)?;
            let enter = |in_doubt| self.committer.offer_moves(Moves::of_disclosures(in_doubt));
            self.fence.unlist(&older, enter);
        }
        Ok(())
    }

    fn feed(
        &self,
        subscriber: Arc<Subscriber>,
        welcome: SubscribeWelcome,
        told: HashMap<Grant, GrantInForce>,
    ) -> Feed {
        let (out, candidates) = mpsc::channel(AHEAD_CANDIDATES);
        let pump = Pump {
            subscriber: Arc::clone(&subscriber),
            committer: self.committer.clone(),
            sources: self.sources.clone(),
            out,
            feeds: BTreeMap::new(),
            reaches: HashMap::new(),
            fenced: HashSet::new(),
            withdrawn: HashSet::new(),
            told,
            takes: 0,
        };
        tokio::spawn(pump.run());
        Feed {
            subscriber,
            fence: Arc::clone(&self.fence),
            committer: self.committer.clone(),
            clock: Arc::clone(&self.clock),
            candidates,
            welcome: Some(welcome),
            next: None,
            pieces: None,
            refused: BTreeSet::new(),
        }
    }
}

impl Subscription {
    /// The recipient.
    pub fn recipient(&self) -> OdsCode {
        self.subscriber.recipient
    }

    /// Resolves when the subscription is over. Cancellation-safe.
    pub async fn over(&self) {
        self.subscriber.over.cancelled().await;
    }

    /// Ends the subscription; its connection is cut.
    pub fn end(&self) {
        self.subscriber.over.cancel();
    }

    /// Takes a receipt.
    pub fn receipt(&self, arrived: u64, durable: u64) -> Result<(), ImpossibleReceipt> {
        let inner = &self.delivery.inner;
        let (mut cursors, mut jobs_over) = (Vec::new(), Vec::new());
        self.subscriber.ledger.receipt(arrived, durable, |moves| {
            cursors.extend(moves.cursors());
            jobs_over.extend(moves.jobs_over());
            inner.committer.offer_moves(moves);
        })?;
        if !cursors.is_empty() {
            let book = inner.fence.book();
            let in_force = |(pair, grant, _): &(Pair, GrantId, u64)| book.terms(*pair).grant == Some(*grant);
            for (pair, _, seq) in cursors.into_iter().filter(in_force) {
                inner.fence.counters.of(pair).cursor(seq);
            }
        }
        for job in jobs_over {
            inner.fence.doubts.job_is_over(job);
        }
        Ok(())
    }

    /// Records that a withdrawal, or what a job removes, was carried out; it is entered in the audit log, unless
    /// there was nothing to remove. Not cancellation-safe.
    pub async fn withdrawal_confirmed(
        &self,
        job: u64,
        removed: u64,
        not_removed: u64,
    ) -> Result<(), StoreError> {
        let inner = &self.delivery.inner;
        let confirm = ConfirmWithdrawal {
            recipient: self.recipient(),
            job: store::JobId(job),
            removed,
            not_removed,
            at: inner.clock.now_ms(),
        };
        let carried_out = inner.store.unconfirmed(self.recipient(), confirm.job).await?;
        let is_withdrawal = |kind: JobKind| matches!(kind, JobKind::Withdraw { .. });
        let told = carried_out.filter(|known| is_withdrawal(known.kind) || removed > 0 || not_removed > 0);
        let entry = told.map(|known| WithdrawalConfirmed {
            job: known,
            removed,
            not_removed,
        });
        let actor = Actor::Agent(self.recipient());
        let entry = entry
            .map(|event| inner.entry(confirm.at, &actor, &event))
            .transpose()?;
        let with = With::audit(entry.into_iter().collect());
        inner.store.confirm_withdrawal(&confirm, &with).await?;
        inner.changes.notify();
        Ok(())
    }

    /// Records what the recipient says of a dead letter. Not cancellation-safe.
    pub async fn dead_letter(&self, letter: &DeadLetterRow) -> Result<(), StoreError> {
        let inner = &self.delivery.inner;
        inner.store.record_dead_letter(letter, inner.clock.now_ms()).await
    }
}

/// The welcome, and what it tells of each grant.
fn welcome(book: &Book, opened: &store::Subscription) -> (SubscribeWelcome, HashMap<Grant, GrantInForce>) {
    let each = opened.pairs.iter().map(|p| {
        let told = stands(book, p.pair, p.grant, p.patient);
        ((p.pair.source, p.grant), told)
    });
    let told: HashMap<Grant, GrantInForce> = each.collect();
    let order = opened
        .pairs
        .iter()
        .map(|p| told[&(p.pair.source, p.grant)].clone());
    let welcome = SubscribeWelcome {
        session: opened.session,
        accepted: opened.accepted,
        anew: opened.anew,
        grants: order.collect(),
    };
    (welcome, told)
}
