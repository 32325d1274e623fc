//! What is entered of a grant's messages together with its end.
//!
//! Detects (A1), each seen with it left out: what is on its way and is not entered when its grant ends; what was received
//! and is not committed by then; grants that stay closed where their end was not kept; entries of other grants' messages;
//! a new inbox that begins before what went to the one before is entered.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    audit::{Runs, decode_leaf},
    ids::StoreId,
    v1::{PerhapsCause, audit_leaf::Event},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ledger::{Effect, Ledger},
    left_out::LeftOut,
    subscriber::Subscriber,
    told::OnItsWay,
    walk::{Wire, data_path, make_deployment},
};
use crate::{
    audit::Stream,
    clock::ManualClock,
    consent::{GrantId, Pair, Side},
    delivery::{Delivery, Revoker as _},
    store::{
        AuditStore as _, HalfChange, HalfOutcome, Hello, SqliteStore, Store as _, StoreError,
        conformance::kit::{HILL, join},
    },
};

const NOW: i64 = 1_000;

/// For what would not wait to be over.
const LONG_ENOUGH: Duration = Duration::from_millis(200);

fn pair() -> Pair {
    Pair {
        source: HILL.parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

fn stream(grant: GrantId) -> Stream {
    Stream {
        pair: pair(),
        grant,
        job: None,
    }
}

/// A grant in force, and a subscription under which something is handed over. Nothing commits what is received.
struct Rig {
    delivery: Delivery,
    store: Arc<SqliteStore>,
    subscriber: Arc<Subscriber>,
    grant: GrantId,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_deployment(dir.path()).await;
        let store = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
        let grant = join(&*store, pair()).await;
        let clock = Arc::new(ManualClock::at(NOW));
        let made = data_path(&store, clock, Duration::from_millis(1)).await;
        let delivery = Delivery::start(made.parts).await.unwrap();
        let recipient = pair().recipient;
        let subscriber = Arc::new(Subscriber {
            recipient,
            store: StoreId::from_random([1; 16]),
            ledger: Ledger::new(recipient, 1, 100),
            connection: Arc::new(Wire::default()),
            wake: Arc::new(Notify::new()),
            stale: false.into(),
            waits_for_swap: false.into(),
            dropped: parking_lot::Mutex::default(),
            over: CancellationToken::new(),
        });
        delivery.inner.fence.list(&subscriber);
        Self {
            delivery,
            store,
            subscriber,
            grant,
            _dir: dir,
        }
    }

    /// Hands over one message with these versions.
    fn hand(&self, grant: GrantId, first: u64, last: u64) {
        let told = OnItsWay {
            stream: stream(grant),
            versions: Runs::of(first, last),
            removals: Runs::default(),
            left_out: LeftOut::default(),
            whole: true,
        };
        let ledger = &self.subscriber.ledger;
        ledger.hand_telling(10, Effect::None, None, Some(Box::new(told)));
    }

    /// The recipient has the first messages, up to this one.
    fn receive(&self, number: u64) {
        let committer = &self.delivery.inner.committer;
        let receipt = |moves| committer.offer_moves(moves);
        self.subscriber.ledger.receipt(number, number, receipt).unwrap();
    }

    async fn turn_off(&self) {
        let change = HalfChange {
            pair: pair(),
            side: Side::ShareOut,
            on: false,
            by: "a test".to_owned(),
            reason: String::new(),
            scope: None,
            at: NOW,
        };
        self.delivery.set_half(change, Vec::new()).await.unwrap();
    }

    /// What is entered as perhaps received: grant, runs and why.
    async fn perhaps(&self) -> Vec<(u64, Vec<u64>, PerhapsCause)> {
        let rows = self.store.audit_entries(0, usize::MAX).await.unwrap();
        let events = rows
            .iter()
            .filter_map(|row| decode_leaf(&row.entry.leaf).unwrap().event);
        let perhaps = events.filter_map(|event| match event {
            Event::PerhapsDisclosed(e) => Some((e.grant, e.runs.clone(), e.cause())),
            _ => None,
        });
        perhaps.collect()
    }

    fn is_in_force(&self) -> bool {
        self.delivery.inner.fence.book().terms(pair()).grant == Some(self.grant)
    }
}

#[tokio::test]
async fn what_no_receipt_is_committed_of_is_entered_with_the_end() {
    let rig = Rig::new().await;
    let other = GrantId(rig.grant.0 + 1);
    rig.hand(rig.grant, 1, 3);
    rig.hand(rig.grant, 4, 5);
    rig.hand(other, 6, 9);
    rig.receive(1);
    rig.turn_off().await;
    let entered = [(rig.grant.0, Runs::of(1, 5).to_wire(), PerhapsCause::GrantEnded)];
    assert_eq!(rig.perhaps().await, entered);
}

#[tokio::test]
async fn of_a_grant_that_ends_idle_nothing_is_entered() {
    let rig = Rig::new().await;
    rig.turn_off().await;
    assert_eq!(rig.perhaps().await, []);
}

/// The store forgets with it how far the streams went.
#[tokio::test]
async fn a_new_inbox_waits_until_what_went_to_the_one_before_is_entered() {
    let rig = Rig::new().await;
    rig.hand(rig.grant, 1, 3);
    let hello = Hello {
        recipient: pair().recipient,
        store: rig.subscriber.store,
        session: 0,
        durable: 0,
    };
    let opening = rig.delivery.subscribe(hello, 1, Arc::new(Wire::default()));
    let opened = tokio::time::timeout(LONG_ENOUGH, opening).await;
    assert!(opened.is_err(), "nothing commits here");
    let of_another = |stream: &Stream| stream.pair.recipient != pair().recipient;
    rig.delivery.inner.committer.entered(of_another).await.unwrap();
}

#[tokio::test]
async fn a_grant_is_in_force_again_where_its_end_was_not_kept() {
    let rig = Rig::new().await;
    let inner = &rig.delivery.inner;
    drop(inner.begin().await.unwrap());
    inner.not_kept(&StoreError::Full, []);
    assert!(!inner.must_be_sure(), "nothing was closed");
    let ended = HalfOutcome {
        agreement: rig.store.agreements(None).await.unwrap().remove(0),
        ended: Some((rig.grant, 0)),
        emergencies_ended: Vec::new(),
        started: None,
    };
    inner.ending(NOW).of_outcomes(&[ended]).unwrap();
    assert!(!rig.is_in_force());
    inner.not_kept(&StoreError::Full, []);
    inner.be_sure().await.unwrap();
    assert!(rig.is_in_force());
}
