//! The handover of a batch to its recipients: from the moment at which it is durable until each of them has it and
//! has said so. For each recipient: the pump chooses, the feed asks the gate under the fence's guard and enters the
//! message in the ledger, and the receipt takes it out again and moves the cursor.
//!
//! Pumps and feeds run on the thread that is measured. The committer runs on a thread of its own, as it has to in the
//! daemon: it takes the cursors and what is to be entered of disclosures, twenty times a second. The batches are not
//! in the log: a feed that is at the head reads them from memory. There is no transport: what a message costs to
//! encode, to encrypt and to send is not in these figures.

use std::{sync::Arc, thread, time::Duration};

use divan::{Bencher, counter::ItemsCount};
use futures::{StreamExt as _, future::BoxFuture};
use handfast_daemon::{
    audit::Scribe,
    clock::ManualClock,
    consent::{Pair, Side},
    delivery::{Connection, Delivery, DeliveryParts, Feed, Opened, Subscription},
    ingest::{CommitterTask, Tail, committer, projector},
    random::OsRandom,
    store::{Hello, PatientStore as _, SqliteStore, Store, With, WordChange},
};
use handfast_proto::{
    amendment::Batch,
    ids::{NhsNumber, OdsCode, StoreId},
    limits::{MAX_BATCH_AMENDMENTS, MAX_CREDIT_BYTES},
    v1::{ConsentManner, PatientWordValue, subscribe_response::Message},
};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

use crate::kit::{self, Outbox};

/// Patients with a word at the source and at each recipient.
const PATIENTS: usize = 1_000;

/// How long a change would wait for a recipient; there is none.
const DRAIN: Duration = Duration::from_secs(1);

/// A recipient's connection, of which nothing is asked here.
#[derive(Debug)]
struct NoConnection;

impl Connection for NoConnection {
    fn cut(&self) {}

    fn closed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct Recipient {
    feed: Box<Feed>,
    subscription: Subscription,
}

impl Recipient {
    /// Waits for the next message and receipts it; whether it held amendments.
    async fn takes(&mut self) -> bool {
        let message = self.feed.next().await.unwrap();
        self.subscription.receipt(message.number, message.number).unwrap();
        matches!(message.message, Some(Message::Deliver(_)))
    }
}

/// A delivery side with its recipients.
struct Rig {
    recipients: Vec<Recipient>,
    tail: Arc<Tail>,
    runtime: Runtime,
    stop: CancellationToken,
    committing: Option<thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Rig {
    fn start(recipients: usize, patients: &[NhsNumber]) -> Self {
        let dir = kit::folder();
        let runtime = single();
        let (delivery, tail, task) = runtime.block_on(async {
            let store = kit::store(dir.path(), recipients + 1).await;
            for n in 1..=recipients {
                kit::join(&store, pair(n)).await;
            }
            words(&store, recipients, patients).await;
            delivery(Arc::new(store)).await
        });
        let stop = CancellationToken::new();
        let until = stop.clone();
        let committing = thread::spawn(move || single().block_on(task.run(until)));
        let recipients = (1..=recipients).map(|n| runtime.block_on(subscribed(&delivery, n)));
        Self {
            recipients: recipients.collect(),
            tail,
            runtime,
            stop,
            committing: Some(committing),
            _dir: dir,
        }
    }

    /// Hands a batch to every recipient.
    fn hand_over(&mut self, batch: Arc<Batch>) {
        self.tail.push([batch]);
        self.runtime.block_on(async {
            for recipient in &mut self.recipients {
                while !recipient.takes().await {}
            }
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(committing) = self.committing.take() {
            committing.join().unwrap();
        }
    }
}

fn single() -> Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn source() -> OdsCode {
    kit::unit(0)
}

/// From the source to a recipient, of which the first is 1.
fn pair(n: usize) -> Pair {
    Pair {
        source: source(),
        recipient: kit::unit(n),
    }
}

/// Records what the patients say to the source about sharing out, and that all of them have said yes to every
/// recipient.
async fn words(store: &SqliteStore, recipients: usize, patients: &[NhsNumber]) {
    let (no, yes) = kit::by_word(patients);
    let change = |unit: usize, side: Side, patient: NhsNumber, word: PatientWordValue| WordChange {
        unit: kit::unit(unit),
        patient,
        side,
        word,
        said_at: kit::T0,
        manner: ConsentManner::Written,
        taken_by: String::new(),
        by: "administrator".to_owned(),
        at: kit::T0,
    };
    let said_no = no
        .iter()
        .map(|p| change(0, Side::ShareOut, *p, PatientWordValue::No));
    let said_yes = yes
        .iter()
        .map(|p| change(0, Side::ShareOut, *p, PatientWordValue::Yes));
    let mut all: Vec<WordChange> = said_no.chain(said_yes).collect();
    for n in 1..=recipients {
        all.extend(
            patients
                .iter()
                .map(|p| change(n, Side::ShareIn, *p, PatientWordValue::Yes)),
        );
    }
    store.record_words(&all, &With::nothing()).await.unwrap();
}

/// The delivery side over a store, the source's tail, and who commits.
async fn delivery(store: Arc<dyn Store>) -> (Delivery, Arc<Tail>, CommitterTask) {
    let clock = Arc::new(ManualClock::at(kit::T0));
    let scribe = Scribe::new(Arc::new(OsRandom));
    let committed = Arc::default();
    let made = committer(
        store.clone(),
        clock.clone(),
        scribe.clone(),
        Arc::clone(&committed),
    );
    let (committer, committing) = made.await.unwrap();
    let (projector, _nothing_to_project) = projector(committer.clone(), store.clone(), committed);
    let tail = committer.tails().of(source());
    let parts = DeliveryParts {
        store,
        clock,
        scribe,
        committer,
        projector,
        publishers: Arc::default(),
        changes: Arc::default(),
        drain: DRAIN,
    };
    (Delivery::start(parts).await.unwrap(), tail, committing)
}

/// A recipient with its subscription open.
async fn subscribed(delivery: &Delivery, n: usize) -> Recipient {
    let hello = Hello {
        recipient: kit::unit(n),
        store: StoreId::from_random([u8::try_from(n).unwrap(); 16]),
        session: 0,
        durable: 0,
    };
    let opened = delivery.subscribe(hello, MAX_CREDIT_BYTES, Arc::new(NoConnection));
    let Opened::Live(feed, subscription) = opened.await.unwrap() else {
        unreachable!("a new inbox is accepted");
    };
    Recipient { feed, subscription }
}

fn a_batch(bencher: Bencher<'_, '_>, recipients: usize, patients: &[NhsNumber], about: &[NhsNumber]) {
    let mut rig = Rig::start(recipients, patients);
    let mut outbox = Outbox::new(source(), about);
    // The first takes what a new subscription begins with along.
    rig.hand_over(outbox.batch());
    bencher
        .counter(ItemsCount::new(recipients * MAX_BATCH_AMENDMENTS))
        .with_inputs(|| outbox.batch())
        .bench_local_values(|batch| rig.hand_over(batch));
}

/// Everything goes: the batch as it came.
#[divan::bench(args = [1, 4, 16])]
fn all_pass(bencher: Bencher<'_, '_>, recipients: usize) {
    let patients = kit::patients(PATIENTS);
    a_batch(bencher, recipients, &patients, &kit::by_word(&patients).1);
}

/// One patient in ten has said no: the batch is cut for each recipient.
#[divan::bench(args = [1, 4, 16])]
fn one_in_ten_dissents(bencher: Bencher<'_, '_>, recipients: usize) {
    let patients = kit::patients(PATIENTS);
    a_batch(bencher, recipients, &patients, &patients);
}
