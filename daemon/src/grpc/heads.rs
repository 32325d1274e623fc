//! Heads of the audit log on a Subscribe stream, beside the session's own messages: they bear number 0, take no
//! receipt, and carry nothing that a fence waits for.
//!
//! Invariants: the welcome stays first; each head comes with a proof that it continues the one before it on this
//! stream, the first with one from what the recipient keeps. Where that is more than the log has, the head goes
//! without a proof: the recipient is to see that entries are gone.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt as _, stream};
use handfast_proto::{
    limits::BESIDE_THE_SESSION,
    merkle::{SignedHead, TreeHash},
    v1::{SignedTreeHead, SubscribeResponse, subscribe_response::Message},
};
use tokio::sync::watch;
use tonic::Status;

use crate::audit::AuditTree;

/// A feed, and heads between its messages.
pub(super) struct WithHeads<F> {
    feed: F,
    heads: Pin<Box<dyn Stream<Item = SignedTreeHead> + Send>>,
    welcomed: bool,
}

impl<F> WithHeads<F> {
    /// Of the log's tree; the recipient keeps a head over `since` entries (0: none).
    pub(super) fn new(feed: F, tree: AuditTree, since: u64) -> Self {
        let told = Told {
            newest: tree.heads(),
            tree,
            size: since,
            first: true,
        };
        Self {
            feed,
            heads: Box::pin(stream::unfold(told, Told::next).fuse()),
            welcomed: false,
        }
    }
}

impl<F: Stream<Item = SubscribeResponse> + Unpin> Stream for WithHeads<F> {
    type Item = Result<SubscribeResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.welcomed
            && let Poll::Ready(Some(head)) = this.heads.poll_next_unpin(cx)
        {
            return Poll::Ready(Some(Ok(SubscribeResponse {
                number: BESIDE_THE_SESSION,
                message: Some(Message::TreeHead(head)),
            })));
        }
        let next = ready!(this.feed.poll_next_unpin(cx));
        this.welcomed = true;
        Poll::Ready(next.map(Ok))
    }
}

/// Up to where the recipient was told.
struct Told {
    newest: watch::Receiver<Option<SignedHead>>,
    tree: AuditTree,
    size: u64,
    first: bool,
}

impl Told {
    /// The next head; `None` once there will be no more.
    async fn next(mut self) -> Option<(SignedTreeHead, Self)> {
        loop {
            let newest = *self.newest.borrow_and_update();
            if let Some(signed) = newest.filter(|signed| self.first || signed.head.size > self.size)
                && let Some(proof) = self.proof(signed.head.size).await
            {
                let since = if signed.head.size < self.size {
                    0
                } else {
                    self.size
                };
                let wire = signed.to_wire(&self.tree.public_key(), since, &proof);
                (self.size, self.first) = (signed.head.size, false);
                return Some((wire, self));
            }
            self.newest.changed().await.ok()?;
        }
    }

    async fn proof(&self, size: u64) -> Option<Vec<TreeHash>> {
        if size < self.size {
            return Some(Vec::new());
        }
        match self.tree.prove_consistency(self.size, size).await {
            Ok(proof) => Some(proof),
            Err(error) => {
                let from = self.size;
                tracing::error!(%error, from, size, "a head of the audit log cannot be proven to a recipient");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;
    use handfast_proto::{
        merkle::{SigningKey, verify_consistency},
        v1::{DaemonChange, SubscribeWelcome},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{
        audit::{Actor, Scribe, events::DaemonChanged},
        clock::ManualClock,
        random::OsRandom,
        store::{AuditStore as _, SqliteStore, Store, conformance::kit},
    };

    struct Log {
        store: Arc<SqliteStore>,
        tree: AuditTree,
        _dir: TempDir,
    }

    impl Log {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::create(dir.path(), &kit::deployment()).await.unwrap();
            let store = Arc::new(store);
            let clock = Arc::new(ManualClock::at(kit::T0));
            let key = SigningKey::from_seed(&[7; 32]).unwrap();
            let dynamic = Arc::clone(&store) as Arc<dyn Store>;
            let tree = AuditTree::start(dynamic, clock, key, "care.example".to_owned());
            Self {
                store,
                tree: tree.await.unwrap(),
                _dir: dir,
            }
        }

        /// Enters some and signs a head over them.
        async fn grow(&self, entries: usize) -> SignedHead {
            let scribe = Scribe::new(Arc::new(OsRandom));
            let event = DaemonChanged {
                change: DaemonChange::Started,
                version: "test",
            };
            let entries: Vec<_> = (0..entries)
                .map(|_| scribe.entry(kit::T0, &Actor::Daemon, &event).unwrap())
                .collect();
            self.store.enter(&entries).await.unwrap();
            self.tree.head_now().await.unwrap().unwrap()
        }

        fn stream(&self, since: u64) -> WithHeads<impl Stream<Item = SubscribeResponse> + Unpin + use<>> {
            let welcome = SubscribeResponse {
                number: 1,
                message: Some(Message::Welcome(SubscribeWelcome::default())),
            };
            let feed = stream::iter([welcome]).chain(stream::pending());
            WithHeads::new(feed, self.tree.clone(), since)
        }
    }

    async fn head_of(
        stream: &mut (impl Stream<Item = Result<SubscribeResponse, Status>> + Unpin),
    ) -> SignedTreeHead {
        let next = stream.next().await.unwrap().unwrap();
        assert_eq!(next.number, BESIDE_THE_SESSION);
        match next.message {
            Some(Message::TreeHead(head)) => head,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_head_follows_the_welcome_and_is_proven_from_the_one_before() {
        let log = Log::new().await;
        let first = log.grow(3).await;
        let mut stream = log.stream(first.head.size);
        log.grow(4).await;
        let welcome = stream.next().await.unwrap().unwrap();
        assert_eq!(welcome.number, 1, "the welcome is first");
        let mut before = first.head;
        for more in [0, 300, 1] {
            if more > 0 {
                log.grow(more).await;
            }
            let wire = head_of(&mut stream).await;
            let signed = SignedHead::from_wire(&wire).unwrap();
            let proof = wire
                .consistency
                .iter()
                .map(|raw| TreeHash::from_slice(raw).unwrap());
            assert_eq!(wire.consistent_from, before.size);
            let (old, new) = ((before.size, &before.root), (signed.head.size, &signed.head.root));
            verify_consistency(old, new, &proof.collect::<Vec<_>>()).unwrap();
            before = signed.head;
        }
        assert_eq!(before.size, 308);
        assert!(stream.next().now_or_never().is_none(), "no head twice");
    }

    #[tokio::test]
    async fn a_recipient_that_keeps_more_than_there_is_gets_the_head_all_the_same() {
        let log = Log::new().await;
        log.grow(5).await;
        for (since, from) in [(9, 0), (5, 5), (0, 0)] {
            let mut stream = log.stream(since);
            stream.next().await.unwrap().unwrap();
            let head = head_of(&mut stream).await;
            assert_eq!((head.size, head.consistent_from), (5, from));
            assert!(head.consistency.is_empty());
        }
    }
}
