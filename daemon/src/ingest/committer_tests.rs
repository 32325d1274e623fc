//! The committer against a store that fails on demand.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Form},
    chain::Chain,
    ids::StoreId,
};
use tokio_util::sync::CancellationToken;

use super::{
    committer::{Committer, MAX_WAITING_RUNS, NotOffered, committer},
    moves::Moves,
    session::{
        MAX_UNCOMMITTED_BYTES, Publishers, Session, SessionEnd,
        tests::{amendment, batch},
    },
};
use crate::{
    audit::{Disclosures, Scribe, Stream},
    clock::ManualClock,
    consent::{GrantId, Pair, Reason},
    random::OsRandom,
    store::{
        LogBatch,
        fake::{FakeStore, Fault},
    },
};

fn log(first: u64, n: u64, before: u8, after: u8) -> LogBatch {
    let chain = |n| Chain::start(StoreId::from_random([n; 16]));
    LogBatch {
        source: "Z00101".parse().unwrap(),
        store: StoreId::from_random([1; 16]),
        batch: batch(first, n, 10),
        chain_before: Some(chain(before)),
        chain_after: chain(after),
    }
}

fn scribe() -> Scribe {
    Scribe::new(Arc::new(OsRandom))
}

struct Rig {
    committer: Committer,
    publishers: Publishers,
    store: Arc<FakeStore>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn rig() -> Rig {
    let store = Arc::new(FakeStore::default());
    let clock = Arc::new(ManualClock::at(1));
    let (committer, task) = committer(store.clone(), clock, scribe(), Arc::default())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(task.run(stop.clone()));
    Rig {
        committer,
        publishers: Publishers::default(),
        store,
        stop,
        task,
    }
}

impl Rig {
    fn session(&self) -> Arc<Session> {
        self.publishers
            .open("Z00101".parse().unwrap(), StoreId::from_random([1; 16]))
            .unwrap()
    }
}

#[tokio::test]
async fn what_is_committed_is_acknowledged_and_in_the_tail() {
    let rig = rig().await;
    let session = rig.session();
    rig.committer.offer(&session, log(1, 3, 0, 1)).await.unwrap();
    rig.committer.offer(&session, log(4, 2, 1, 2)).await.unwrap();
    session.watch().wait_for(|p| p.acked == 5).await.unwrap();
    assert_eq!(rig.store.appended(), [(1, 3), (4, 5)]);
    assert_eq!(rig.committer.tails().of(session.source).head(), 5);
    assert_eq!(rig.committer.heads().of(session.source).seq, 5);
    rig.stop.cancel();
    rig.task.await.unwrap();
}

/// Fails where what the log takes for an erased payload is confirmed, and goes to nobody.
#[tokio::test]
async fn a_payload_of_zeroes_alone_is_not_queued() {
    let rig = rig().await;
    let session = rig.session();
    let mut builder = BatchBuilder::new(1);
    builder.push(&amendment(1, 3));
    let zeroes = Amendment {
        payload: vec![0; 3].into(),
        ..amendment(2, 3)
    };
    builder.push(&zeroes);
    let made = builder.finish();
    let batch = Batch::parse(made.header, made.body, Form::Published).unwrap();
    let log = LogBatch {
        batch: Arc::new(batch),
        ..log(1, 1, 0, 1)
    };
    let refused = rig.committer.offer(&session, log).await.unwrap_err();
    assert_eq!(refused, NotOffered::Erased(2));
    assert!(rig.store.appended().is_empty());
}

#[tokio::test]
async fn a_batch_out_of_step_ends_its_session_and_a_repeat_is_acknowledged_again() {
    let rig = rig().await;
    let session = rig.session();
    rig.committer.offer(&session, log(1, 3, 0, 1)).await.unwrap();
    rig.committer.offer(&session, log(1, 3, 0, 1)).await.unwrap();
    rig.committer.offer(&session, log(5, 1, 1, 2)).await.unwrap();
    let mut watch = session.watch();
    let end = watch.wait_for(|p| p.end.is_some()).await.unwrap().clone();
    assert_eq!(end.end, Some(SessionEnd::OutOfStep(4)));
    assert_eq!(end.acked, 3);
    let again = rig.session();
    rig.committer.offer(&again, log(4, 1, 9, 2)).await.unwrap();
    again
        .watch()
        .wait_for(|p| p.end == Some(SessionEnd::OutOfStep(4)))
        .await
        .unwrap();
    assert_eq!(rig.store.appended(), [(1, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_acknowledges_nothing_and_keeps_the_moves() {
    let rig = rig().await;
    let session = rig.session();
    rig.store.fail_next(Fault::Full);
    rig.committer.offer(&session, log(1, 3, 0, 1)).await.unwrap();
    let mut watch = session.watch();
    let end = watch.wait_for(|p| p.end.is_some()).await.unwrap().clone();
    assert!(matches!(end.end, Some(SessionEnd::NotCommitted(_))));
    assert_eq!((end.acked, rig.store.appended().len()), (0, 0));
    let again = rig.session();
    rig.committer.offer(&again, log(1, 3, 0, 1)).await.unwrap();
    again.watch().wait_for(|p| p.acked == 3).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_read_back() {
    let rig = rig().await;
    let session = rig.session();
    rig.store.fail_next(Fault::UnknownButKept);
    rig.committer.offer(&session, log(1, 3, 0, 1)).await.unwrap();
    session.watch().wait_for(|p| p.end.is_some()).await.unwrap();
    let again = rig.session();
    rig.committer.offer(&again, log(1, 3, 0, 1)).await.unwrap();
    again.watch().wait_for(|p| p.acked == 3).await.unwrap();
    assert_eq!(rig.store.appended(), [(1, 3)], "kept once");
    assert_eq!(rig.committer.tails().of(session.source).head(), 3);
}

#[tokio::test]
async fn a_session_is_held_to_its_budget() {
    let store = Arc::new(FakeStore::default());
    let (committer, _task) = committer(store, Arc::new(ManualClock::at(1)), scribe(), Arc::default())
        .await
        .unwrap();
    let session = Publishers::default()
        .open("Z00101".parse().unwrap(), StoreId::from_random([1; 16]))
        .unwrap();
    let offered = AtomicUsize::new(0);
    let blocked = AtomicBool::new(true);
    let fill = async {
        for i in 0..1000 {
            let mut log = log(1 + i, 1, 0, 1);
            log.batch = batch(1 + i, 1, 100_000);
            committer.offer(&session, log).await.unwrap();
            offered.fetch_add(1, Ordering::Relaxed);
        }
        blocked.store(false, Ordering::Relaxed);
    };
    assert!(futures::FutureExt::now_or_never(Box::pin(fill)).is_none());
    assert!(blocked.load(Ordering::Relaxed));
    assert!(offered.load(Ordering::Relaxed) * 100_000 <= MAX_UNCOMMITTED_BYTES);
}

/// Fails where nothing holds a job up: then what a catch-up leaves out is all in memory while the disk is full.
#[tokio::test(start_paused = true)]
async fn there_is_no_room_for_more_while_too_much_waits_to_be_entered() {
    let rig = rig().await;
    rig.committer.has_room().await;
    rig.store.fail_next(Fault::Full);
    let stream = Stream {
        pair: Pair {
            source: "Z00101".parse().unwrap(),
            recipient: "Z00202".parse().unwrap(),
        },
        grant: GrantId(1),
        job: None,
    };
    let mut left_out = Disclosures::default();
    for n in 0..=MAX_WAITING_RUNS as u64 {
        left_out.withheld(stream, Reason::NotOnCaseload, 2 * n + 1, 2 * n + 1);
    }
    rig.committer.offer_moves(Moves::of_disclosures(left_out));
    let at_once = futures::FutureExt::now_or_never(Box::pin(rig.committer.has_room()));
    assert!(at_once.is_none());
    // It is tried again, and committed then.
    rig.committer.has_room().await;
}
