//! The committer and what units state: who carries it out is asked first, swaps before any feed sees what
//! follows, and the sender hears of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures::FutureExt as _;
use handfast_proto::{
    amendment::Batch,
    chain::Chain,
    ids::{NhsNumber, OdsCode, StoreId},
    statement::Statement,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    committer::{Committer, NotOffered, committer},
    session::{Notice, OutboxHello, Publishers, Session, SessionEnd, tests::batch},
    statements::{Prepared, Settling, Statements, Stating, tests::batch_of_statement},
};
use crate::{
    audit::Scribe,
    clock::ManualClock,
    random::OsRandom,
    store::{
        JoinedNumbers, LogBatch, NewEntry, Stated, StoreError, With, WordOutcome,
        fake::{FakeStore, Fault},
    },
};

const FORMER: u64 = 9_990_000_018;
const CURRENT: u64 = 9_990_000_026;

fn number(n: u64) -> NhsNumber {
    NhsNumber::from_u64(n).unwrap()
}

fn source() -> OdsCode {
    "Z00101".parse().unwrap()
}

fn chain(n: u64) -> Chain {
    Chain::start(StoreId::from_random([u8::try_from(n).unwrap(); 16]))
}

fn statement(seq: u64) -> Arc<Batch> {
    let moved = Statement::NumberMoved {
        former: number(FORMER),
        current: number(CURRENT),
    };
    batch_of_statement(seq, number(CURRENT), moved.encode())
}

fn log(batch: Arc<Batch>) -> LogBatch {
    LogBatch {
        source: source(),
        store: StoreId::from_random([1; 16]),
        chain_before: Some(chain(batch.first_seq() - 1)),
        chain_after: chain(batch.last_seq()),
        batch,
    }
}

/// Keeps what it is asked, and where the tail stood when it swapped.
#[derive(Default)]
struct Keeper {
    refuses: AtomicBool,
    /// What they ended may be in flight still.
    pending: Arc<AtomicBool>,
    committer: Mutex<Option<Committer>>,
    said: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Statements for Keeper {
    async fn prepare(&self, statements: &[Stating]) -> Result<Box<dyn Prepared>, StoreError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        let seqs: Vec<u64> = statements.iter().map(|stating| stating.seq).collect();
        Ok(Box::new(Ready {
            seqs,
            pending: Arc::clone(&self.pending),
            committer: self.committer.lock().clone().unwrap(),
            said: Arc::clone(&self.said),
        }))
    }
}

struct Ready {
    seqs: Vec<u64>,
    pending: Arc<AtomicBool>,
    committer: Committer,
    said: Arc<Mutex<Vec<String>>>,
}

impl Prepared for Ready {
    fn stated(&self) -> Vec<Stated> {
        let joined = JoinedNumbers {
            unit: source(),
            former: number(FORMER),
            current: number(CURRENT),
        };
        self.seqs.iter().map(|_| Stated::Joined(joined)).collect()
    }

    fn with(&self) -> With {
        With::audit(Vec::<NewEntry>::new())
    }

    fn committed(self: Box<Self>, _: &[WordOutcome]) -> Settling {
        let tail = self.committer.tails().of(source()).head();
        self.said
            .lock()
            .push(format!("{:?} with the tail at {tail}", self.seqs));
        let pending = self.pending;
        Box::new(move || std::future::ready(pending.load(Ordering::Relaxed)).boxed())
    }

    fn failed(self: Box<Self>, error: &StoreError) {
        self.said.lock().push(format!("{:?} failed: {error}", self.seqs));
    }
}

fn scribe() -> Scribe {
    Scribe::new(Arc::new(OsRandom))
}

struct Rig {
    committer: Committer,
    publishers: Publishers,
    store: Arc<FakeStore>,
    keeper: Arc<Keeper>,
}

async fn rig() -> Rig {
    let store = Arc::new(FakeStore::default());
    let (committer, task) = committer(
        store.clone(),
        Arc::new(ManualClock::at(1)),
        scribe(),
        Arc::default(),
    )
    .await
    .unwrap();
    let keeper = Arc::new(Keeper::default());
    *keeper.committer.lock() = Some(committer.clone());
    tokio::spawn(
        task.with_statements(Arc::clone(&keeper) as _)
            .run(CancellationToken::new()),
    );
    Rig {
        committer,
        publishers: Publishers::default(),
        store,
        keeper,
    }
}

impl Rig {
    fn session(&self) -> Arc<Session> {
        self.publishers
            .open(source(), StoreId::from_random([1; 16]))
            .unwrap()
    }
}

#[tokio::test]
async fn a_statement_is_in_the_book_before_anything_of_its_commit_is_in_the_tail() {
    let rig = rig().await;
    let session = rig.session();
    let mut notices = session.notices().unwrap();
    for sent in [batch(1, 3, 10), statement(4), batch(5, 2, 10)] {
        rig.committer.offer(&session, log(sent)).await.unwrap();
    }
    session.watch().wait_for(|p| p.acked == 6).await.unwrap();
    let Some(Notice::InForce {
        seq: 4,
        pending: false,
    }) = notices.recv().await
    else {
        panic!("the sender hears that it is in force");
    };
    let said = rig.keeper.said.lock().clone();
    assert_eq!(said.len(), 1);
    assert!(
        said[0] == "[4] with the tail at 0" || said[0] == "[4] with the tail at 3",
        "{said:?}: nothing of the statement's commit, nor what follows it"
    );
}

/// Detects a statement that came into force when its session was gone, of which its agent never hears; and one that a
/// welcome calls in force too soon.
#[tokio::test(start_paused = true)]
async fn what_comes_into_force_later_is_told_to_whoever_is_there_then() {
    let rig = rig().await;
    let in_force = |session: &Arc<Session>| {
        let head = rig.committer.heads().of(source());
        let hello = OutboxHello {
            store: session.store(),
            acked_seq: head.seq,
            acked_chain: head.chain,
        };
        rig.publishers.greet(session, &hello, head).in_force_seq
    };
    rig.keeper.pending.store(true, Ordering::Relaxed);
    let session = rig.session();
    let mut notices = session.notices().unwrap();
    for sent in [batch(1, 3, 10), statement(4), batch(5, 2, 10)] {
        rig.committer.offer(&session, log(sent)).await.unwrap();
    }
    session.watch().wait_for(|p| p.acked == 6).await.unwrap();
    assert!(matches!(
        notices.recv().await,
        Some(Notice::InForce {
            seq: 4,
            pending: true
        })
    ));
    assert_eq!(in_force(&session), 3);
    rig.publishers.close(&session);
    drop((session, notices));
    let again = rig.session();
    let mut notices = again.notices().unwrap();
    assert_eq!(in_force(&again), 3);
    rig.keeper.pending.store(false, Ordering::Relaxed);
    let last = loop {
        match notices.recv().await {
            Some(Notice::InForce { pending: true, .. }) => {}
            other => break other,
        }
    };
    assert!(matches!(
        last,
        Some(Notice::InForce {
            seq: 4,
            pending: false
        })
    ));
    assert_eq!(in_force(&again), 6);
}

#[tokio::test(start_paused = true)]
async fn where_a_statement_cannot_be_carried_out_its_session_ends_and_others_go_on() {
    let rig = rig().await;
    rig.keeper.refuses.store(true, Ordering::Relaxed);
    let session = rig.session();
    for sent in [batch(1, 3, 10), statement(4), batch(5, 2, 10)] {
        rig.committer.offer(&session, log(sent)).await.unwrap();
    }
    let mut watch = session.watch();
    let end = watch.wait_for(|p| p.end.is_some()).await.unwrap().clone();
    assert!(matches!(end.end, Some(SessionEnd::NotCommitted(_))));
    rig.keeper.refuses.store(false, Ordering::Relaxed);
    let again = rig.session();
    let head = rig.committer.heads().of(source()).seq;
    assert!(head < 4, "neither the statement nor what follows it");
    let rest = [batch(1, 3, 10), statement(4), batch(5, 2, 10)];
    for sent in rest.into_iter().filter(|sent| sent.first_seq() > head) {
        rig.committer.offer(&again, log(sent)).await.unwrap();
    }
    again.watch().wait_for(|p| p.acked == 6).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_told_to_who_was_to_carry_it_out() {
    let rig = rig().await;
    let session = rig.session();
    rig.store.fail_next(Fault::Full);
    rig.committer.offer(&session, log(statement(1))).await.unwrap();
    session.watch().wait_for(|p| p.end.is_some()).await.unwrap();
    assert!(rig.keeper.said.lock()[0].starts_with("[1] failed"));
}

#[tokio::test]
async fn a_broken_statement_is_not_queued() {
    let rig = rig().await;
    let session = rig.session();
    let broken = batch_of_statement(1, number(CURRENT), vec![0xff; 4]);
    let refused = rig.committer.offer(&session, log(broken)).await.unwrap_err();
    assert!(matches!(refused, NotOffered::Statement(bad) if bad.seq == 1));
    assert!(refused.to_string().contains("seq 1"), "{refused}");
    assert!(rig.store.appended().is_empty());
}
