//! When the projector works, and when it rests.

use std::{sync::Arc, time::Duration};

use handfast_proto::{chain::Chain, ids::StoreId};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    committer::{Committer, committer},
    projector::{Projector, projector},
    session::{Publishers, Session, tests::batch},
};
use crate::{
    audit::Scribe,
    clock::ManualClock,
    random::OsRandom,
    store::{
        LogBatch,
        fake::{FakeStore, PROJECTING},
    },
};

struct Rig {
    committer: Committer,
    session: Arc<Session>,
    projector: Projector,
    stop: CancellationToken,
}

impl Rig {
    async fn new() -> Self {
        let store = Arc::new(FakeStore::default());
        let committed = Arc::new(Notify::new());
        let scribe = Scribe::new(Arc::new(OsRandom));
        let clock = Arc::new(ManualClock::at(1));
        let (committer, commits) = committer(store.clone(), clock, scribe, Arc::clone(&committed))
            .await
            .unwrap();
        let (projector, projects) = projector(committer.clone(), store, committed);
        let stop = CancellationToken::new();
        tokio::spawn(commits.run(stop.clone()));
        tokio::spawn(projects.run(stop.clone()));
        let unit = "Z00101".parse().unwrap();
        let session = Publishers::default().open(unit, StoreId::from_random([1; 16]));
        Self {
            committer,
            session: session.unwrap(),
            projector,
            stop,
        }
    }

    /// Commits one amendment.
    async fn record(&self, seq: u8) {
        let chain = |n| Chain::start(StoreId::from_random([n; 16]));
        let log = LogBatch {
            source: self.session.source,
            store: StoreId::from_random([1; 16]),
            batch: batch(u64::from(seq), 1, 10),
            chain_before: Some(chain(seq)),
            chain_after: chain(seq + 1),
        };
        self.committer.offer(&self.session, log).await.unwrap();
        let mut progress = self.session.watch();
        progress.wait_for(|p| p.acked == u64::from(seq)).await.unwrap();
    }

    /// How long until it is projected.
    async fn projected(&self, seq: u64) -> Duration {
        let begun = Instant::now();
        self.projector.caught_up(self.session.source, seq).await;
        begun.elapsed()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn the_projector_rests_longer_than_it_works_unless_somebody_waits() {
    let rig = Rig::new().await;
    rig.record(1).await;
    tokio::time::sleep(2 * PROJECTING).await;
    rig.record(2).await;
    tokio::time::sleep(PROJECTING).await;
    // It rests still; who waits ends that, and waits for the round alone.
    assert_eq!(rig.projected(1).await, Duration::ZERO);
    let round = rig.projected(2).await;
    assert!((PROJECTING..2 * PROJECTING).contains(&round), "{round:?}");
    rig.record(3).await;
    tokio::time::sleep(6 * PROJECTING).await;
    assert_eq!(
        rig.projected(3).await,
        Duration::ZERO,
        "by itself, some time later"
    );
}
