//! Random walks over the delivery side: units publish, halves are turned, recipients read slowly, stop
//! reading, drop their connection and come back, while an oracle that knows only the promises watches.
//!
//! What it holds delivery to: nothing of an ended grant is handed over once the call that ended it has
//! returned (S1), nor after its marker on any stream; nothing arrives without a grant (S2); at quiet every
//! recipient holds exactly what its sources' records are, in order, once (L1). The seed is printed, and
//! `HANDFAST_SEED` replays it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use handfast_proto::{
    amendment::Op,
    chain::Chain,
    ids::{Holder, OdsCode, StoreId},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio_util::sync::CancellationToken;

use super::recipient::{Oracle, Recipient};
use crate::{
    clock::ManualClock,
    consent::{Pair, Patients, Policy, Side},
    delivery::{Delivery, DeliveryParts, Revoker as _},
    ingest::{Committer, Publishers, committer, projector, tests::batch_of},
    store::{
        Deployment, HalfChange, LogBatch, NewToken, NewUnit, SqliteStore, Store as _, UnitChange, UnitKind,
        UnitState, With,
    },
};

const UNITS: [&str; 3] = ["Z00101", "Z00202", "Z00303"];
const DRAIN: Duration = Duration::from_millis(5);

struct Source {
    ods: OdsCode,
    head: u64,
    chain: Option<Chain>,
    current: BTreeMap<String, u64>,
}

struct World {
    rng: StdRng,
    delivery: Delivery,
    committer: Committer,
    publishers: Arc<Publishers>,
    oracle: Arc<Mutex<Oracle>>,
    recipients: Vec<Recipient>,
    sources: Vec<Source>,
    calls: Vec<tokio::task::JoinHandle<()>>,
}

fn deployment() -> Deployment {
    Deployment {
        trust_domain: "walk.example".to_owned(),
        test: true,
        policy: Policy::UnlessDissented,
        zone: "Europe/London".to_owned(),
        default_patients: Patients::All,
        operator_sets_halves: false,
        made_at: 1,
    }
}

impl World {
    async fn new(seed: u64, dir: &std::path::Path) -> Self {
        let store = Arc::new(SqliteStore::create(dir, &deployment()).await.unwrap());
        for (n, ods) in UNITS.iter().enumerate() {
            let ods: OdsCode = ods.parse().unwrap();
            let unit = NewUnit {
                ods,
                name: ods.to_string(),
                kind: UnitKind::Gp,
            };
            let holder = Holder::Unit(ods);
            let hash = [u8::try_from(n).unwrap(); 32];
            let token = NewToken {
                holder,
                hash,
                expires_at: 2,
                made_by: "walk".to_owned(),
            };
            store
                .register_unit(&unit, &token, 1, &With::nothing())
                .await
                .unwrap();
        }
        let clock = Arc::new(ManualClock::at(1));
        let committed = Arc::default();
        let (committer, commits) = committer(store.clone(), clock.clone(), Arc::clone(&committed))
            .await
            .unwrap();
        let (projector, projects) = projector(committer.clone(), store.clone(), committed);
        tokio::spawn(commits.run(CancellationToken::new()));
        tokio::spawn(projects.run(CancellationToken::new()));
        let publishers = Arc::new(Publishers::default());
        let parts = DeliveryParts {
            store,
            clock,
            committer: committer.clone(),
            projector,
            publishers: Arc::clone(&publishers),
            changes: Arc::default(),
            drain: DRAIN,
        };
        let delivery = Delivery::start(parts).await.unwrap();
        let recipients = UNITS
            .iter()
            .zip(1..)
            .map(|(ods, n)| Recipient::new(ods.parse().unwrap(), n))
            .collect();
        let source = |ods: &&str| Source {
            ods: ods.parse().unwrap(),
            head: 0,
            chain: None,
            current: BTreeMap::new(),
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            delivery,
            committer,
            publishers,
            oracle: Arc::default(),
            recipients,
            sources: UNITS.iter().map(source).collect(),
            calls: Vec::new(),
        }
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..30 => self.publish().await,
            30..85 => self.read().await,
            85..93 => self.toggle(),
            93..95 => self.suspend().await,
            95..98 => {
                let n = self.rng.random_range(0..self.recipients.len());
                self.recipients[n].live = None;
            }
            _ => tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..10))).await,
        }
    }

    async fn publish(&mut self) {
        let n = self.rng.random_range(0..self.sources.len());
        let store = StoreId::from_random([u8::try_from(n).unwrap(); 16]);
        let source = &mut self.sources[n];
        let session = self.publishers.open(source.ods, store).unwrap();
        let records: Vec<(Op, u64)> = (0..self.rng.random_range(1..5))
            .map(|_| {
                let record = self.rng.random_range(0..40);
                let held = source.current.contains_key(&format!("Observation/o-{record}"));
                let retract = held && self.rng.random_bool(0.2);
                (if retract { Op::Retract } else { Op::Create }, record)
            })
            .collect();
        let batch = batch_of(source.head + 1, &records);
        for (entry, (op, record)) in batch.entries().zip(&records) {
            let record = format!("Observation/o-{record}");
            match op {
                Op::Retract => source.current.remove(&record),
                _ => source.current.insert(record, entry.seq),
            };
        }
        source.head = batch.last_seq();
        let after = Chain::start(StoreId::from_random(
            [u8::try_from(source.head % 251).unwrap(); 16],
        ));
        let log = LogBatch {
            source: source.ods,
            store,
            batch,
            chain_before: source.chain,
            chain_after: after,
        };
        source.chain = Some(after);
        self.committer.offer(&session, log).await.unwrap();
        let head = source.head;
        session.watch().wait_for(|p| p.acked == head).await.unwrap();
        self.publishers.close(&session);
    }

    fn toggle(&mut self) {
        let units: Vec<OdsCode> = self.sources.iter().map(|s| s.ods).collect();
        let two: Vec<&OdsCode> = units.choose_multiple(&mut self.rng, 2).collect();
        let pair = Pair {
            source: *two[0],
            recipient: *two[1],
        };
        let side = if self.rng.random() {
            Side::ShareOut
        } else {
            Side::ShareIn
        };
        let on = self.rng.random_bool(0.7);
        self.call(pair, side, on);
    }

    /// Suspends a unit for a moment, or ends its suspension.
    async fn suspend(&mut self) {
        let n = self.rng.random_range(0..self.sources.len());
        let ods = self.sources[n].ods;
        let state = if self.rng.random() {
            UnitState::Suspended
        } else {
            UnitState::Enrolled
        };
        if state == UnitState::Enrolled {
            self.oracle.lock().unwrap().suspended.remove(&ods);
        }
        let changed = self
            .delivery
            .set_unit_state(unit_change(ods, state), Vec::new())
            .await
            .unwrap();
        if state == UnitState::Suspended && changed.in_force {
            self.oracle.lock().unwrap().suspended.insert(ods);
        }
    }

    fn call(&mut self, pair: Pair, side: Side, on: bool) {
        let (delivery, oracle) = (self.delivery.clone(), Arc::clone(&self.oracle));
        let change = HalfChange {
            pair,
            side,
            on,
            by: "walk".to_owned(),
            reason: String::new(),
            at: 1,
            scope: None,
        };
        self.calls.push(tokio::spawn(async move {
            let answer = delivery.set_half(change, Vec::new()).await.unwrap();
            if let (true, Some((grant, _))) = (answer.in_force, answer.outcome.ended) {
                oracle.lock().unwrap().ended.insert((pair, grant.0));
            }
        }));
    }

    async fn read(&mut self) {
        let n = self.rng.random_range(0..self.recipients.len());
        if self.recipients[n].live.is_none() {
            self.recipients[n].connect(&self.delivery).await;
        }
        for _ in 0..self.rng.random_range(1..8) {
            tokio::task::yield_now().await;
            self.recipients[n].read_one(&self.oracle);
        }
        if self.rng.random_bool(0.6) {
            self.recipients[n].receipt().await;
        }
    }

    /// Everything on, everyone reads: each recipient comes to hold what the sources have.
    async fn settle(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            call.await.unwrap();
        }
        let units: Vec<OdsCode> = self.sources.iter().map(|s| s.ods).collect();
        self.oracle.lock().unwrap().suspended.clear();
        for unit in &units {
            self.delivery
                .set_unit_state(unit_change(*unit, UnitState::Enrolled), Vec::new())
                .await
                .unwrap();
        }
        for source in &units {
            for recipient in units.iter().filter(|r| *r != source) {
                let pair = Pair {
                    source: *source,
                    recipient: *recipient,
                };
                self.call(pair, Side::ShareOut, true);
                self.call(pair, Side::ShareIn, true);
            }
        }
        for _ in 0..20_000 {
            for recipient in &mut self.recipients {
                if recipient.live.is_none() {
                    recipient.connect(&self.delivery).await;
                }
                while recipient.read_one(&self.oracle) {}
                recipient.receipt().await;
            }
            if self.recipients.iter().all(|r| self.in_step(r)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for r in &self.recipients {
            for s in self.sources.iter().filter(|s| s.ods != r.ods) {
                assert_eq!(r.held.get(&s.ods), Some(&s.current), "{} of {}", r.ods, s.ods);
            }
        }
    }

    fn in_step(&self, recipient: &Recipient) -> bool {
        let others = self.sources.iter().filter(|s| s.ods != recipient.ods);
        others
            .into_iter()
            .all(|s| recipient.held.get(&s.ods).is_some_and(|held| *held == s.current))
    }
}

fn unit_change(ods: OdsCode, state: UnitState) -> UnitChange {
    UnitChange {
        ods,
        state,
        withdraw: false,
        by: "walk".to_owned(),
        reason: String::new(),
        at: 1,
    }
}

async fn walk(seed: u64, steps: usize) {
    println!("HANDFAST_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(seed, dir.path()).await;
    for _ in 0..steps {
        world.step().await;
    }
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_walks_keep_s1_s2_and_l1() {
    let seeds = match std::env::var("HANDFAST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..6).map(|_| rand::random()).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        walk(seed, 1500).await;
    }
}
