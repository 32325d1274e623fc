//! Chooses what a subscription sends next: withdrawals first, then each pair in turn. Runs ahead of the
//! transport by a few candidates, none of which has been handed over yet.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use handfast_proto::ids::OdsCode;
use tokio::sync::mpsc;

use super::{
    fence::Fence,
    pair_feed::{Candidate, PairFeed, Sources, Take},
    subscriber::Subscriber,
};
use crate::{
    consent::{GrantId, Pair, Verdict},
    ingest::Committer,
    store::{Job, JobId, JobKind, PairState, StoreError},
};

/// Candidates chosen ahead of the transport.
pub(super) const AHEAD_CANDIDATES: usize = 4;

/// How long the pump rests after the store failed it.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The task behind one feed.
pub(super) struct Pump {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) fence: Arc<Fence>,
    pub(super) committer: Committer,
    pub(super) sources: Sources,
    pub(super) out: mpsc::Sender<Candidate>,
    pub(super) pairs: BTreeMap<OdsCode, PairFeed>,
    pub(super) withdrawals: BTreeMap<JobId, Job>,
    /// Grants whose marker was sent, and withdrawals that were, on this subscription.
    pub(super) fenced: HashSet<(OdsCode, GrantId)>,
    pub(super) withdrawn: HashSet<JobId>,
    pub(super) takes: u64,
}

/// The feed is gone.
struct Over;

impl Pump {
    /// Runs until the subscription is over, then cuts its connection and waits until it is gone.
    pub(super) async fn run(mut self) {
        let over = self.subscriber.over.clone();
        tokio::select! {
            () = over.cancelled() => {}
            _gone = self.choose() => {}
        }
        over.cancel();
        self.subscriber.connection.cut();
        self.subscriber.connection.closed().await;
        self.fence.unlist(&self.subscriber);
    }

    async fn choose(&mut self) -> Over {
        loop {
            match self.round().await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => self.subscriber.wake.notified().await,
                Ok(Err(over)) => return over,
                Err(error) => {
                    let recipient = self.subscriber.recipient;
                    tracing::error!(%error, %recipient, "a feed cannot read the store; it tries again");
                    self.subscriber.refresh();
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// One candidate from each pair that has one; whether there was any.
    async fn round(&mut self) -> Result<Result<bool, Over>, StoreError> {
        if self.subscriber.take_stale() {
            let recipient = self.subscriber.recipient;
            let (pairs, jobs) = self.sources.store.recipient_jobs(recipient).await?;
            if self.reload(&pairs, &jobs).await.is_err() {
                return Ok(Err(Over));
            }
        }
        let mut any = false;
        let order: Vec<OdsCode> = self.pairs.keys().copied().collect();
        for source in order {
            let Some(pair) = self.pairs.get_mut(&source) else {
                continue;
            };
            let Some(candidate) = pair.next(&self.sources).await? else {
                continue;
            };
            any = true;
            if self.out.send(candidate).await.is_err() {
                return Ok(Err(Over));
            }
            if self.subscriber.stale.load(std::sync::atomic::Ordering::Acquire) {
                break;
            }
        }
        Ok(Ok(any))
    }

    /// Brings the pairs in line with the store: what has ended is fenced, withdrawals go out, what began is
    /// taken up. A pair whose grant stands keeps its place.
    pub(super) async fn reload(&mut self, pairs: &[PairState], jobs: &[Job]) -> Result<(), ()> {
        let book = self.fence.book();
        let dropped = std::mem::take(&mut *self.subscriber.dropped.lock());
        self.pairs.retain(|_, feed| !dropped.contains(&feed.take));
        // Where the store is ahead of the book, the swap is about to come, and tells this pump of it.
        let stands = |p: &&PairState| book.verdict(p.pair, p.grant) == Verdict::InForce;
        let in_force: BTreeMap<OdsCode, PairState> =
            pairs.iter().filter(stands).map(|p| (p.pair.source, *p)).collect();
        let kept: HashSet<(OdsCode, GrantId)> = pairs.iter().map(|p| (p.pair.source, p.grant)).collect();
        let gone: Vec<(Pair, GrantId)> = self
            .pairs
            .values()
            .filter(|feed| {
                in_force
                    .get(&feed.pair.source)
                    .is_none_or(|p| p.grant != feed.grant)
            })
            .map(|feed| (feed.pair, feed.grant))
            .collect();
        for (pair, grant) in gone {
            self.pairs.remove(&pair.source);
            // A pair that only waits (a side is suspended) has not ended.
            if !kept.contains(&(pair.source, grant)) {
                self.fenced(pair, grant).await?;
            }
        }
        // What is over in the store never comes back.
        self.withdrawn.retain(|id| jobs.iter().any(|j| j.id == *id));
        self.fenced
            .retain(|(source, grant)| jobs.iter().any(|j| j.pair.source == *source && j.grant == *grant));
        for job in jobs
            .iter()
            .filter(|j| matches!(j.kind, JobKind::Withdraw { .. }) && !self.withdrawn.contains(&j.id))
        {
            self.withdrawals.insert(job.id, *job);
        }
        self.withdraw().await?;
        for state in in_force.values() {
            self.take_up(state, jobs);
        }
        Ok(())
    }

    async fn withdraw(&mut self) -> Result<(), ()> {
        while let Some((id, job)) = self.withdrawals.pop_first() {
            self.fenced(job.pair, job.grant).await?;
            self.send(Candidate::Withdraw {
                pair: job.pair,
                grant: job.grant,
                job: id,
            })
            .await?;
            self.withdrawn.insert(id);
        }
        Ok(())
    }

    async fn fenced(&mut self, pair: Pair, grant: GrantId) -> Result<(), ()> {
        if self.fenced.insert((pair.source, grant)) {
            self.send(Candidate::Fenced { pair, grant }).await?;
        }
        Ok(())
    }

    fn take_up(&mut self, state: &PairState, jobs: &[Job]) {
        if self.pairs.contains_key(&state.pair.source) {
            return;
        }
        let tail = self.committer.tails().of(state.pair.source);
        tail.watch(&self.subscriber.wake);
        let counters = self.fence.counters.of(state.pair);
        counters.cursor(state.cursor);
        self.takes += 1;
        let mut feed = PairFeed::new(state, Take(self.takes), tail, counters);
        for job in jobs
            .iter()
            .filter(|j| j.pair == state.pair && j.grant == state.grant)
        {
            if let JobKind::CatchUp { upto, through } = job.kind {
                feed.catch_up(job.id, upto, through);
            }
        }
        self.pairs.insert(state.pair.source, feed);
    }

    async fn send(&self, candidate: Candidate) -> Result<(), ()> {
        self.out.send(candidate).await.map_err(|_| ())
    }
}
