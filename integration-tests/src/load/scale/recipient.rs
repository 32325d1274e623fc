//! A recipient that keeps no store: it counts what comes, how late it is, and notes when a catch-up is over. It may
//! leave, and come back as the same.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use handfast_proto::{
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{ReconcileScope, SubscribeHello, SubscribeReceipt, SubscribeResponse, subscribe_response::Message},
};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use super::source::now_ns;
use crate::{
    bench::sink::subscribe_as,
    harness::{Identity, Windows, connect},
};

/// How long the daemon may take to welcome it.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(60);
/// The latest that is told apart, nanoseconds, and to how many digits.
const LATEST_NS: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// What has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) subscribed: bool,
    /// Of payloads of the size that it was told.
    pub(super) amendments: u64,
    pub(super) caught_up: bool,
}

/// How late amendments came that say when they were due, in nanoseconds.
pub(super) type Late = Histogram<u64>;

pub(super) fn late() -> anyhow::Result<Late> {
    Histogram::new_with_bounds(1_000, LATEST_NS, DIGITS).context("a histogram")
}

/// Who it is to the daemon, across connections.
#[derive(Debug, Clone)]
struct Store {
    id: Bytes,
    session: u64,
    durable: u64,
}

/// In a task of its own while it is there.
pub(super) struct Recipient {
    url: String,
    identity: Identity,
    notes: Arc<Notes>,
    seen: watch::Receiver<Seen>,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

struct Notes {
    payload_bytes: usize,
    seen: watch::Sender<Seen>,
    late: Mutex<Late>,
    store: Mutex<Store>,
}

impl Recipient {
    /// Returns once its subscription stands.
    pub(super) async fn start(url: &str, identity: &Identity, payload_bytes: u32) -> anyhow::Result<Self> {
        let (sender, seen) = watch::channel(Seen::default());
        let notes = Notes {
            payload_bytes: usize::try_from(payload_bytes)?.max(1),
            seen: sender,
            late: Mutex::new(late()?),
            store: Mutex::new(Store {
                id: rand::random::<[u8; 16]>().to_vec().into(),
                session: 0,
                durable: 0,
            }),
        };
        let mut recipient = Self {
            url: url.to_owned(),
            identity: identity.clone(),
            notes: Arc::new(notes),
            seen,
            task: None,
        };
        recipient.come().await?;
        Ok(recipient)
    }

    /// It goes, in the middle of whatever comes.
    pub(super) fn leave(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.notes.seen.send_modify(|seen| seen.subscribed = false);
    }

    /// It comes, or comes back; returns once its subscription stands.
    pub(super) async fn come(&mut self) -> anyhow::Result<()> {
        let (url, identity) = (self.url.clone(), self.identity.clone());
        let notes = Arc::clone(&self.notes);
        self.task = Some(tokio::spawn(async move { notes.receive(&url, &identity).await }));
        let welcomed = tokio::time::timeout(SUBSCRIBED_WITHIN, self.until(|seen| seen.subscribed)).await;
        welcomed
            .with_context(|| format!("no welcome within {SUBSCRIBED_WITHIN:?}"))?
            .map(drop)
    }

    /// What has come so far.
    pub(super) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// How late what came since this was asked last was.
    pub(super) fn take_late(&self) -> anyhow::Result<Late> {
        Ok(std::mem::replace(&mut *self.notes.late.lock(), late()?))
    }

    /// Waits until what has come is as asked; how long is for the caller to say.
    pub(super) async fn until(&mut self, as_asked: impl FnMut(&Seen) -> bool) -> anyhow::Result<Seen> {
        let task = self.task.as_mut().context("the recipient is away")?;
        tokio::select! {
            seen = self.seen.wait_for(as_asked) => Ok(*seen.context("the recipient's notes")?),
            ended = task => {
                ended.context("the recipient")??;
                bail!("the recipient ended by itself")
            }
        }
    }
}

impl Drop for Recipient {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Notes {
    async fn receive(&self, url: &str, identity: &Identity) -> anyhow::Result<()> {
        let store = self.store.lock().clone();
        let hello = SubscribeHello {
            store_id: store.id,
            session: store.session,
            durable: store.durable,
            credit_bytes: MAX_CREDIT_BYTES,
            agent_version: "scale".to_owned(),
            tree_size: 0,
        };
        let channel = connect(url, identity, Windows::default()).await?;
        let (receipts, mut stream) = subscribe_as(channel, hello, tokio_stream::empty()).await?;
        loop {
            let next = stream.message().await?.context("the daemon ended the stream")?;
            self.note(&next)?;
            if next.number != BESIDE_THE_SESSION {
                self.store.lock().durable = next.number;
                receipts.send_replace(SubscribeReceipt {
                    arrived: next.number,
                    durable: next.number,
                });
            }
        }
    }

    fn note(&self, next: &SubscribeResponse) -> anyhow::Result<()> {
        match &next.message {
            Some(Message::Welcome(welcome)) => {
                anyhow::ensure!(welcome.accepted, "the daemon does not take the recipient's store");
                self.store.lock().session = welcome.session;
                self.seen.send_modify(|seen| seen.subscribed = true);
            }
            Some(Message::Deliver(deliver)) => {
                let payloads = deliver.body.chunks_exact(self.payload_bytes);
                let n = payloads.len() as u64;
                self.time(payloads);
                self.seen.send_modify(|seen| seen.amendments += n);
            }
            Some(Message::CatchUp(edge)) => {
                let over = edge.complete && edge.scope() == ReconcileScope::Everything;
                self.seen.send_modify(|seen| seen.caught_up |= over);
            }
            _ => {}
        }
        Ok(())
    }

    fn time<'p>(&self, payloads: impl Iterator<Item = &'p [u8]>) {
        let now = now_ns();
        let mut late = self.late.lock();
        let due = payloads.filter_map(|payload| payload.first_chunk::<8>());
        for due in due.map(|due| u64::from_be_bytes(*due)).filter(|due| *due > 0) {
            late.saturating_record(now.saturating_sub(due));
        }
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{CatchUp, Deliver};

    use super::*;

    #[test]
    fn what_comes_is_counted_and_timed_and_a_catch_up_is_over_at_its_end() {
        let (seen, _) = watch::channel(Seen::default());
        let notes = Notes {
            payload_bytes: 16,
            seen,
            late: Mutex::new(late().unwrap()),
            store: Mutex::new(Store {
                id: Bytes::new(),
                session: 0,
                durable: 0,
            }),
        };
        let said = |message| SubscribeResponse {
            number: 1,
            message: Some(message),
        };
        let edge = |complete| {
            said(Message::CatchUp(CatchUp {
                complete,
                scope: ReconcileScope::Everything.into(),
                ..CatchUp::default()
            }))
        };
        notes.note(&edge(false)).unwrap();
        assert!(!notes.seen.borrow().caught_up);
        let mut body = vec![0; 48];
        body[16..24].copy_from_slice(&now_ns().to_be_bytes());
        let deliver = Deliver {
            body: body.into(),
            ..Deliver::default()
        };
        notes.note(&said(Message::Deliver(deliver))).unwrap();
        notes.note(&edge(true)).unwrap();
        let seen = *notes.seen.borrow();
        assert!(seen.caught_up);
        assert_eq!((seen.amendments, notes.late.lock().len()), (3, 1));
    }
}
