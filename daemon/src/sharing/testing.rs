//! A small deployment for the tests of the acts: three units on a real store, a delivery side that commits
//! and fences nothing.
//!
//! Z00101 has an administrator, a clinician, a privacy officer and an auditor; Z00202 an administrator;
//! Z00303 nobody.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use handfast_proto::ids::{Holder, OdsCode, PersonId};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Agreements, Caller, Connections, Context, SetHalf, TokenMint};
use crate::{
    clock::{Clock, ManualClock},
    consent::{Book, GrantId, Pair, Patients, Policy, Side},
    delivery::{Changes, DeliveryStatus, HalfInForce, InForce, Receipt, Revoker, UnitInForce, WordsInForce},
    random::Random,
    store::{
        AgreementRow, ClaimChange, Deployment, HalfChange, NewEntry, NewPerson, NewToken, NewUnit, PersonRow,
        Role, SqliteStore, Store, StoreError, UnitKind, UnitRow, UnitState, With, WordChange,
    },
};

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
    _dir: TempDir,
}

/// What is durable, to compare before and after.
pub(super) type Snapshot = (Vec<UnitRow>, Vec<PersonRow>, Vec<AgreementRow>);

impl World {
    pub(super) async fn new() -> Self {
        Self::with_operator_sets_halves(false).await
    }

    pub(super) async fn with_operator_sets_halves(operator_sets_halves: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            trust_domain: "care.example".to_owned(),
            test: true,
            policy: Policy::default(),
            zone: "Europe/London".to_owned(),
            default_patients: Patients::All,
            operator_sets_halves,
            made_at: START,
        };
        let store = SqliteStore::create(dir.path(), &deployment).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let revoker = Arc::new(StoreRevoker {
            store: Arc::clone(&store),
            pending: AtomicBool::new(false),
            status: Mutex::default(),
            book: Mutex::default(),
        });
        let clock = Arc::new(ManualClock::at(START));
        let closed = Arc::new(Closed::default());
        let ctx = Context {
            store,
            revoker: Arc::clone(&revoker) as _,
            connections: Arc::clone(&closed) as _,
            changes: Arc::new(Changes::default()),
            clock: Arc::clone(&clock) as _,
            tokens: TokenMint::new([7; 32], LIFETIME_MS, Arc::new(Counting::default())),
            deployment: Arc::new(deployment),
        };
        let world = Self {
            ctx,
            revoker,
            clock,
            closed,
            _dir: dir,
        };
        world.people_it().await;
        world
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
        let found = Caller::resolve(&holder, &*self.ctx.store, self.clock.now_ms()).await;
        found.unwrap().unwrap()
    }

    pub(super) async fn snapshot(&self) -> Snapshot {
        let store = &self.ctx.store;
        (
            store.units(self.clock.now_ms()).await.unwrap(),
            store.people().await.unwrap(),
            store.agreements(None).await.unwrap(),
        )
    }
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
    set.outcome.started.unwrap()
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

/// Commits what it is asked, and answers "pending" when told to.
pub(super) struct StoreRevoker {
    store: Arc<dyn Store>,
    pub(super) pending: AtomicBool,
    pub(super) status: Mutex<DeliveryStatus>,
    /// What `book` answers.
    pub(super) book: Mutex<Book>,
}

impl StoreRevoker {
    fn in_force(&self) -> InForce {
        InForce {
            in_force: !self.pending.load(Ordering::Relaxed),
            receipts: Vec::new(),
        }
    }
}

#[async_trait]
impl Revoker for StoreRevoker {
    async fn set_half(&self, change: HalfChange, audit: Vec<NewEntry>) -> Result<HalfInForce, StoreError> {
        let outcome = self.store.set_half(&change, &With::audit(audit)).await?;
        let receipt = outcome.ended.map(|(ended, cursor)| Receipt {
            ended,
            received_through: cursor,
            may_have_received: None,
            connection_cut: false,
        });
        Ok(HalfInForce {
            outcome,
            in_force: !self.pending.load(Ordering::Relaxed),
            receipt,
        })
    }

    async fn set_unit_state(
        &self,
        ods: OdsCode,
        state: UnitState,
        by: &str,
        reason: &str,
        at: i64,
        audit: Vec<NewEntry>,
    ) -> Result<UnitInForce, StoreError> {
        let with = With::audit(audit);
        let outcome = self
            .store
            .set_unit_state(ods, state, by, reason, at, &with)
            .await?;
        Ok(UnitInForce {
            outcome,
            in_force: !self.pending.load(Ordering::Relaxed),
        })
    }

    async fn record_words(
        &self,
        changes: Vec<WordChange>,
        audit: Vec<NewEntry>,
    ) -> Result<WordsInForce, StoreError> {
        let outcomes = self.store.record_words(&changes, &With::audit(audit)).await?;
        Ok(WordsInForce {
            outcomes,
            in_force: self.in_force(),
        })
    }

    async fn set_claims(
        &self,
        changes: Vec<ClaimChange>,
        audit: Vec<NewEntry>,
    ) -> Result<InForce, StoreError> {
        self.store.set_claims(&changes, &With::audit(audit)).await?;
        Ok(self.in_force())
    }

    async fn set_policy(&self, policy: Policy, audit: Vec<NewEntry>) -> Result<InForce, StoreError> {
        self.store.set_policy(policy, START, &With::audit(audit)).await?;
        Ok(self.in_force())
    }

    fn book(&self) -> Arc<Book> {
        Arc::new(self.book.lock().clone())
    }

    fn registered(&self, _: OdsCode) {}

    fn status(&self) -> DeliveryStatus {
        self.status.lock().clone()
    }
}
