//! A small deployment for the tests of the acts: three units on a real store, a delivery side that commits
//! and fences nothing.
//!
//! Z00101 has an administrator, a clinician, a privacy officer and an auditor; Z00202 an administrator and a
//! clinician; Z00303 nobody.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{Holder, NhsNumber, OdsCode, PersonId, RecordId},
};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    ActError, Agreements, Alerts, Caller, Connections, Context, Days, Projected, ScopeChange, SelfClaim,
    SetHalf, TokenMint,
};
use crate::{
    audit,
    clock::{Clock, ManualClock},
    consent::{Facts, GrantId, Pair, Patients, Policy, Side},
    delivery::Changes,
    ingest::Projector,
    random::Random,
    store::{
        AgreementRow, Deployment, NewPerson, NewToken, NewUnit, PersonRow, RecordVersion, Role, SqliteStore,
        Store, UnitKind, UnitRow, With, WordRow,
    },
};

pub(super) use super::test_revoker::StoreRevoker;

/// When the tests begin, milliseconds since 1970-01-01T00:00:00Z.
pub(super) const START: i64 = 1_795_392_000_000;

/// How long a token holds in the tests, milliseconds.
pub(super) const LIFETIME_MS: i64 = 60_000;

/// Everything that the acts stand on.
pub(super) struct World {
    pub(super) ctx: Context,
    pub(super) revoker: Arc<StoreRevoker>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) closed: Arc<Closed>,
    pub(super) alerted: Arc<Alerted>,
    dir: TempDir,
}

/// What is durable, to compare before and after.
pub(super) type Snapshot = (
    Vec<UnitRow>,
    Vec<PersonRow>,
    Vec<AgreementRow>,
    Vec<WordRow>,
    usize,
    Policy,
);

impl World {
    pub(super) async fn new() -> Self {
        Self::made(|_| {}).await
    }

    /// A deployment that was made with other options than the usual.
    pub(super) async fn made(other: impl FnOnce(&mut Deployment)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut deployment = Deployment {
            trust_domain: "care.example".to_owned(),
            test: true,
            policy: Policy::default(),
            zone: "Europe/London".to_owned(),
            default_patients: Patients::All,
            operator_sets_halves: false,
            made_at: START,
        };
        other(&mut deployment);
        let store = SqliteStore::create(dir.path(), &deployment).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let revoker = Arc::new(StoreRevoker::new(Arc::clone(&store), deployment.policy));
        let clock = Arc::new(ManualClock::at(START));
        let audit = audit::testing::log(&store, &(Arc::clone(&clock) as _)).await;
        let closed = Arc::new(Closed::default());
        let alerted = Arc::new(Alerted::default());
        let projected = Projected::new(Arc::clone(&store), Projector::default());
        let ctx = Context {
            projected,
            store,
            revoker: Arc::clone(&revoker) as _,
            connections: Arc::clone(&closed) as _,
            alerts: Arc::clone(&alerted) as _,
            changes: Arc::new(Changes::default()),
            clock: Arc::clone(&clock) as _,
            audit,
            tokens: TokenMint::new([7; 32], LIFETIME_MS, Arc::new(Counting::default())),
            days: Days::of(&deployment.zone).unwrap(),
            deployment: Arc::new(deployment),
        };
        let world = Self {
            ctx,
            revoker,
            clock,
            closed,
            alerted,
            dir,
        };
        world.people_it().await;
        world
    }

    /// Where its store is.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn people_it(&self) {
        for unit in ["Z00101", "Z00202", "Z00303"] {
            self.unit(unit).await;
        }
        self.person("op", None, Role::Operator).await;
        self.person("ann", Some("Z00101"), Role::UnitAdmin).await;
        self.person("cleo", Some("Z00101"), Role::Clinician).await;
        self.person("pam", Some("Z00101"), Role::PrivacyOfficer).await;
        self.person("aud", Some("Z00101"), Role::Auditor).await;
        self.person("bob", Some("Z00202"), Role::UnitAdmin).await;
        self.person("cat", Some("Z00202"), Role::Clinician).await;
    }

    /// Registers a unit in the store.
    pub(super) async fn unit(&self, code: &str) -> OdsCode {
        let unit = NewUnit {
            ods: ods(code),
            name: format!("Unit {code}"),
            kind: UnitKind::Gp,
        };
        let token = self.token(Holder::Unit(ods(code)));
        let now = self.clock.now_ms();
        self.ctx
            .store
            .register_unit(&unit, &token, now, &With::nothing())
            .await
            .unwrap();
        self.ctx.revoker.registered(ods(code));
        ods(code)
    }

    /// Adds a person to the store, whose token holds long.
    pub(super) async fn person(&self, id: &str, unit: Option<&str>, role: Role) -> PersonId {
        let person = NewPerson {
            id: pid(id),
            name: format!("Person {id}"),
            unit: unit.map(ods),
            role,
        };
        let token = self.token(Holder::Person(pid(id)));
        let now = self.clock.now_ms();
        self.ctx
            .store
            .add_person(&person, &token, now, &With::nothing())
            .await
            .unwrap();
        pid(id)
    }

    fn token(&self, holder: Holder) -> NewToken {
        let made_by = "a test".to_owned();
        let (mut kept, _) = self.ctx.tokens.mint(holder, made_by, START).unwrap();
        kept.expires_at = i64::MAX;
        kept
    }

    /// Who a person or (by ODS code) a unit's agent is now.
    pub(super) async fn caller(&self, who: &str) -> Caller {
        let holder = match who.parse::<OdsCode>() {
            Ok(ods) => Holder::Unit(ods),
            Err(_) => Holder::Person(pid(who)),
        };
        let found = Caller::resolve(&holder, &*self.ctx.store).await;
        found.unwrap().unwrap()
    }

    pub(super) async fn snapshot(&self) -> Snapshot {
        let store = &self.ctx.store;
        (
            store.units(self.clock.now_ms()).await.unwrap(),
            store.people().await.unwrap(),
            store.agreements(None).await.unwrap(),
            self.words().await,
            store.claims(ods("Z00101"), None, 100).await.unwrap().len(),
            self.ctx.revoker.book().policy(),
        )
    }

    async fn words(&self) -> Vec<WordRow> {
        let mut all = Vec::new();
        for n in 0..PATIENTS.len() {
            all.extend(self.ctx.store.words_of(patient(n), None, 100).await.unwrap());
        }
        all
    }

    /// A unit has so many records of a patient, in one category, current and projected.
    pub(super) async fn records(&self, unit: &str, patient: NhsNumber, category: Category, records: u64) {
        self.marked_records(unit, patient, category, Confidentiality::NORMAL, records)
            .await;
    }

    /// The same with marks on them.
    pub(super) async fn marked_records(
        &self,
        unit: &str,
        patient: NhsNumber,
        category: Category,
        confidentiality: Confidentiality,
        records: u64,
    ) {
        let store = &self.ctx.store;
        let before = store.projected_through(ods(unit)).await.unwrap();
        let subject = Subject {
            patient,
            category,
            confidentiality,
        };
        let versions = (before + 1..=before + records).map(|seq| RecordVersion {
            record: RecordId::new("Observation", &seq.to_string()).unwrap(),
            seq,
            subject: Some(subject),
            retracted: false,
        });
        let versions: Vec<RecordVersion> = versions.collect();
        store
            .project(ods(unit), &versions, before + records)
            .await
            .unwrap();
        self.revoker.knows(ods(unit), patient, |facts| Facts {
            recorded: true,
            ..facts
        });
    }
}

/// NHS numbers of the tests.
const PATIENTS: [u64; 4] = [9_990_000_018, 9_990_000_026, 9_990_000_034, 9_990_000_042];

/// A patient by place.
pub(super) fn patient(n: usize) -> NhsNumber {
    NhsNumber::from_u64(PATIENTS[n]).unwrap()
}

pub(super) fn ods(code: &str) -> OdsCode {
    code.parse().unwrap()
}

pub(super) fn pid(id: &str) -> PersonId {
    id.parse().unwrap()
}

pub(super) fn pair(source: &str, recipient: &str) -> Pair {
    Pair {
        source: ods(source),
        recipient: ods(recipient),
    }
}

/// A half to be turned.
pub(super) fn half(source: &str, recipient: &str, side: Side, on: bool) -> SetHalf {
    SetHalf {
        pair: pair(source, recipient),
        side,
        on,
        reason: "agreed".to_owned(),
        scope: ScopeChange::default(),
    }
}

/// Both halves of Z00101 → Z00202, by their administrators.
pub(super) async fn join(world: &World) -> GrantId {
    let agreements = Agreements::new(world.ctx.clone());
    let (ann, bob) = (world.caller("ann").await, world.caller("bob").await);
    let out = half("Z00101", "Z00202", Side::ShareOut, true);
    agreements.set(&ann, out).await.unwrap();
    let into = half("Z00101", "Z00202", Side::ShareIn, true);
    let set = agreements.set(&bob, into).await.unwrap();
    set.started.unwrap()
}

/// Bytes that are never twice the same.
#[derive(Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) -> io::Result<()> {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        out.iter_mut()
            .zip(n.iter().cycle())
            .for_each(|(out, byte)| *out = *byte);
        Ok(())
    }
}

/// Keeps whose connections were closed.
#[derive(Default)]
pub(super) struct Closed(pub(super) Mutex<Vec<String>>);

impl Connections for Closed {
    fn close(&self, holder: &Holder) {
        self.0.lock().push(holder.to_string());
    }
}

/// Keeps what privacy officers were alerted of.
#[derive(Default)]
pub(super) struct Alerted(pub(super) Mutex<Vec<SelfClaim>>);

#[async_trait]
impl Alerts for Alerted {
    async fn self_claimed(&self, claim: &SelfClaim) -> Result<(), ActError> {
        self.0.lock().push(claim.clone());
        Ok(())
    }
}
