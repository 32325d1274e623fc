//! A recipient's agent in memory, with the oracle looking on at everything that is handed over to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use handfast_proto::{
    amendment::{Batch, Form, Op},
    ids::{NhsNumber, OdsCode, StoreId},
    v1::{Deliver, subscribe_response::Message},
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    inbox::{Inbox, Under},
    oracle::{Consents, Version},
    rig::Rig,
    source::{Published, Source},
};
use crate::{
    consent::Pair,
    delivery::{Connection, Feed, Opened, Subscription},
    store::Hello,
};

/// A connection that is gone as soon as it is cut.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Wire(CancellationToken);

impl Connection for Wire {
    fn cut(&self) {
        self.0.cancel();
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let gone = self.0.clone();
        async move { gone.cancelled().await }.boxed()
    }
}

/// What everyone is held to.
#[derive(Default)]
pub(super) struct Watch {
    /// What is in force.
    pub(super) sure: Consents,
    /// What is in force as well as that, while a change is under way or may have been lost with a crash.
    pub(super) perhaps: Option<Consents>,
    /// Every version that was ever recorded, by content.
    pub(super) versions: BTreeMap<u64, (OdsCode, String, Version)>,
    /// Grants of which the call that ended them has returned "in force".
    pub(super) ended: BTreeSet<(Pair, u64)>,
}

impl Watch {
    /// What is in force becomes something else, sooner or later.
    pub(super) fn may_come(&mut self, after: impl FnOnce(&Consents) -> Consents) {
        self.perhaps = Some(after(&self.sure));
    }

    /// What was to come is in force.
    pub(super) fn come_into_force(&mut self) {
        if let Some(consents) = self.perhaps.take() {
            self.sure = consents;
        }
    }

    /// It is later now.
    pub(super) fn time_passes(&mut self, now: i64) {
        tell!("it is {now}");
        self.sure.now = now;
        self.sure.end_what_is_over();
    }

    pub(super) fn suspended(&self, unit: OdsCode) -> bool {
        self.sure.suspended.contains(&unit)
            || self.perhaps.as_ref().is_some_and(|c| c.suspended.contains(&unit))
    }

    /// Whether a unit is suspended, and whether what it shared out is withdrawn.
    pub(super) fn stands(&self, unit: OdsCode) -> (bool, bool) {
        (
            self.sure.suspended.contains(&unit),
            self.sure.withdrawn.contains(&unit),
        )
    }

    /// A unit recorded something. It may be a while until that counts for its caseload.
    pub(super) fn recorded(&mut self, unit: OdsCode, published: Published) {
        for (name, version) in published.versions {
            self.versions.insert(version.content, (unit, name, version));
        }
        for consents in [Some(&mut self.sure), self.perhaps.as_mut()]
            .into_iter()
            .flatten()
        {
            let about = published.patients.iter().map(|patient| (unit, *patient));
            consents.recorded.extend(about);
            for patient in &published.gone {
                consents.held.remove(&(unit, *patient));
            }
        }
    }

    /// The daemon has noticed everything that was recorded.
    pub(super) fn recorded_by_now(&mut self, sources: &[Source]) {
        let of = |source: &Source| {
            let unit = source.ods;
            source
                .current
                .values()
                .map(move |version| (unit, version.patient))
                .collect::<Vec<_>>()
        };
        let recorded: BTreeSet<(OdsCode, NhsNumber)> = sources.iter().flat_map(of).collect();
        for consents in [Some(&mut self.sure), self.perhaps.as_mut()]
            .into_iter()
            .flatten()
        {
            consents.recorded.clone_from(&recorded);
            consents.held.clone_from(&recorded);
        }
    }

    /// What a recipient is to hold at quiet.
    pub(super) fn expected(
        &self,
        recipient: OdsCode,
        sources: &[Source],
    ) -> BTreeMap<(OdsCode, String), u64> {
        let mut expected = BTreeMap::new();
        for source in sources.iter().filter(|source| source.ods != recipient) {
            let pair = Pair {
                source: source.ods,
                recipient,
            };
            for (name, version) in &source.current {
                if self.sure.allows(pair, version) {
                    expected.insert((source.ods, name.clone()), version.content);
                }
            }
        }
        expected
    }

    fn check(&self, pair: Pair, record: &str, content: u64) {
        let (source, name, version) = &self.versions[&content];
        assert_eq!(
            (*source, name.as_str()),
            (pair.source, record),
            "content {content} in a wrong place"
        );
        let allowed = |consents: &Consents| consents.allows(pair, version);
        let may_go = allowed(&self.sure) || self.perhaps.as_ref().is_some_and(allowed);
        assert!(
            may_go,
            "S2: {pair} was sent {record}, {version:?}, under {:#?}",
            self.sure
        );
    }
}

/// A recipient's agent, by the rules that it keeps.
pub(super) struct Recipient {
    pub(super) ods: OdsCode,
    store: u8,
    session: u64,
    durable: u64,
    pub(super) live: Option<(Box<Feed>, Subscription, Arc<Wire>)>,
    /// Grants whose marker came on this stream or an earlier one.
    fenced: BTreeSet<(OdsCode, u64)>,
    pub(super) inbox: Inbox,
    arrived: u64,
    watch: Arc<Mutex<Watch>>,
}

impl Recipient {
    pub(super) fn new(ods: OdsCode, n: u8, watch: Arc<Mutex<Watch>>) -> Self {
        Self {
            ods,
            store: n,
            session: 0,
            durable: 0,
            live: None,
            fenced: BTreeSet::new(),
            inbox: Inbox::default(),
            arrived: 0,
            watch,
        }
    }

    /// The agent is installed anew, with nothing.
    pub(super) fn install_anew(&mut self) {
        self.live = None;
        let n = self.store.wrapping_add(16);
        *self = Self::new(self.ods, n, Arc::clone(&self.watch));
    }

    /// The connection is gone. `durable`: all that had come is in the inbox, though no receipt said so.
    pub(super) fn disconnect(&mut self, durable: bool) {
        if durable && self.live.is_some() && self.arrived > 0 {
            self.durable = self.durable.max(self.arrived);
        }
        self.live = None;
    }

    pub(super) async fn connect(&mut self, rig: &Rig) {
        let wire = Arc::new(Wire::default());
        let hello = Hello {
            recipient: self.ods,
            store: StoreId::from_random([self.store; 16]),
            session: self.session,
            durable: self.durable,
        };
        (self.live, self.arrived) = (None, 0);
        let opening = rig.delivery.subscribe(hello, 4096, wire.clone());
        let Ok(opened) = rig.bounds.within("a subscription is opened", opening).await else {
            return;
        };
        match opened {
            Opened::Live(feed, subscription) => {
                self.live = Some((feed, subscription, wire));
            }
            Opened::NotAccepted(_) => panic!("{}: an inbox that lost nothing was refused", self.ods),
        }
    }

    /// Takes one message, if there is one. Whether there was.
    pub(super) fn read_one(&mut self) -> bool {
        let Some((feed, _, wire)) = &mut self.live else {
            return false;
        };
        if wire.0.is_cancelled() {
            self.live = None;
            return false;
        }
        match feed.next().now_or_never() {
            Some(Some(message)) => {
                self.arrived = message.number;
                if let Some(message) = message.message {
                    self.take(message);
                }
                true
            }
            Some(None) => {
                self.live = None;
                false
            }
            None => false,
        }
    }

    fn take(&mut self, message: Message) {
        let source = |text: &str| -> OdsCode { text.parse().unwrap() };
        match message {
            Message::Welcome(welcome) => {
                (self.session, self.durable) = (welcome.session, 0);
                let grants = welcome.grants.iter().map(|g| (source(&g.source), g.grant));
                self.inbox.welcome(grants);
            }
            Message::Deliver(deliver) => self.deliver(deliver),
            Message::Fenced(fenced) => {
                tell!("{} <- {fenced:?}", self.ods);
                let source = source(&fenced.source);
                self.fenced.insert((source, fenced.grant));
                self.inbox.fenced(source, fenced.grant);
            }
            Message::Withdraw(withdraw) => {
                tell!("{} <- {withdraw:?}", self.ods);
                let source = source(&withdraw.source);
                let marked = self.fenced.contains(&(source, withdraw.ended_grant));
                assert!(marked, "the marker comes before the withdrawal");
                self.inbox.withdraw(source, &withdraw);
            }
            Message::CatchUp(edge) => {
                tell!("{} <- {edge:?}", self.ods);
                let source = source(&edge.source);
                self.of_grant_in_force(source, edge.grant);
                self.inbox.edge(source, &edge);
            }
            Message::GrantStands(stands) => {
                let grant = stands.grant.unwrap();
                self.of_grant_in_force(source(&grant.source), grant.grant);
                self.inbox.in_force(source(&grant.source), grant.grant);
            }
            Message::Piece(_) | Message::TreeHead(_) => panic!("nothing of the kind is sent here"),
        }
    }

    /// S1: nothing of a grant follows its marker, nor the answer of the call that ended it.
    fn of_grant_in_force(&self, source: OdsCode, grant: u64) {
        let pair = self.pair(source);
        let ended = self.watch.lock().ended.contains(&(pair, grant));
        assert!(!ended, "S1: {pair} grant {grant} after its end");
        assert!(
            !self.fenced.contains(&(source, grant)),
            "S1: {pair} grant {grant} after its marker"
        );
    }

    fn deliver(&mut self, deliver: Deliver) {
        let source: OdsCode = deliver.source.parse().unwrap();
        self.of_grant_in_force(source, deliver.grant);
        self.inbox.in_force(source, deliver.grant);
        let batch = Batch::parse(deliver.header, deliver.body, Form::Delivered).unwrap();
        let under = Under {
            source,
            grant: deliver.grant,
            job: deliver.job,
        };
        for (index, entry) in batch.entries().enumerate() {
            let content = match entry.op {
                Op::Create | Op::Amend => {
                    let text = String::from_utf8(batch.payload(index).to_vec()).unwrap();
                    let content = text.parse().expect("a version comes with its payload");
                    self.watch
                        .lock()
                        .check(self.pair(source), entry.record.as_str(), content);
                    Some(content)
                }
                _ => None,
            };
            tell!(
                "{} <- {source} grant {} job {}: {} {:?} {} {content:?}",
                self.ods,
                under.grant,
                under.job,
                entry.seq,
                entry.op,
                entry.record
            );
            self.inbox.amend(under, &entry, content);
        }
    }

    fn pair(&self, source: OdsCode) -> Pair {
        Pair {
            source,
            recipient: self.ods,
        }
    }

    /// Says what has arrived and is durable, and confirms what was carried out.
    pub(super) async fn receipt(&mut self, rig: &Rig) {
        let Some((_, subscription, wire)) = &self.live else {
            return;
        };
        if wire.0.is_cancelled() {
            return;
        }
        subscription.receipt(self.arrived, self.arrived).unwrap();
        self.durable = self.arrived;
        for (job, removed) in std::mem::take(&mut self.inbox.confirms) {
            let confirmed = subscription.withdrawal_confirmed(job, removed, 0);
            rig.bounds
                .within("a withdrawal is confirmed", confirmed)
                .await
                .unwrap();
        }
    }
}
