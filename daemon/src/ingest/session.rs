//! Publishing sessions: one live outbox per unit, and what a hello is answered with.
//!
//! Invariants: at most one session per unit is live; a live session's store continues the source's head
//! or was told to rebase; a session that has failed takes no more batches.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use handfast_proto::{
    chain::Chain,
    ids::{OdsCode, RecordId, StoreId},
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};

use super::open_statements::OpenStatements;
use crate::store::Head;

/// Bytes of batches that one session may have on their way into the log.
pub(super) const MAX_UNCOMMITTED_BYTES: usize = 8 * 1024 * 1024;

/// What an agent is told beside its acknowledgements and has not taken yet.
const NOTICES: usize = 8;

/// What an agent is told beside its acknowledgements.
#[derive(Debug)]
pub enum Notice {
    /// A statement is in force.
    InForce {
        /// Its seq.
        seq: u64,
        /// It could not be established in time that nothing of what it ended is in flight any more.
        pending: bool,
    },
    /// The payloads of these records were erased, and may go again.
    Resend(Vec<RecordId>),
}

/// Why a session ended from the daemon's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// A newer connection of the same outbox took its place.
    TakenOver,
    /// The agent does not take what it is told.
    Stuck,
    /// A batch did not follow the head: the seq expected.
    OutOfStep(u64),
    /// The store could not commit; the text is for people.
    NotCommitted(String),
}

/// Why a hello was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloRefused {
    /// Another outbox of the unit is connected.
    #[error("another store of this unit is connected: stop one of the two agents")]
    AnotherStoreIsLive,
}

/// How far the daemon has committed a session, and whether the session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to this seq is durable.
    pub acked: u64,
    /// Set once.
    pub end: Option<SessionEnd>,
}

/// One publishing stream.
#[derive(Debug)]
pub struct Session {
    /// Which unit.
    pub source: OdsCode,
    id: u64,
    store: Mutex<StoreId>,
    progress: watch::Sender<Progress>,
    budget: Arc<Semaphore>,
    statements: Arc<OpenStatements>,
    notices: mpsc::Sender<Notice>,
    /// Until the stream that tells the agent takes it.
    told: Mutex<Option<mpsc::Receiver<Notice>>>,
}

impl Session {
    /// Watches acknowledgements and the end.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The outbox of this session.
    pub fn store(&self) -> StoreId {
        *self.store.lock()
    }

    /// Bounds what is on its way into the log.
    pub(super) fn budget(&self) -> &Arc<Semaphore> {
        &self.budget
    }

    /// Its source's statements that are not known to be in force.
    pub(super) fn statements(&self) -> &Arc<OpenStatements> {
        &self.statements
    }

    /// What the agent is to be told, for the one stream that tells it.
    pub fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        self.told.lock().take()
    }

    /// Has the agent told something; waits while it has not taken what it was told before. False where the
    /// session is over. Cancellation-safe.
    pub async fn tell(&self, notice: Notice) -> bool {
        let mut progress = self.watch();
        tokio::select! {
            told = self.notices.send(notice) => told.is_ok(),
            _ended = progress.wait_for(|p| p.end.is_some()) => false,
        }
    }

    /// Ends it, because the agent does not take what it is told.
    pub fn give_up(&self) {
        self.end(SessionEnd::Stuck);
    }

    /// Whether it is over.
    pub fn ended(&self) -> bool {
        self.progress.borrow().end.is_some()
    }

    pub(super) fn ack(&self, seq: u64) {
        self.progress.send_if_modified(|p| {
            let later = seq > p.acked;
            p.acked = p.acked.max(seq);
            later
        });
    }

    /// Ends it; the first reason stands.
    pub(super) fn end(&self, why: SessionEnd) {
        self.progress.send_if_modified(|p| {
            let first = p.end.is_none();
            p.end.get_or_insert(why);
            first
        });
    }
}

/// The answer to a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Where the source stands.
    pub head: Head,
    /// Whether the outbox continues it.
    pub accepted: bool,
    /// Everything that was stated up to this seq is in force.
    pub in_force_seq: u64,
}

/// What an outbox says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxHello {
    /// Which outbox.
    pub store: StoreId,
    /// The last seq that was acknowledged to it.
    pub acked_seq: u64,
    /// Its chain there; `None` where nothing was acknowledged.
    pub acked_chain: Option<Chain>,
}

/// The live sessions.
#[derive(Debug, Default)]
pub struct Publishers {
    live: Mutex<HashMap<OdsCode, Arc<Session>>>,
    /// Of every unit that ever published: they outlive its sessions.
    statements: Mutex<HashMap<OdsCode, Arc<OpenStatements>>>,
    next_id: AtomicU64,
}

impl Publishers {
    /// Opens a unit's session. A live one of the same outbox is taken over; one of another outbox stands.
    pub fn open(&self, source: OdsCode, store: StoreId) -> Result<Arc<Session>, HelloRefused> {
        let mut live = self.live.lock();
        if let Some(other) = live.get(&source).filter(|other| !other.ended()) {
            if other.store() != store {
                return Err(HelloRefused::AnotherStoreIsLive);
            }
            other.end(SessionEnd::TakenOver);
        }
        let statements = Arc::clone(self.statements.lock().entry(source).or_default());
        let (notices, told) = mpsc::channel(NOTICES);
        let session = Arc::new(Session {
            source,
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            store: Mutex::new(store),
            progress: watch::Sender::new(Progress { acked: 0, end: None }),
            budget: Arc::new(Semaphore::new(MAX_UNCOMMITTED_BYTES)),
            statements,
            notices,
            told: Mutex::new(Some(told)),
        });
        session.statements.tell_to(&session);
        live.insert(source, Arc::clone(&session));
        Ok(session)
    }

    /// Answers a hello of a session, the first or one after a rebase. `head` is read once the session is open.
    pub fn greet(&self, session: &Session, hello: &OutboxHello, head: Head) -> Welcome {
        *session.store.lock() = hello.store;
        Welcome {
            head,
            accepted: continues(hello, &head),
            in_force_seq: session.statements.in_force_through(head.seq),
        }
    }

    /// The session's stream is over.
    pub fn close(&self, session: &Session) {
        let mut live = self.live.lock();
        if live.get(&session.source).is_some_and(|s| s.id == session.id) {
            live.remove(&session.source);
        }
    }

    /// Ends a unit's session, if it has one.
    pub fn end(&self, source: OdsCode) {
        if let Some(session) = self.live.lock().get(&source) {
            session.end(SessionEnd::TakenOver);
        }
    }

    /// A unit's live session.
    pub fn of(&self, source: OdsCode) -> Option<Arc<Session>> {
        let live = self.live.lock();
        live.get(&source).filter(|session| !session.ended()).cloned()
    }

    /// The units that publish.
    pub fn units(&self) -> Vec<OdsCode> {
        self.live
            .lock()
            .iter()
            .filter(|(_, s)| !s.ended())
            .map(|(ods, _)| *ods)
            .collect()
    }
}

/// Whether an outbox continues the head. What it says of seqs before the head it checks itself, by the
/// chain in the welcome.
fn continues(hello: &OutboxHello, head: &Head) -> bool {
    if head.seq == 0 {
        return hello.acked_seq == 0;
    }
    if hello.acked_seq == head.seq {
        return hello.acked_chain == head.chain;
    }
    hello.acked_seq < head.seq && Some(hello.store) == head.store
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use handfast_proto::{
        amendment::{Amendment, Batch, BatchBuilder, Category, Confidentiality, Form, Op, Subject, Text},
        ids::NhsNumber,
    };

    use super::*;

    pub(crate) fn amendment(id: u64, payload: usize) -> Amendment {
        let patient = NhsNumber::from_u64(9_990_000_018).unwrap();
        Amendment {
            op: Op::Create,
            record: format!("Observation/o-{id}").parse().unwrap(),
            subject: Some(Subject {
                patient,
                category: Category::Observations,
                confidentiality: Confidentiality::NORMAL,
            }),
            former: None,
            author: Text::default(),
            recorded_at: 1,
            content_type: Text::new("application/fhir+json").unwrap(),
            payload: Bytes::from(vec![b'x'; payload]),
        }
    }

    pub(crate) fn batch(first: u64, n: u64, payload: usize) -> Arc<Batch> {
        let mut builder = BatchBuilder::new(first);
        (first..first + n).for_each(|seq| builder.push(&amendment(seq, payload)));
        let made = builder.finish();
        Arc::new(Batch::parse(made.header, made.body, Form::Published).unwrap())
    }

    fn store(n: u8) -> StoreId {
        StoreId::from_random([n; 16])
    }

    #[test]
    fn one_outbox_is_live_and_the_same_one_takes_over() {
        let publishers = Publishers::default();
        let unit = "Z00101".parse().unwrap();
        let first = publishers.open(unit, store(1)).unwrap();
        assert_eq!(
            publishers.open(unit, store(2)).unwrap_err(),
            HelloRefused::AnotherStoreIsLive
        );
        let second = publishers.open(unit, store(1)).unwrap();
        assert_eq!(first.watch().borrow().end, Some(SessionEnd::TakenOver));
        publishers.close(&first);
        assert_eq!(
            publishers.units(),
            [unit],
            "closing the old one leaves the new one"
        );
        publishers.close(&second);
        assert!(publishers.open(unit, store(2)).is_ok());
    }

    #[test]
    fn a_hello_is_accepted_only_where_the_outbox_continues_the_head() {
        let chain = |n| Some(Chain::start(store(n)));
        let head = Head {
            seq: 10,
            chain: chain(7),
            store: Some(store(1)),
        };
        let nothing = Head {
            seq: 0,
            chain: None,
            store: None,
        };
        let hello = |s, acked_seq, acked_chain| OutboxHello {
            store: store(s),
            acked_seq,
            acked_chain,
        };
        assert!(continues(&hello(1, 0, None), &nothing));
        assert!(
            !continues(&hello(1, 5, chain(7)), &nothing),
            "the daemon has lost what it had"
        );
        assert!(continues(&hello(1, 10, chain(7)), &head));
        assert!(
            continues(&hello(1, 4, chain(3)), &head),
            "an acknowledgement was lost"
        );
        assert!(continues(&hello(2, 10, chain(7)), &head), "rebased onto the head");
        assert!(!continues(&hello(2, 4, chain(3)), &head), "another outbox");
        assert!(!continues(&hello(1, 10, chain(8)), &head), "another past");
        assert!(!continues(&hello(1, 11, chain(7)), &head), "ahead of the daemon");
        assert!(!continues(&hello(2, 0, None), &head), "re-installed");
    }
}
