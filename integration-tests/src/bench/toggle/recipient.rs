//! A recipient that keeps no store and notes, grant by grant, how far it has come.

use std::collections::HashMap;

use anyhow::Context as _;
use handfast_proto::{
    limits::BESIDE_THE_SESSION,
    v1::{ReconcileScope, WithdrawalConfirmed, subscribe_request, subscribe_response::Message},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{super::sink, fill::PAYLOAD_BYTES};
use crate::harness::Identity;

/// Confirmations that may wait for the transport.
const OUT_QUEUE_MESSAGES: usize = 16;

/// How far a grant has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grant {
    /// Amendments received under it.
    pub(super) received: u64,
    /// Whether everything that was there when it began has been received.
    pub(super) caught_up: bool,
    /// How often everything that a narrower or wider scope changed has been received.
    pub(super) changed: u32,
    /// Whether what was received under it is to be removed.
    pub(super) withdrawn: bool,
}

/// What a recipient has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    connected: bool,
    grants: HashMap<u64, Grant>,
}

impl Seen {
    pub(super) fn of(&self, grant: u64) -> Grant {
        self.grants.get(&grant).copied().unwrap_or_default()
    }
}

/// A recipient in a task of its own; ends when it is dropped.
pub(super) struct Recipient {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Recipient {
    /// Subscribes; returns when the subscription is open.
    pub(super) async fn start(url: &str, identity: &Identity) -> anyhow::Result<Self> {
        let (notes, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(receive(url.to_owned(), identity.clone(), notes));
        let mut recipient = Self { seen, task };
        recipient.until(|seen| seen.connected).await?;
        Ok(recipient)
    }

    /// Waits until what was seen is as asked.
    pub(super) async fn until(&mut self, as_asked: impl Fn(&Seen) -> bool) -> anyhow::Result<()> {
        if self.seen.wait_for(as_asked).await.is_ok() {
            return Ok(());
        }
        // The sender is gone: the task has ended, and says why.
        (&mut self.task).await.context("the recipient")??;
        anyhow::bail!("the recipient ended by itself")
    }

    /// How far a grant has come.
    pub(super) fn of(&self, grant: u64) -> Grant {
        self.seen.borrow().of(grant)
    }
}

impl Drop for Recipient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Notes each message before its receipt is sent.
async fn receive(url: String, identity: Identity, notes: watch::Sender<Seen>) -> anyhow::Result<()> {
    let (confirm, confirmed) = mpsc::channel(OUT_QUEUE_MESSAGES);
    let (arrived, mut stream) = sink::subscribe(&url, &identity, ReceiverStream::new(confirmed)).await?;
    loop {
        let message = stream.message().await?.context("the daemon ended the stream")?;
        if let Some(what) = &message.message {
            notes.send_modify(|seen| note(seen, what));
        }
        if message.number != BESIDE_THE_SESSION {
            arrived.send_replace(sink::received(message.number));
        }
        if let Some(job) = message.message.as_ref().and_then(to_confirm) {
            let done = WithdrawalConfirmed {
                job,
                removed: 0,
                not_removed: 0,
            };
            let done = sink::request(subscribe_request::Message::WithdrawalConfirmed(done));
            confirm.send(done).await.context("confirm a withdrawal")?;
        }
    }
}

/// The job that is to be confirmed once it was carried out.
fn to_confirm(what: &Message) -> Option<u64> {
    match what {
        Message::Withdraw(withdraw) => Some(withdraw.job),
        Message::CatchUp(edge) if edge.complete && edge.scope() != ReconcileScope::Everything => {
            Some(edge.job)
        }
        _ => None,
    }
}

fn note(seen: &mut Seen, what: &Message) {
    match what {
        Message::Welcome(_) => seen.connected = true,
        Message::Deliver(deliver) => {
            let amendments = deliver.body.len() / PAYLOAD_BYTES;
            seen.grants.entry(deliver.grant).or_default().received += amendments as u64;
        }
        Message::CatchUp(edge) if edge.complete => {
            let grant = seen.grants.entry(edge.grant).or_default();
            match edge.scope() {
                ReconcileScope::Everything => grant.caught_up = true,
                ReconcileScope::Changes => grant.changed += 1,
                ReconcileScope::Patient => {}
            }
        }
        Message::Withdraw(withdraw) => {
            seen.grants.entry(withdraw.ended_grant).or_default().withdrawn = true;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::v1::{CatchUp, Deliver, Withdraw};

    use super::*;

    #[test]
    fn each_grant_is_noted_by_itself() {
        let mut seen = Seen::default();
        let deliver = Deliver {
            grant: 1,
            body: vec![b'x'; 3 * PAYLOAD_BYTES].into(),
            ..Deliver::default()
        };
        let edge = |complete| {
            Message::CatchUp(CatchUp {
                grant: 2,
                complete,
                ..CatchUp::default()
            })
        };
        let changes = CatchUp {
            grant: 2,
            job: 7,
            complete: true,
            scope: ReconcileScope::Changes.into(),
            ..CatchUp::default()
        };
        let withdraw = Withdraw {
            ended_grant: 1,
            ..Withdraw::default()
        };
        note(&mut seen, &Message::Deliver(deliver));
        note(&mut seen, &edge(false));
        assert_eq!(seen.of(2), Grant::default());
        note(&mut seen, &edge(true));
        assert_eq!(to_confirm(&edge(true)), None);
        assert_eq!(to_confirm(&Message::CatchUp(changes.clone())), Some(7));
        note(&mut seen, &Message::CatchUp(changes));
        note(&mut seen, &Message::Withdraw(withdraw));
        let (one, two) = (seen.of(1), seen.of(2));
        assert_eq!((one.received, one.caught_up, one.withdrawn), (3, false, true));
        assert_eq!((two.received, two.caught_up, two.changed), (0, true, 1));
    }
}
