//! What is asked of a source again is not forgotten, whatever is in the way.

use std::{path::Path, sync::Arc};

use futures::FutureExt as _;
use handfast_proto::{
    amendment::Batch,
    chain::Chain,
    ids::StoreId,
    v1::{ConsentManner, PatientWordValue},
};
use tokio::sync::mpsc;

use super::*;
use crate::{
    clock::ManualClock,
    consent::{GrantId, Pair, Side},
    delivery::{
        Revoker as _,
        candidate::{Candidate, Take},
        job_feed::Serves,
        pair_feed::{Next, PairFeed, Sources},
        walk::{data_path, make_deployment},
    },
    ingest::{Caseloads as _, ProjectorTask, Run, Session, tests::batch},
    store::{
        AppendGroup, LogBatch, PairState, PatientStore as _, RecordVersion, SqliteStore, Store as _,
        WordChange,
        conformance::kit::{HILL, Outbox, group},
        is_erased,
    },
};

/// Records of the patient.
const RECORDS: usize = 3;

/// A source that is connected, of whose one patient everything is erased although nobody dissents any more.
struct Erased {
    source: OdsCode,
    patient: NhsNumber,
    delivery: Delivery,
    store: Arc<SqliteStore>,
    projecting: Option<ProjectorTask>,
    notices: mpsc::Receiver<Notice>,
    _session: Arc<Session>,
}

async fn erased(dir: &Path) -> Erased {
    make_deployment(dir).await;
    let store = Arc::new(SqliteStore::open(dir).await.unwrap());
    let source: OdsCode = "Z00101".parse().unwrap();
    let of = StoreId::from_random([1; 16]);
    let logged = LogBatch {
        source,
        store: of,
        batch: batch(1, RECORDS as u64, 10),
        chain_before: None,
        chain_after: Chain::start(of),
    };
    let group = AppendGroup {
        batches: vec![Arc::new(logged)],
        ..AppendGroup::default()
    };
    store.append(&group).await.unwrap();
    let patient = batch(1, 1, 1).entry(0).subject.unwrap().patient;
    store
        .note_erasures(source, &[patient], &[], RECORDS as u64)
        .await
        .unwrap();
    let clock = Arc::new(ManualClock::at(1_000));
    let made = data_path(&store, clock, Duration::from_millis(1)).await;
    let publishers = Arc::clone(&made.parts.publishers);
    let delivery = Delivery::start(made.parts).await.unwrap();
    let session = publishers.open(source, of).unwrap();
    let notices = session.notices().unwrap();
    delivery.connected(source);
    Erased {
        source,
        patient,
        delivery,
        store,
        projecting: Some(made.projecting),
        notices,
        _session: session,
    }
}

impl Erased {
    /// What is to be asked for still.
    fn due(&self) -> Vec<(OdsCode, Option<NhsNumber>)> {
        let due = self.delivery.inner.erasing.due.lock();
        due.ask.iter().copied().collect()
    }

    /// Whether the keeper would look again at once.
    fn is_woken(&self) -> bool {
        let woken = self.delivery.inner.erasing.wake.notified();
        woken.now_or_never().is_some()
    }

    /// How many records were asked for.
    fn asked(&mut self) -> usize {
        match self.notices.try_recv() {
            Ok(Notice::Resend(records)) => records.len(),
            _ => 0,
        }
    }

    fn project(&mut self) -> CancellationToken {
        let stop = CancellationToken::new();
        if let Some(projecting) = self.projecting.take() {
            tokio::spawn(projecting.run(stop.clone()));
        }
        stop
    }
}

/// Fails where what cannot be asked for yet is left to the next look.
#[tokio::test]
async fn what_is_not_projected_yet_is_asked_for_as_soon_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut erased = erased(dir.path()).await;
    assert!(erased.is_woken(), "by the connection");
    erased.delivery.erase().await.unwrap();
    assert_eq!((erased.asked(), erased.due()), (0, vec![(erased.source, None)]));
    assert!(erased.is_woken(), "it is not left to the next look");
    let _stop = erased.project().drop_guard();
    erased.delivery.erase().await.unwrap();
    assert_eq!((erased.asked(), erased.due()), (RECORDS, vec![]));
}

/// A feed that has read three batches of the log and sent one of them; the newest is in memory too.
struct Behind {
    store: Arc<SqliteStore>,
    delivery: Delivery,
    feed: PairFeed,
    _projecting: ProjectorTask,
}

async fn behind(dir: &Path) -> Behind {
    make_deployment(dir).await;
    let store = Arc::new(SqliteStore::open(dir).await.unwrap());
    let pair = Pair {
        source: HILL.parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    };
    let mut outbox = Outbox::new(HILL);
    let batches = [outbox.batch(2, 100), outbox.batch(2, 100), outbox.batch(2, 100)];
    store.append(&group(batches.to_vec())).await.unwrap();
    let made = data_path(&store, Arc::new(ManualClock::at(1_000)), Duration::from_millis(1)).await;
    let delivery = Delivery::start(made.parts).await.unwrap();
    let tail = delivery.inner.committer.tails().of(pair.source);
    tail.push([Arc::clone(&batches[2].batch)]);
    let state = PairState {
        pair,
        grant: GrantId(1),
        patient: None,
        cursor: 0,
    };
    let serves = Serves {
        pair,
        grant: GrantId(1),
        take: Take(1),
        counters: delivery.inner.fence.counters.of(pair),
    };
    let mut feed = PairFeed::new(&state, serves, tail);
    let first = next(&mut feed, &delivery.inner.sources).await;
    assert!(!is_erased(&first.payload(0)));
    let patient = first.entry(0).subject.unwrap().patient;
    store
        .note_erasures(pair.source, &[patient], &[], 6)
        .await
        .unwrap();
    Behind {
        store,
        delivery,
        feed,
        _projecting: made.projecting,
    }
}

impl Behind {
    /// Both batches that are left come without payloads.
    async fn sends_nothing_that_was_erased(mut self) {
        for _ in 0..2 {
            let batch = next(&mut self.feed, &self.delivery.inner.sources).await;
            assert!((0..2).all(|index| is_erased(&batch.payload(index))));
        }
    }
}

/// Fails where the newest batches stay in memory as they were, or what a feed has read of the log.
#[tokio::test]
async fn a_feed_that_is_behind_does_not_send_what_was_erased_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let behind = behind(dir.path()).await;
    behind.delivery.erase().await.unwrap();
    behind.sends_nothing_that_was_erased().await;
}

/// Fails where only an erasure that came to its end is let go of in memory: what the next try finds overwritten it
/// does not name.
#[tokio::test]
async fn a_feed_that_is_behind_does_not_send_what_was_erased_before_the_store_failed() {
    let dir = tempfile::tempdir().unwrap();
    let behind = behind(dir.path()).await;
    let ends = "CREATE TRIGGER full BEFORE UPDATE ON erased BEGIN SELECT RAISE(ABORT, 'no space'); END";
    behind.store.tampered(ends).await;
    assert!(behind.delivery.erase().await.is_err());
    behind.store.tampered("DROP TRIGGER full").await;
    behind.delivery.erase().await.unwrap();
    behind.sends_nothing_that_was_erased().await;
}

async fn next(feed: &mut PairFeed, sources: &Sources) -> Arc<Batch> {
    match feed.next(sources).await.unwrap() {
        Next::Send(Candidate::Batch(chosen)) => chosen.batch,
        _ => panic!("there is a batch"),
    }
}

/// Fails where an error ends the asking for good.
#[tokio::test]
async fn what_the_store_cannot_say_is_asked_for_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut erased = erased(dir.path()).await;
    let _stop = erased.project().drop_guard();
    let later = (erased.source, Some(erased.patient));
    erased.delivery.inner.erasing.ask(later.0, later.1);
    let unreadable = "INSERT INTO erased (source, patient, upto, done) VALUES ('Z00101', 1, 0, 0)";
    erased.store.tampered(unreadable).await;
    assert!(erased.delivery.erase().await.is_err());
    assert_eq!(
        (erased.asked(), erased.due()),
        (0, vec![(erased.source, None), later])
    );
    erased
        .store
        .tampered("DELETE FROM erased WHERE patient = 1")
        .await;
    erased.delivery.erase().await.unwrap();
    assert_eq!((erased.asked(), erased.due()), (RECORDS, vec![]));
}

fn no(unit: OdsCode, patient: NhsNumber) -> WordChange {
    WordChange {
        unit,
        patient,
        side: Side::ShareOut,
        word: PatientWordValue::No,
        said_at: 1,
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
        by: "a test".to_owned(),
        at: 1,
    }
}

/// Fails where changes of consent wait for a projection from which nothing in the book follows.
#[tokio::test]
async fn what_came_of_who_dissents_is_noted_without_holding_up_changes() {
    let dir = tempfile::tempdir().unwrap();
    let erased = erased(dir.path()).await;
    let (delivery, source, patient) = (&erased.delivery, erased.source, erased.patient);
    let said = vec![no(source, patient)];
    delivery.record_words(said, Vec::new()).await.unwrap();
    let mut run = Run {
        source,
        versions: Vec::new(),
        came: [patient].into(),
        went: BTreeSet::new(),
        marked: Vec::new(),
        through: RECORDS as u64,
    };
    for entry in batch(1, RECORDS as u64, 10).entries() {
        run.versions.push(RecordVersion {
            record: entry.record.clone(),
            seq: entry.seq,
            subject: entry.subject,
            retracted: false,
        });
    }
    let begins = delivery.before(&run).await.unwrap();
    let turn = delivery.inner.order.turn().now_or_never();
    assert!(turn.is_none(), "the patient comes onto the caseload");
    let projected = erased.store.project(source, &run.versions, run.through).await;
    projected.unwrap();
    begins.projected().await.unwrap();
    run.through += 1;
    let goes_on = delivery.before(&run).await.unwrap();
    let turn = delivery.inner.order.turn().now_or_never();
    assert!(turn.is_some(), "there is nothing to wait for");
    goes_on.projected().await.unwrap();
}

/// More than are noted at once.
#[tokio::test]
async fn everyone_who_says_no_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let erased = erased(dir.path()).await;
    let numbers = (9_990_100_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    let patients: BTreeSet<NhsNumber> = numbers.take(2 * NOTE_PATIENTS + 1).collect();
    let said = patients.iter().map(|patient| no(erased.source, *patient));
    let words = erased.delivery.record_words(said.collect(), Vec::new());
    words.await.unwrap();
    erased.delivery.erase().await.unwrap();
    let noted = erased.delivery.inner.noted(erased.source, &patients).await;
    assert_eq!(noted.unwrap(), patients);
}
