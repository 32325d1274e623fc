//! A source's agent in memory: what it has recorded, and its outbox.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Category, Confidentiality, Form, Op, Subject, Text},
    chain::Chain,
    ids::{NhsNumber, OdsCode, RecordId, StoreId},
    statement::Statement,
};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::sync::mpsc;

use super::{oracle::Version, rig::Rig};
use crate::{
    ingest::{Notice, OutboxHello, Session, SessionEnd, batch_of_statement},
    store::LogBatch,
};

/// What records are about.
pub(super) const CATEGORIES: [Category; 3] =
    [Category::Allergies, Category::Medications, Category::Observations];

/// Records that a source may have.
const RECORDS: u64 = 12;

/// Contents are never given twice: each source has this many of its own.
const CONTENTS: u64 = 1_000_000;

/// A batch that the daemon has not acknowledged.
struct Unacked {
    batch: Arc<Batch>,
    before: Option<Chain>,
    after: Chain,
}

/// One source.
pub(super) struct Source {
    pub(super) ods: OdsCode,
    store: StoreId,
    /// The last content it gave.
    content: u64,
    pub(super) head: u64,
    chain: Option<Chain>,
    unacked: Vec<Unacked>,
    pub(super) current: BTreeMap<String, Version>,
    session: Option<(Arc<Session>, mpsc::Receiver<Notice>)>,
    /// Records whose payloads the daemon asked for.
    asked: Vec<RecordId>,
    /// Up to where it was said that what it stated is in force.
    pub(super) in_force: u64,
}

/// What a batch did to records.
pub(super) struct Published {
    /// For people.
    pub(super) changes: Vec<String>,
    /// Every version in it that may be forwarded or not.
    pub(super) versions: Vec<(String, Version)>,
    /// Everyone who a record was or is about.
    pub(super) patients: Vec<NhsNumber>,
    /// Those of them about whom there is no record any more.
    pub(super) gone: Vec<NhsNumber>,
}

impl Source {
    pub(super) fn new(ods: OdsCode, n: u8) -> Self {
        Self {
            ods,
            store: StoreId::from_random([n; 16]),
            content: u64::from(n) * CONTENTS,
            head: 0,
            chain: None,
            unacked: Vec::new(),
            current: BTreeMap::new(),
            session: None,
            asked: Vec::new(),
            in_force: 0,
        }
    }

    /// Some changes of records in one batch, entered as published.
    pub(super) fn record(&mut self, rng: &mut StdRng, patients: &[NhsNumber]) -> Published {
        let mut builder = BatchBuilder::new(self.head + 1);
        let mut done = Published {
            changes: Vec::new(),
            versions: Vec::new(),
            patients: Vec::new(),
            gone: Vec::new(),
        };
        for _ in 0..rng.random_range(1..5) {
            let name = format!("Observation/o-{}", rng.random_range(0..RECORDS));
            let before = self.current.get(&name).copied();
            done.patients.extend(before.map(|v| v.patient));
            let change = match before {
                Some(version) if rng.random_bool(0.15) => self.retract(&name, version),
                _ => {
                    self.content += 1;
                    let version = next_version(rng, before, patients, self.content);
                    done.versions.push((name.clone(), version));
                    done.patients.push(version.patient);
                    self.put(&name, before, version)
                }
            };
            let (seq, subject) = (self.head + 1 + builder.len() as u64, change.subject);
            done.changes
                .push(format!("{seq} {:?} {name} {subject:?}", change.op));
            builder.push(&change);
        }
        let made = builder.finish();
        self.queue(Arc::new(
            Batch::parse(made.header, made.body, Form::Published).unwrap(),
        ));
        let is_gone = |patient: &NhsNumber| self.current.values().all(|version| version.patient != *patient);
        done.gone = done.patients.iter().copied().filter(is_gone).collect();
        done
    }

    fn retract(&mut self, name: &str, version: Version) -> Amendment {
        self.current.remove(name);
        let mut change = amendment(name, version);
        (change.op, change.payload) = (Op::Retract, Bytes::new());
        change
    }

    fn put(&mut self, name: &str, before: Option<Version>, version: Version) -> Amendment {
        self.current.insert(name.to_owned(), version);
        let mut change = amendment(name, version);
        if let Some(before) = before {
            change.op = Op::Amend;
            change.former = Some(subject(before)).filter(|was| Some(*was) != change.subject);
        }
        change
    }

    /// Says something to the daemon itself. Its seq.
    pub(super) fn state(&mut self, patient: NhsNumber, statement: &Statement) -> u64 {
        let seq = self.head + 1;
        self.queue(batch_of_statement(seq, patient, statement.encode()));
        seq
    }

    fn queue(&mut self, batch: Arc<Batch>) {
        let before = self.chain;
        let mut after = before.unwrap_or(Chain::start(self.store));
        for index in 0..batch.len() {
            after = after.extend(batch.seq(index), &batch.amendment(index));
        }
        self.head = batch.last_seq();
        self.chain = Some(after);
        self.unacked.push(Unacked { batch, before, after });
    }

    /// Sends what is queued, and waits until it is acknowledged.
    pub(super) async fn send(&mut self, rig: &Rig) {
        self.offer(rig).await;
        let Some((session, _)) = self.session.as_ref().filter(|_| !self.unacked.is_empty()) else {
            return;
        };
        let (head, mut progress) = (self.head, session.watch());
        let acked = progress.wait_for(|p| p.acked >= head || p.end.is_some());
        if rig
            .bounds
            .within("what was sent is acknowledged", acked)
            .await
            .is_ok()
        {
            self.let_go_of_what_ended();
            if self.session.is_some() {
                self.unacked.clear();
            }
        }
    }

    /// An agent whose stream has ended, because its unit was suspended, connects again, whether or not it has
    /// anything to send: what the daemon asks of it is asked only while it is connected.
    fn let_go_of_what_ended(&mut self) {
        let Some((session, _)) = &self.session else { return };
        let end = session.watch().borrow().end.clone();
        match end {
            None => {}
            Some(SessionEnd::TakenOver) => {
                self.listen();
                self.session = None;
            }
            Some(end) => panic!("what {} sends is not taken: {end:?}", self.ods),
        }
    }

    /// Sends what is queued.
    pub(super) async fn offer(&mut self, rig: &Rig) {
        self.let_go_of_what_ended();
        if self.session.is_none() {
            let session = rig.publishers.open(self.ods, self.store).unwrap();
            let notices = session.notices().unwrap();
            let head = rig.committer.heads().of(self.ods);
            let hello = OutboxHello {
                store: self.store,
                acked_seq: head.seq,
                acked_chain: head.chain,
            };
            let welcome = rig.publishers.greet(&session, &hello, head);
            self.in_force = self.in_force.max(welcome.in_force_seq);
            self.unacked.retain(|sent| sent.batch.last_seq() > head.seq);
            self.session = Some((session, notices));
            rig.delivery.connected(self.ods);
        }
        let Some((session, _)) = &self.session else { return };
        for sent in &self.unacked {
            let log = LogBatch {
                source: self.ods,
                store: self.store,
                batch: Arc::clone(&sent.batch),
                chain_before: sent.before,
                chain_after: sent.after,
            };
            let offered = rig.committer.offer(session, log);
            rig.bounds.within("a batch is queued", offered).await.unwrap();
        }
    }

    /// Whether everything is acknowledged.
    pub(super) fn is_sent(&self) -> bool {
        self.unacked.is_empty()
    }

    /// The daemon, or the connection to it, is gone.
    pub(super) fn disconnect(&mut self) {
        self.session = None;
    }

    /// Takes what the daemon says.
    pub(super) fn listen(&mut self) {
        let Some((_, notices)) = &mut self.session else {
            return;
        };
        while let Ok(notice) = notices.try_recv() {
            match notice {
                Notice::InForce { seq, pending } if !pending => self.in_force = self.in_force.max(seq),
                Notice::InForce { .. } => {}
                Notice::Resend(records) => self.asked.extend(records),
            }
        }
    }

    /// Queues again the versions that were asked for. Whether there were any.
    pub(super) fn resend(&mut self) -> bool {
        let asked = std::mem::take(&mut self.asked);
        let held = asked
            .iter()
            .filter_map(|r| Some((r.to_string(), *self.current.get(r.as_str())?)));
        let held: Vec<(String, Version)> = held.filter(|(_, version)| !version.marked).collect();
        for (name, version) in &held {
            let mut builder = BatchBuilder::new(self.head + 1);
            let mut again = amendment(name, *version);
            again.op = Op::Amend;
            builder.push(&again);
            let made = builder.finish();
            self.queue(Arc::new(
                Batch::parse(made.header, made.body, Form::Published).unwrap(),
            ));
        }
        !held.is_empty()
    }
}

fn next_version(rng: &mut StdRng, before: Option<Version>, patients: &[NhsNumber], content: u64) -> Version {
    let fresh = Version {
        patient: *patients.choose(rng).unwrap(),
        category: *CATEGORIES.choose(rng).unwrap(),
        marked: rng.random_bool(0.1),
        content,
    };
    let Some(before) = before else { return fresh };
    Version {
        patient: if rng.random_bool(0.2) {
            fresh.patient
        } else {
            before.patient
        },
        category: if rng.random_bool(0.2) {
            fresh.category
        } else {
            before.category
        },
        ..fresh
    }
}

fn subject(version: Version) -> Subject {
    let marks = if version.content.is_multiple_of(2) {
        Confidentiality::PRIVATE
    } else {
        Confidentiality::RESTRICTED
    };
    Subject {
        patient: version.patient,
        category: version.category,
        confidentiality: if version.marked {
            marks
        } else {
            Confidentiality::NORMAL
        },
    }
}

fn amendment(name: &str, version: Version) -> Amendment {
    let payload = if version.marked {
        String::new()
    } else {
        version.content.to_string()
    };
    Amendment {
        op: Op::Create,
        record: name.parse().unwrap(),
        subject: Some(subject(version)),
        former: None,
        author: Text::default(),
        recorded_at: 1,
        content_type: Text::new("text/plain").unwrap(),
        payload: Bytes::from(payload.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        clock::ManualClock,
        delivery::walk::{
            acts::{Act, perform},
            bounds::Bounds,
            rig::{self, UNITS},
        },
    };

    use super::*;

    /// Fails where `offer` keeps a session that has ended: then nothing is ever asked of the source again.
    #[tokio::test]
    async fn a_source_that_was_suspended_connects_again_though_it_has_nothing_to_send() {
        let dir = tempfile::tempdir().unwrap();
        rig::make(dir.path()).await;
        let rig = Rig::start(dir.path(), Arc::new(ManualClock::at(1_000)), Bounds::new()).await;
        let mut source = Source::new(UNITS[0].parse().unwrap(), 1);
        source.send(&rig).await;
        assert_eq!(rig.publishers.units(), [source.ods]);
        for act in [Act::Suspend(source.ods, false), Act::Resume(source.ods)] {
            perform(&rig.delivery, &act, 1_000).await.unwrap();
        }
        assert_eq!(
            rig.publishers.units(),
            [],
            "its session ended with the suspension"
        );
        source.send(&rig).await;
        assert_eq!(rig.publishers.units(), [source.ods]);
    }
}
