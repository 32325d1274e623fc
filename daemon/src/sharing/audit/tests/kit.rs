//! A source's stream with several patients, and entries about what became of it.

use std::sync::Arc;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Category, Confidentiality, Form, Op, Subject, Text},
    audit::Runs,
    chain::Chain,
    ids::{NhsNumber, OdsCode, StoreId},
    v1::PerhapsCause,
};

use crate::{
    audit::{
        Actor, Event,
        events::{Disclosed, PerhapsDisclosed, Withheld},
    },
    consent::{GrantId, Pair, Reason},
    sharing::{
        AuditDesk, Search,
        testing::{World, join, ods, pair},
    },
    store::{AppendGroup, LogBatch, RecordVersion, Role, With},
};

/// A world with two privacy officers and an auditor, and Z00101's stream towards Z00202.
pub(super) struct Told {
    pub(super) world: World,
    pub(super) desk: AuditDesk,
    pub(super) grant: GrantId,
    source: OdsCode,
    next: u64,
    chain: Chain,
}

impl Told {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        world.person("pat", Some("Z00202"), Role::PrivacyOfficer).await;
        world.person("tom", Some("Z00303"), Role::PrivacyOfficer).await;
        let grant = join(&world).await;
        Self {
            desk: AuditDesk::new(world.ctx.clone()),
            world,
            grant,
            source: ods("Z00101"),
            next: 1,
            chain: Chain::start(StoreId::from_random([7; 16])),
        }
    }

    /// Appends a batch of changes and projects it: record, patient, what it does.
    pub(super) async fn publish(&mut self, changes: &[(&str, NhsNumber, Op)]) {
        let changes = changes
            .iter()
            .map(|(record, patient, op)| (*record, of(*patient), *op));
        let versions = self.append(&changes.collect::<Vec<_>>()).await;
        self.project(&versions).await;
    }

    /// The same of records with a category and marks.
    pub(super) async fn publish_as(&mut self, changes: &[(&str, Subject, Op)]) {
        let versions = self.append(changes).await;
        self.project(&versions).await;
    }

    /// Appends a batch of changes, and leaves it to whoever projects.
    pub(super) async fn append(&mut self, changes: &[(&str, Subject, Op)]) -> Vec<RecordVersion> {
        let (first, before) = (self.next, self.chain);
        let mut builder = BatchBuilder::new(first);
        let mut versions = Vec::new();
        for (record, subject, op) in changes {
            let change = amendment(record, *subject, *op);
            self.chain = self.chain.extend(self.next, &change);
            builder.push(&change);
            versions.push(RecordVersion {
                record: change.record,
                seq: self.next,
                subject: change.subject,
                retracted: *op == Op::Retract,
            });
            self.next += 1;
        }
        let made = builder.finish();
        let batch = LogBatch {
            source: self.source,
            store: StoreId::from_random([7; 16]),
            batch: Arc::new(Batch::parse(made.header, made.body, Form::Published).unwrap()),
            chain_before: Some(before),
            chain_after: self.chain,
        };
        let group = AppendGroup {
            batches: vec![Arc::new(batch)],
            at: self.now(),
            ..AppendGroup::default()
        };
        self.world.ctx.store.append(&group).await.unwrap();
        versions
    }

    /// Projects what was appended last.
    pub(super) async fn project(&self, versions: &[RecordVersion]) {
        let store = &self.world.ctx.store;
        store.project(self.source, versions, self.next - 1).await.unwrap();
    }

    /// Enters that removals by record id are durable at Z00202.
    pub(super) async fn removed(&self, first: u64, last: u64) {
        let event = Disclosed {
            pair: self.to("Z00202"),
            grant: self.grant,
            job: None,
            runs: &Runs::default(),
            removals: &Runs::of(first, last),
        };
        self.enter(&Actor::Daemon, &event).await;
    }

    /// Enters that seqs are durable at a recipient.
    pub(super) async fn disclosed(&self, recipient: &str, first: u64, last: u64) {
        let event = Disclosed {
            pair: self.to(recipient),
            grant: self.grant,
            job: None,
            runs: &Runs::of(first, last),
            removals: &Runs::default(),
        };
        self.enter(&Actor::Daemon, &event).await;
    }

    /// Enters that it is not known whether seqs arrived.
    pub(super) async fn perhaps(&self, recipient: &str, first: u64, last: u64) {
        let event = PerhapsDisclosed {
            pair: self.to(recipient),
            grant: self.grant,
            job: None,
            runs: &Runs::of(first, last),
            cause: PerhapsCause::GrantEnded,
        };
        self.enter(&Actor::Daemon, &event).await;
    }

    /// Enters that seqs were withheld from Z00202.
    pub(super) async fn withheld(&self, reason: Reason, first: u64, last: u64) {
        let event = Withheld {
            pair: self.to("Z00202"),
            grant: self.grant,
            job: None,
            withheld: &[(reason, Runs::of(first, last))],
        };
        self.enter(&Actor::Daemon, &event).await;
    }

    pub(super) async fn enter(&self, actor: &Actor, event: &dyn Event) {
        let entry = self.world.ctx.audit.entry(self.now(), actor, event).unwrap();
        let group = AppendGroup {
            with: With::audit(vec![entry]),
            ..AppendGroup::default()
        };
        self.world.ctx.store.append(&group).await.unwrap();
    }

    pub(super) fn to(&self, recipient: &str) -> Pair {
        pair("Z00101", recipient)
    }

    pub(super) fn now(&self) -> i64 {
        self.world.ctx.clock.now_ms()
    }
}

/// An observation of a patient's that is not marked.
pub(super) fn of(patient: NhsNumber) -> Subject {
    Subject {
        patient,
        category: Category::Observations,
        confidentiality: Confidentiality::NORMAL,
    }
}

fn amendment(record: &str, subject: Subject, op: Op) -> Amendment {
    let bare = op == Op::Retract;
    Amendment {
        op,
        record: record.parse().unwrap(),
        subject: Some(subject),
        former: None,
        author: Text::default(),
        recorded_at: 1,
        content_type: Text::new("application/fhir+json").unwrap(),
        payload: Bytes::from_static(if bare { b"" } else { b"{}" }),
    }
}

/// A search for a patient, or for everything.
pub(super) fn search(patient: Option<NhsNumber>) -> Search {
    Search {
        reason: "a complaint".to_owned(),
        patient,
        unit: None,
        kinds: Vec::new(),
        from: 0,
        to: 0,
        limit: 0,
        after: String::new(),
    }
}
