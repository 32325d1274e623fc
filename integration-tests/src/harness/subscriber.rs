//! A recipient that speaks `Sync.Subscribe` itself and keeps no store: it writes down every message, sends
//! receipts, and reads as fast, as slowly or as little as it is told.
//!
//! It models an inbox that commits at once: what it has read is durable, also across its reconnects.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        SubscribeHello, SubscribeReceipt, SubscribeRequest, SubscribeResponse, WithdrawalConfirmed,
        subscribe_request::Message, sync_client::SyncClient,
    },
};
use parking_lot::Mutex;
use tokio::{sync::mpsc, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    identity::Identity,
    journal::{Arrival, Journal, What},
    shared::SharedConnection,
    tls::Windows,
};

/// Messages towards the daemon that may wait for the transport.
const OUT_QUEUE_MESSAGES: usize = 256;
/// How long after a connection's end the next is tried.
const RECONNECT_AFTER: Duration = Duration::from_millis(30);

/// How a recipient reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as messages come.
    Fast,
    /// With a wait before each message.
    Slow(Duration),
    /// Not at all, until told otherwise. The transport still takes in what its windows allow.
    Stalled,
}

/// A recipient in a task of its own, which reconnects until it is dropped.
#[derive(Debug)]
pub struct Subscriber {
    journal: Arc<Mutex<Journal>>,
    pace: watch::Sender<Pace>,
    task: JoinHandle<()>,
}

struct Store {
    id: [u8; 16],
    session: u64,
    durable: u64,
    connection: u32,
}

impl Subscriber {
    /// Connects, and again whenever the connection ends.
    pub fn start(url: &str, identity: &Identity, pace: Pace) -> Self {
        Self::with_windows(url, identity, pace, Windows::default())
    }

    /// With flow-control windows of the test's choice.
    pub fn with_windows(url: &str, identity: &Identity, pace: Pace, windows: Windows) -> Self {
        Self::over(SharedConnection::with_windows(url, identity, windows), pace)
    }

    /// Over a connection that others may share.
    pub fn over(shared: SharedConnection, pace: Pace) -> Self {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let (pace, paced) = watch::channel(pace);
        let reader = Reader {
            shared,
            journal: journal.clone(),
            pace: paced,
        };
        Self {
            journal,
            pace,
            task: tokio::spawn(reader.run()),
        }
    }

    /// Reads at another pace from now on.
    pub fn pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// Looks at what has arrived.
    pub fn look<T>(&self, at: impl FnOnce(&Journal) -> T) -> T {
        at(&self.journal.lock())
    }

    /// Ends the connection and this recipient, and returns what arrived.
    pub async fn stop(mut self) -> Journal {
        self.task.abort();
        let _ = (&mut self.task).await;
        std::mem::take(&mut *self.journal.lock())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    shared: SharedConnection,
    journal: Arc<Mutex<Journal>>,
    pace: watch::Receiver<Pace>,
}

impl Reader {
    async fn run(mut self) {
        let mut store = Store {
            id: rand::random(),
            session: 0,
            durable: 0,
            connection: 0,
        };
        loop {
            store.connection += 1;
            self.journal.lock().connection = store.connection;
            let why = match self.connection(&mut store).await {
                Ok(()) => "the daemon ended the stream".to_owned(),
                Err(e) => format!("{e:#}"),
            };
            self.note(store.connection, 0, What::Ended(why));
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    fn note(&self, connection: u32, number: u64, what: What) {
        self.journal.lock().arrivals.push(Arrival {
            connection,
            number,
            what,
        });
    }

    async fn connection(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let held = self.shared.hold().await?;
        let (out, requests) = mpsc::channel(OUT_QUEUE_MESSAGES);
        let hello = SubscribeHello {
            store_id: store.id.to_vec().into(),
            session: store.session,
            durable: store.durable,
            credit_bytes: MAX_CREDIT_BYTES,
            agent_version: "test".to_owned(),
            tree_size: 0,
        };
        send(&out, Message::Hello(hello)).await?;
        let mut stream = SyncClient::new(held.channel())
            .subscribe(ReceiverStream::new(requests))
            .await?
            .into_inner();
        loop {
            self.wait_for_pace().await;
            let Some(message) = stream.message().await? else {
                return Ok(());
            };
            // A head of the audit log is no message of the session.
            if message.number != BESIDE_THE_SESSION {
                self.take(message, store, &out).await?;
            }
        }
    }

    /// Writes a message down, then answers it.
    async fn take(
        &self,
        message: SubscribeResponse,
        store: &mut Store,
        out: &mpsc::Sender<SubscribeRequest>,
    ) -> anyhow::Result<()> {
        let number = message.number;
        let what = What::of(message);
        self.note(store.connection, number, what.clone());
        match what {
            What::Welcome {
                session, accepted, ..
            } => {
                (store.session, store.durable) = (session, number);
                if !accepted {
                    (store.id, store.session, store.durable) = (rand::random(), 0, 0);
                    return Ok(());
                }
            }
            What::Withdraw { job, .. } => {
                let confirmed = WithdrawalConfirmed {
                    job,
                    removed: 0,
                    not_removed: 0,
                };
                send(out, Message::WithdrawalConfirmed(confirmed)).await?;
            }
            _ => {}
        }
        store.durable = number;
        let receipt = SubscribeReceipt {
            arrived: number,
            durable: number,
        };
        send(out, Message::Receipt(receipt)).await
    }

    async fn wait_for_pace(&mut self) {
        loop {
            let pace = *self.pace.borrow_and_update();
            match pace {
                Pace::Fast => return,
                Pace::Slow(wait) => return tokio::time::sleep(wait).await,
                Pace::Stalled => {
                    if self.pace.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn send(out: &mpsc::Sender<SubscribeRequest>, message: Message) -> anyhow::Result<()> {
    let request = SubscribeRequest {
        message: Some(message),
    };
    // A full queue means that the daemon reads no receipts; a dead connection is noticed at the next read.
    let _ = out.send(request).await;
    Ok(())
}
