//! A recipient's agent in memory, by the rules that agents keep, with the oracle looking on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use handfast_proto::{
    amendment::{Batch, Form, Op},
    ids::{OdsCode, StoreId},
    v1::subscribe_response::Message,
};
use tokio_util::sync::CancellationToken;

use crate::{
    consent::Pair,
    delivery::{Connection, Delivery, Feed, Opened, Subscription},
    store::Hello,
};

/// A connection that is gone as soon as it is cut.
#[derive(Debug, Default)]
pub(super) struct Wire(CancellationToken);

impl Connection for Wire {
    fn cut(&self) {
        self.0.cancel();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let gone = self.0.clone();
        async move { gone.cancelled().await }.boxed()
    }
}

/// What the oracle knows.
#[derive(Default)]
pub(super) struct Oracle {
    /// Grants whose ending call has returned "in force".
    pub(super) ended: HashSet<(Pair, u64)>,
    /// Units whose suspension has returned "in force", and whose resumption was not asked for yet.
    pub(super) suspended: HashSet<OdsCode>,
}

/// A recipient's agent, by the rules that it keeps.
pub(super) struct Recipient {
    pub(super) ods: OdsCode,
    store: StoreId,
    session: u64,
    durable: u64,
    pub(super) live: Option<(Box<Feed>, Subscription, Arc<Wire>)>,
    fenced: HashSet<(OdsCode, u64)>,
    position: HashMap<(OdsCode, u64), u64>,
    pub(super) held: BTreeMap<OdsCode, BTreeMap<String, u64>>,
    /// Which catch-up named a record last.
    confirmed: HashMap<(OdsCode, String), u64>,
    confirms: Vec<u64>,
    arrived: u64,
}

impl Recipient {
    pub(super) fn new(ods: OdsCode, n: u8) -> Self {
        Self {
            ods,
            store: StoreId::from_random([n; 16]),
            session: 0,
            durable: 0,
            live: None,
            fenced: HashSet::new(),
            position: HashMap::new(),
            held: BTreeMap::new(),
            confirmed: HashMap::new(),
            confirms: Vec::new(),
            arrived: 0,
        }
    }

    pub(super) async fn connect(&mut self, delivery: &Delivery) {
        let wire = Arc::new(Wire::default());
        let hello = Hello {
            recipient: self.ods,
            store: self.store,
            session: self.session,
            durable: self.durable,
        };
        let Ok(opened) = delivery.subscribe(hello, 4096, wire.clone()).await else {
            return;
        };
        let Opened::Live(feed, subscription) = opened else {
            panic!("this inbox was never behind")
        };
        self.live = Some((feed, subscription, wire));
        self.arrived = 0;
    }

    /// Takes one message off the wire, if there is one, and commits it.
    pub(super) fn read_one(&mut self, oracle: &Mutex<Oracle>) -> bool {
        let Some((feed, _, wire)) = self.live.as_mut() else {
            return false;
        };
        if wire.0.is_cancelled() {
            self.live = None;
            return false;
        }
        // Held while the message is taken: what is taken was handed over before any later call returned.
        let ended = oracle.lock().unwrap();
        let Some(next) = feed.next().now_or_never() else {
            return false;
        };
        let Some(response) = next else {
            drop(ended);
            self.live = None;
            return false;
        };
        assert_eq!(response.number, self.arrived + 1, "numbers have no gaps");
        self.arrived = response.number;
        self.apply(response.message.unwrap(), &ended);
        self.durable = self.arrived;
        true
    }

    fn apply(&mut self, message: Message, oracle: &Oracle) {
        match message {
            Message::Welcome(welcome) => {
                self.session = welcome.session;
                assert!(welcome.accepted);
            }
            Message::Deliver(deliver) => {
                let source: OdsCode = deliver.source.parse().unwrap();
                let pair = Pair {
                    source,
                    recipient: self.ods,
                };
                let grant = deliver.grant;
                assert!(
                    !oracle.ended.contains(&(pair, grant)),
                    "S1: {pair} grant {grant} after its end"
                );
                assert!(
                    !self.fenced.contains(&(source, grant)),
                    "S1: {pair} grant {grant} after its marker"
                );
                let suspended = [source, self.ods]
                    .iter()
                    .any(|ods| oracle.suspended.contains(ods));
                assert!(!suspended, "S1: {pair} while a side is suspended");
                let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered).unwrap();
                self.amend(source, grant, deliver.job, &batch);
            }
            Message::Fenced(fenced) => {
                self.fenced.insert((fenced.source.parse().unwrap(), fenced.grant));
            }
            Message::Withdraw(withdraw) => {
                let source: OdsCode = withdraw.source.parse().unwrap();
                assert!(
                    self.fenced.contains(&(source, withdraw.ended_grant)),
                    "the marker comes first"
                );
                self.held.entry(source).or_default().clear();
                self.confirms.push(withdraw.job);
            }
            Message::CatchUp(edge) => {
                let source: OdsCode = edge.source.parse().unwrap();
                assert!(!self.fenced.contains(&(source, edge.grant)));
                if !edge.complete {
                    return;
                }
                let confirmed = &self.confirmed;
                let named = |record: &String| confirmed.get(&(source, record.clone())) == Some(&edge.job);
                let held = self.held.entry(source).or_default();
                held.retain(|record, seq| *seq > edge.upto_seq || named(record));
                let at = self.position.entry((source, edge.grant)).or_default();
                *at = edge.upto_seq.max(*at);
            }
            Message::GrantStands(_) | Message::TreeHead(_) => {}
            Message::Piece(_) => panic!("nothing is that large here"),
        }
    }

    fn amend(&mut self, source: OdsCode, grant: u64, job: u64, batch: &Batch) {
        let held = self.held.entry(source).or_default();
        let position = self.position.entry((source, grant)).or_default();
        for entry in batch.entries() {
            let record = entry.record.to_string();
            if job != 0 {
                self.confirmed.insert((source, record.clone()), job);
                let at = held.entry(record).or_default();
                *at = entry.seq.max(*at);
                continue;
            }
            if entry.seq <= *position {
                continue;
            }
            *position = entry.seq;
            match entry.op {
                Op::Retract | Op::Remove => held.remove(&record),
                _ => held.insert(record, entry.seq),
            };
        }
    }

    pub(super) async fn receipt(&mut self) {
        let Some((_, subscription, wire)) = &self.live else {
            return;
        };
        if wire.0.is_cancelled() {
            return;
        }
        subscription.receipt(self.arrived, self.arrived).unwrap();
        for job in std::mem::take(&mut self.confirms) {
            subscription.withdrawal_confirmed(job, 0, 0).await.unwrap();
        }
    }
}
