//! A recipient: it subscribes as an agent's downlink does, has each message checked before it is receipted, and
//! goes on where it was when its connection ends. It keeps no store: what it has read is durable.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use handfast_proto::{
    amendment::{Batch, Form},
    limits::{BESIDE_THE_SESSION, MAX_CREDIT_BYTES},
    v1::{
        Deliver, DeliverPiece, SubscribeHello, SubscribeReceipt, SubscribeRequest, SubscribeResponse,
        WithdrawalConfirmed, subscribe_request, subscribe_response::Message,
    },
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{
    super::check::{Known, Recipient as Checked, Saboteur},
    drops::Away,
    pieces::Pieces,
};
use crate::{
    bench::sink::{request, subscribe_as},
    harness::SharedConnection,
};

/// Confirmations that may wait for the transport.
const OUT_QUEUE_MESSAGES: usize = 256;
/// How long after a connection's end the next is tried.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// One recipient.
pub(in crate::load) struct Recipient {
    /// The unit's.
    pub(super) shared: SharedConnection,
    pub(super) known: Arc<Known>,
    pub(super) me: u32,
    pub(super) checked: Arc<Mutex<Checked>>,
    pub(super) saboteur: Option<Arc<Saboteur>>,
    /// How long it takes over each message.
    pub(super) delay: Duration,
    /// It takes no time any more once it is told.
    pub(super) hurry: CancellationToken,
    pub(super) away: Away,
    /// It ends once it is told.
    pub(super) end: CancellationToken,
    /// Set once its first subscription is open.
    pub(super) open: watch::Sender<bool>,
}

/// What an inbox knows of its sessions.
struct Store {
    id: Bytes,
    session: u64,
    durable: u64,
}

/// One connection.
struct Link {
    receipts: watch::Sender<SubscribeReceipt>,
    confirm: mpsc::Sender<SubscribeRequest>,
    pieces: Pieces,
    last: u64,
    connection: u32,
}

impl Recipient {
    /// Receives until it is told to end.
    pub(in crate::load) async fn run(mut self) -> anyhow::Result<()> {
        let mut store = Store {
            id: rand::random::<[u8; 16]>().to_vec().into(),
            session: 0,
            durable: 0,
        };
        loop {
            let ended = self.connection(&mut store).await;
            if self.end.is_cancelled() {
                return Ok(());
            }
            match ended {
                Ok(()) => self.away.stay().await,
                Err(error) if error.is::<super::Unworkable>() => return Err(error),
                Err(_) => tokio::time::sleep(RECONNECT_AFTER).await,
            }
        }
    }

    /// One connection; `Ok` where it was told to go.
    async fn connection(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let connection = {
            let mut checked = self.checked.lock();
            checked.connecting();
            checked.connection()
        };
        let (confirm, confirmed) = mpsc::channel(OUT_QUEUE_MESSAGES);
        let hello = SubscribeHello {
            store_id: store.id.clone(),
            session: store.session,
            durable: store.durable,
            credit_bytes: MAX_CREDIT_BYTES,
            agent_version: "load".to_owned(),
            tree_size: 0,
        };
        let confirmed = ReceiverStream::new(confirmed);
        let held = self.shared.hold().await?;
        let (receipts, mut stream) = subscribe_as(held.channel(), hello, confirmed).await?;
        let mut link = Link {
            receipts,
            confirm,
            pieces: Pieces::default(),
            last: 0,
            connection,
        };
        loop {
            if !self.delay.is_zero() {
                // Once nothing more is sent it catches up.
                let _hurried = tokio::time::timeout(self.delay, self.hurry.cancelled()).await;
            }
            let message = tokio::select! {
                message = stream.message() => message?.context("the daemon ended the stream")?,
                () = self.away.told() => return Ok(()),
                () = self.end.cancelled() => return Ok(()),
            };
            if message.number != BESIDE_THE_SESSION {
                self.take(message, store, &mut link).await?;
            }
        }
    }

    /// Has a message checked, then receipts it.
    async fn take(
        &self,
        message: SubscribeResponse,
        store: &mut Store,
        link: &mut Link,
    ) -> anyhow::Result<()> {
        let number = message.number;
        if number != link.last + 1 {
            let said = format!("message {number} came after message {}", link.last);
            self.checked.lock().broken(&said);
        }
        link.last = number;
        let mut confirm = None;
        match message.message.context("a message without content")? {
            Message::Welcome(welcome) => {
                if !welcome.accepted {
                    bail!(super::Unworkable(
                        "the daemon takes a recipient's store for an older copy".to_owned()
                    ));
                }
                store.session = welcome.session;
                self.open.send_replace(true);
            }
            Message::Deliver(deliver) => self.deliver(deliver, link.connection),
            Message::Piece(piece) => self.piece(number, &piece, link),
            Message::Fenced(fenced) => {
                link.pieces.abandon(&fenced.source, fenced.grant);
                self.checked.lock().fenced(&fenced.source, fenced.grant);
            }
            Message::Withdraw(withdraw) => {
                link.pieces.abandon(&withdraw.source, withdraw.ended_grant);
                confirm = Some((withdraw.job, self.checked.lock().withdraw(&withdraw)));
            }
            Message::CatchUp(edge) => {
                let removed = self.checked.lock().edge(&edge);
                confirm = removed.map(|removed| (edge.job, removed));
            }
            Message::GrantStands(_) | Message::TreeHead(_) => {}
        }
        store.durable = link.pieces.durable(number);
        link.receipts.send_replace(SubscribeReceipt {
            arrived: number,
            durable: store.durable,
        });
        if let Some((job, removed)) = confirm {
            let confirmed = WithdrawalConfirmed {
                job,
                removed,
                not_removed: 0,
            };
            let confirmed = request(subscribe_request::Message::WithdrawalConfirmed(confirmed));
            link.confirm
                .send(confirmed)
                .await
                .context("confirm a withdrawal")?;
        }
        Ok(())
    }

    fn deliver(&self, deliver: Deliver, connection: u32) {
        match &self.saboteur {
            None => self.check(deliver),
            Some(saboteur) => {
                let tampered = saboteur.tamper(&self.known, (self.me, connection), deliver);
                tampered.into_iter().for_each(|deliver| self.check(deliver));
            }
        }
    }

    fn check(&self, deliver: Deliver) {
        let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered);
        let mut checked = self.checked.lock();
        match batch {
            Ok(batch) => checked.deliver(&deliver.source, deliver.grant, deliver.job, &batch),
            Err(error) => checked.broken(&format!("a batch of {}: {error}", deliver.source)),
        }
    }

    fn piece(&self, number: u64, piece: &DeliverPiece, link: &mut Link) {
        let taken = link.pieces.take(number, piece);
        let mut checked = self.checked.lock();
        match taken {
            Ok((_, Some(batch))) => checked.deliver(&piece.source, piece.grant, piece.job, &batch),
            Ok((seq, None)) => {
                if !checked.piece(&piece.source, piece.grant, seq) {
                    link.pieces.abandon(&piece.source, piece.grant);
                }
            }
            // The rest of what may not come, and was thrown away with its first piece.
            Err(_) if !checked.may_come(&piece.source, piece.grant) => {}
            Err(error) => checked.broken(&format!("a piece of {}: {error:#}", piece.source)),
        }
    }
}
