//! Chooses what a subscription sends next: withdrawals first, then each grant in turn. Runs ahead of the
//! transport by a few candidates, none of which has been handed over yet.
//!
//! Invariant (A1): what it gives on of amendments lies within the reach of their stream; see [`Reach`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use handfast_proto::{
    ids::{NhsNumber, OdsCode},
    v1::GrantInForce,
};
use tokio::sync::mpsc;

use super::{
    candidate::{Candidate, Chosen, Take, Withdraw},
    job_feed::Serves,
    pair_feed::{Next, PairFeed, Sources},
    stands::{is_plain, stands},
    subscriber::Subscriber,
};
use crate::{
    consent::{Book, GrantId, Pair, Standing, Verdict},
    ingest::{Committer, Moves, Reach},
    store::{Job, JobId, JobKind, PairState, StoreError},
};

/// Candidates chosen ahead of the transport.
pub(super) const AHEAD_CANDIDATES: usize = 4;

/// How long the pump rests after the store failed it.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// A grant as a recipient knows it.
pub(super) type Grant = (OdsCode, GrantId);

/// The task behind one feed.
pub(super) struct Pump {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) committer: Committer,
    pub(super) sources: Sources,
    /// Boxed: a channel sets aside room for 32 of what it carries, on every subscription.
    pub(super) out: mpsc::Sender<Box<Candidate>>,
    pub(super) feeds: BTreeMap<Grant, PairFeed>,
    /// How far what the feeds choose may be handed over, by grant and job.
    pub(super) reaches: HashMap<(GrantId, Option<JobId>), Arc<Reach>>,
    /// Grants whose marker was sent, and withdrawals that were, on this subscription.
    pub(super) fenced: HashSet<Grant>,
    pub(super) withdrawn: HashSet<JobId>,
    /// What the recipient was told of each grant.
    pub(super) told: HashMap<Grant, GrantInForce>,
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
        let enter = |in_doubt| self.committer.offer_moves(Moves::of_disclosures(in_doubt));
        self.sources.fence.unlist(&self.subscriber, enter);
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

    /// One step of each grant; whether any had something to do.
    async fn round(&mut self) -> Result<Result<bool, Over>, StoreError> {
        if self.subscriber.take_stale() {
            let recipient = self.subscriber.recipient;
            let (pairs, jobs) = self.sources.store.recipient_jobs(recipient).await?;
            if self.reload(&pairs, &jobs).await.is_err() {
                return Ok(Err(Over));
            }
        }
        let mut any = false;
        let order: Vec<Grant> = self.feeds.keys().copied().collect();
        for grant in order {
            let Some(feed) = self.feeds.get_mut(&grant) else {
                continue;
            };
            match feed.next(&self.sources).await? {
                Next::Nothing => continue,
                Next::Again => any = true,
                Next::Send(candidate) => {
                    any = true;
                    match &candidate {
                        Candidate::Batch(chosen) => self.within_reach(chosen).await,
                        Candidate::Passed(_) => self.committer.has_room().await,
                        _ => {}
                    }
                    if self.out.send(Box::new(candidate)).await.is_err() {
                        return Ok(Err(Over));
                    }
                }
            }
            if self.subscriber.stale.load(std::sync::atomic::Ordering::Acquire) {
                break;
            }
        }
        Ok(Ok(any))
    }

    /// Waits until it is committed that a stream may be handed over as far as what was chosen goes.
    async fn within_reach(&mut self, chosen: &Chosen) {
        let job = chosen.job.map(|(job, _)| job);
        let reach = self.reach(chosen.grant, job);
        let last = chosen.batch.last_seq();
        // What a job looks up first may lie far beyond where it began; of a live feed its cursor says where it stands.
        let from = job.map_or(0, |_| chosen.batch.first_seq() - 1);
        reach.ask(from, last.max(chosen.ahead), &self.committer);
        reach.covers(from, last).await;
    }

    fn reach(&mut self, grant: GrantId, job: Option<JobId>) -> Arc<Reach> {
        let reach = self.reaches.entry((grant, job));
        Arc::clone(reach.or_insert_with(|| Reach::new(grant, job)))
    }

    /// Brings the grants in line with the store: what has ended is fenced, withdrawals go out, what began is
    /// taken up. A grant that stands keeps its place.
    async fn reload(&mut self, pairs: &[PairState], jobs: &[Job]) -> Result<(), ()> {
        let newest = jobs.last().map_or(JobId(0), |job| job.id);
        // Before the book is looked at: a job that counts as settled is never ahead of it.
        let settled = self.sources.fence.settled(newest, &self.subscriber);
        let book = self.sources.fence.book();
        let dropped = std::mem::take(&mut *self.subscriber.dropped.lock());
        self.feeds.retain(|_, feed| !dropped.contains(&feed.serves.take));
        self.let_go(&book, pairs).await?;
        self.withdraw(jobs).await?;
        self.reaches.retain(|(grant, job), _| match job {
            Some(job) => jobs.iter().any(|due| due.id == *job),
            None => pairs.iter().any(|state| state.grant == *grant),
        });
        let mut of_grant: HashMap<GrantId, Vec<Job>> = HashMap::new();
        jobs.iter()
            .for_each(|job| of_grant.entry(job.grant).or_default().push(*job));
        for state in pairs {
            self.tell(&book, state).await?;
            // Where the store is ahead of the book, the swap is about to come, and tells this pump of it.
            if book.verdict(state.pair, state.grant) == Verdict::InForce {
                let due = of_grant.get(&state.grant).map(Vec::as_slice).unwrap_or_default();
                self.take_up(state).reload(due, settled);
                // Before there is anything to hand over, so that the first of it need not wait.
                self.reach(state.grant, None)
                    .ask(0, state.cursor, &self.committer);
            }
        }
        Ok(())
    }

    /// Lets go of grants that are not in force. One that only waits (a side is suspended) has not ended.
    async fn let_go(&mut self, book: &Book, pairs: &[PairState]) -> Result<(), ()> {
        let kept: HashSet<Grant> = pairs.iter().map(|p| (p.pair.source, p.grant)).collect();
        let goes = |feed: &PairFeed| {
            let grant = (feed.serves.pair.source, feed.serves.grant);
            !kept.contains(&grant) || book.verdict(feed.serves.pair, feed.serves.grant) != Verdict::InForce
        };
        let gone: Vec<Grant> = self
            .feeds
            .iter()
            .filter(|(_, feed)| goes(feed))
            .map(|(g, _)| *g)
            .collect();
        for grant in gone {
            self.feeds.remove(&grant);
        }
        // Also of those of which the feed had to drop something, and of those that were only told of.
        let ended: Vec<Grant> = self
            .told
            .keys()
            .filter(|grant| !kept.contains(grant))
            .copied()
            .collect();
        for grant in ended {
            self.told.remove(&grant);
            self.fence_off(grant).await?;
        }
        Ok(())
    }

    async fn withdraw(&mut self, jobs: &[Job]) -> Result<(), ()> {
        let withdrawals = jobs.iter().filter_map(|job| match job.kind {
            JobKind::Withdraw { patient } => Some((job.id, job, patient)),
            _ => None,
        });
        let due: BTreeMap<JobId, (&Job, Option<NhsNumber>)> = withdrawals
            .map(|(id, job, patient)| (id, (job, patient)))
            .collect();
        // What is over in the store never comes back.
        self.withdrawn.retain(|id| due.contains_key(id));
        let grants: HashSet<Grant> = due
            .values()
            .map(|(job, _)| (job.pair.source, job.grant))
            .collect();
        self.fenced.retain(|grant| grants.contains(grant));
        for (id, (job, patient)) in due {
            if self.withdrawn.insert(id) {
                self.fence_off((job.pair.source, job.grant)).await?;
                let withdraw = Withdraw {
                    pair: job.pair,
                    grant: job.grant,
                    job: id,
                    patient,
                };
                self.send(Candidate::Withdraw(withdraw)).await?;
            }
        }
        Ok(())
    }

    /// Marks the end of a grant, once.
    async fn fence_off(&mut self, grant: Grant) -> Result<(), ()> {
        if !self.fenced.insert(grant) {
            return Ok(());
        }
        let pair = Pair {
            source: grant.0,
            recipient: self.subscriber.recipient,
        };
        self.send(Candidate::Fenced { pair, grant: grant.1 }).await
    }

    /// Tells how a grant stands, where the recipient was told otherwise.
    async fn tell(&mut self, book: &Book, state: &PairState) -> Result<(), ()> {
        let (pair, grant) = (state.pair, state.grant);
        if book.verdict(pair, grant) == Verdict::Ended || book.standing(pair.recipient) != Standing::Enrolled
        {
            return Ok(());
        }
        let stands = stands(book, pair, grant, state.patient);
        let before = self.told.insert((pair.source, grant), stands.clone());
        // One that is not narrowed in any way tells of itself by what it carries.
        if before.as_ref() == Some(&stands) || (before.is_none() && is_plain(&stands)) {
            return Ok(());
        }
        self.send(Candidate::Stands { pair, grant, stands }).await
    }

    fn take_up(&mut self, state: &PairState) -> &mut PairFeed {
        self.feeds
            .entry((state.pair.source, state.grant))
            .or_insert_with(|| {
                let tail = self.committer.tails().of(state.pair.source);
                tail.watch(&self.subscriber.wake);
                let counters = self.sources.fence.counters.of(state.pair);
                if state.patient.is_none() {
                    counters.cursor(state.cursor);
                }
                self.takes += 1;
                let serves = Serves {
                    pair: state.pair,
                    grant: state.grant,
                    take: Take(self.takes),
                    counters,
                };
                PairFeed::new(state, serves, tail)
            })
    }

    async fn send(&self, candidate: Candidate) -> Result<(), ()> {
        self.out.send(Box::new(candidate)).await.map_err(|_| ())
    }
}
