//! What goes to the daemon on one stream: the hello, receipts (only ever the newest), and reports.

use futures::{Stream, StreamExt as _, stream};
use handfast_proto::v1::{SubscribeHello, SubscribeReceipt, SubscribeRequest, subscribe_request::Message};
use tokio::sync::{mpsc, watch};

/// Reports that wait to be sent.
const REPORTS: usize = 64;

/// The sending side.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    receipts: watch::Sender<SubscribeReceipt>,
    reports: mpsc::Sender<Message>,
}

impl Outbound {
    /// The sending side, and the stream for the call. A receipt never waits for a report.
    pub(super) fn new(
        hello: SubscribeHello,
    ) -> (Self, impl Stream<Item = SubscribeRequest> + Send + 'static) {
        let (receipts, newest) = watch::channel(SubscribeReceipt::default());
        let (reports, queue) = mpsc::channel(REPORTS);
        let first = stream::once(async move { request(Message::Hello(hello)) });
        let rest = stream::unfold((newest, queue), |(mut newest, mut queue)| async move {
            let message = tokio::select! {
                biased;
                changed = newest.changed() => {
                    changed.ok()?;
                    Message::Receipt(*newest.borrow_and_update())
                }
                report = queue.recv() => report?,
            };
            Some((request(message), (newest, queue)))
        });
        (Self { receipts, reports }, first.chain(rest))
    }

    /// This message has arrived in this process.
    pub(super) fn arrived(&self, number: u64) {
        self.receipts.send_modify(|r| r.arrived = number);
    }

    /// Everything up to this message is committed.
    pub(super) fn durable(&self, number: u64) {
        self.receipts.send_modify(|r| r.durable = r.durable.max(number));
    }

    /// Sends a report. False where the stream has ended.
    pub(super) async fn report(&self, message: Message) -> bool {
        self.reports.send(message).await.is_ok()
    }
}

fn request(message: Message) -> SubscribeRequest {
    SubscribeRequest {
        message: Some(message),
    }
}
