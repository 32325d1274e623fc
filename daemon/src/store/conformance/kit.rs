//! Synthetic units, batches and acts for the suite. Every time is fixed.

use std::sync::Arc;

use handfast_proto::{
    amendment::{Batch, Category, Confidentiality, Form, Subject},
    chain::Chain,
    ids::{Holder, OdsCode, PersonId, StoreId},
};

use super::backend::Backend;
use crate::{
    consent::{GrantId, Pair, Patients, Policy, Side},
    store::{
        AppendGroup, Certificate, Deployment, HalfChange, HalfOutcome, Hello, Job, JobId, JobKind, LogBatch,
        NewPerson, NewToken, NewUnit, Role, Store, StoreError, Subscription, UnitChange, UnitKind, UnitState,
        With,
    },
};

/// When every test begins.
pub(crate) const T0: i64 = 1_800_000_000_000;

/// How long the tokens of the kit hold.
pub(crate) const TOKEN_MS: i64 = 3_600_000;

pub(crate) const HILL: &str = "Z00101";
pub(crate) const VALE: &str = "Z00102";
pub(crate) const WARD: &str = "Z00201";

/// Asserts how something fails.
macro_rules! assert_fails {
    ($result:expr, $kind:pat) => {
        match $result {
            Err($kind) => {}
            other => panic!("expected {}, got {other:?}", stringify!($kind)),
        }
    };
}
pub(crate) use assert_fails;

pub(crate) fn ods(code: &str) -> OdsCode {
    code.parse().unwrap()
}

pub(crate) fn pair(source: &str, recipient: &str) -> Pair {
    Pair {
        source: ods(source),
        recipient: ods(recipient),
    }
}

pub(crate) fn deployment() -> Deployment {
    Deployment {
        trust_domain: "care.example".to_owned(),
        test: true,
        policy: Policy::Explicit,
        zone: "Europe/London".to_owned(),
        default_patients: Patients::Caseload,
        operator_sets_halves: false,
        made_at: T0,
    }
}

/// A backend without units.
pub(crate) async fn empty<B: Backend>() -> B {
    B::create(&deployment()).await
}

/// A backend with the units [`HILL`], [`VALE`] and [`WARD`].
pub(crate) async fn with_units<B: Backend>() -> B {
    let backend: B = empty().await;
    for code in [HILL, VALE, WARD] {
        register(backend.store(), code).await.unwrap();
    }
    backend
}

/// A backend with units, and both halves of a pair on.
pub(crate) async fn joined<B: Backend>(pair: Pair) -> (B, GrantId) {
    let backend: B = with_units().await;
    let grant = join(backend.store(), pair).await;
    (backend, grant)
}

// === Units, people, tokens ===

pub(crate) async fn register(store: &impl Store, code: &str) -> Result<(), StoreError> {
    let unit = NewUnit {
        ods: ods(code),
        name: format!("Unit {code}"),
        kind: UnitKind::Gp,
    };
    let token = token(Holder::Unit(unit.ods), &format!("first of {code}"));
    store
        .register_unit(&unit, &token, T0, &With::nothing())
        .await
        .map(drop)
}

/// A token that holds from [`T0`]; `name` makes its hash.
pub(crate) fn token(holder: Holder, name: &str) -> NewToken {
    NewToken {
        holder,
        hash: hash(name),
        expires_at: T0 + TOKEN_MS,
        made_by: "operator".to_owned(),
    }
}

pub(crate) fn hash(name: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    hash
}

pub(crate) fn certificate(holder: Holder, serial: u8) -> Certificate {
    Certificate {
        holder,
        serial: vec![0, serial],
        not_after: T0 + 30 * 86_400_000,
    }
}

pub(crate) fn person_id(id: &str) -> PersonId {
    id.parse().unwrap()
}

pub(crate) fn person(id: &str, unit: &str, role: Role) -> NewPerson {
    NewPerson {
        id: person_id(id),
        name: format!("Person {id}"),
        unit: Some(ods(unit)),
        role,
    }
}

/// Adds a person; the token is named after their id.
pub(crate) async fn add_person(
    store: &impl Store,
    id: &str,
    unit: &str,
    role: Role,
) -> Result<(), StoreError> {
    let token = token(Holder::Person(person_id(id)), id);
    store
        .add_person(&person(id, unit, role), &token, T0, &With::nothing())
        .await
        .map(drop)
}

// === Agreements ===

/// A unit is to stand otherwise, without a withdrawal.
pub(crate) fn unit_change(code: &str, state: UnitState) -> UnitChange {
    UnitChange {
        ods: ods(code),
        state,
        withdraw: false,
        by: "operator".to_owned(),
        reason: "a reason".to_owned(),
        at: T0 + 5,
    }
}

pub(crate) async fn turn(
    store: &impl Store,
    pair: Pair,
    side: Side,
    on: bool,
) -> Result<HalfOutcome, StoreError> {
    let change = HalfChange {
        pair,
        side,
        on,
        by: format!("administrator of {}", side.owner(pair)),
        reason: "agreed".to_owned(),
        scope: None,
        at: T0 + 1,
    };
    store.set_half(&change, &With::nothing()).await
}

/// Turns both halves on, of which one may be on already.
pub(crate) async fn join(store: &impl Store, pair: Pair) -> GrantId {
    let share_in = turn(store, pair, Side::ShareIn, true).await.unwrap();
    let share_out = turn(store, pair, Side::ShareOut, true).await.unwrap();
    share_out.started.or(share_in.started).unwrap()
}

/// Turns the source's half off. Returns the withdrawal's job.
pub(crate) async fn part(store: &impl Store, pair: Pair) -> JobId {
    let outcome = turn(store, pair, Side::ShareOut, false).await.unwrap();
    outcome.agreement.withdrawal.unwrap().job
}

pub(crate) async fn cursor(store: &impl Store, pair: Pair) -> Option<u64> {
    let (pairs, _) = store.recipient_jobs(pair.recipient).await.unwrap();
    pairs.iter().find(|p| p.pair == pair).map(|p| p.cursor)
}

pub(crate) async fn jobs(store: &impl Store, recipient: &str) -> Vec<Job> {
    store.recipient_jobs(ods(recipient)).await.unwrap().1
}

/// The upto and through of the only catch-up that a recipient is owed.
pub(crate) async fn catch_up(store: &impl Store, recipient: &str) -> (JobId, u64, u64) {
    let jobs = jobs(store, recipient).await;
    let mut catch_ups = jobs.iter().filter_map(|job| match job.kind {
        JobKind::CatchUp { upto, through } => Some((job.id, upto, through)),
        _ => None,
    });
    let found = catch_ups.next().unwrap();
    assert_eq!(catch_ups.next(), None, "only one catch-up");
    found
}

// === Subscriptions ===

pub(crate) fn store_id(name: u8) -> StoreId {
    StoreId::from_random([name; 16])
}

pub(crate) async fn hello(
    store: &impl Store,
    recipient: &str,
    inbox: u8,
    session: u64,
    durable: u64,
) -> Subscription {
    let hello = Hello {
        recipient: ods(recipient),
        store: store_id(inbox),
        session,
        durable,
    };
    store.open_subscription(&hello, T0 + 2).await.unwrap()
}

// === The log ===

pub(crate) use super::outbox::Outbox;

pub(crate) fn subject() -> Subject {
    Subject {
        patient: "9990000018".parse().unwrap(),
        category: Category::Observations,
        confidentiality: Confidentiality::NORMAL,
    }
}

/// A copy of a batch with other chains.
pub(crate) fn rechained(batch: &LogBatch, before: Option<Chain>, after: Chain) -> Arc<LogBatch> {
    let (header, body) = (batch.batch.header().clone(), batch.batch.body().clone());
    Arc::new(LogBatch {
        source: batch.source,
        store: batch.store,
        batch: Arc::new(Batch::parse(header, body, Form::Published).unwrap()),
        chain_before: before,
        chain_after: after,
    })
}

pub(crate) fn group(batches: Vec<Arc<LogBatch>>) -> AppendGroup {
    AppendGroup {
        batches,
        at: T0 + 3,
        ..AppendGroup::default()
    }
}

/// Appends a batch of so many amendments of 100 bytes.
pub(crate) async fn publish(store: &impl Store, outbox: &mut Outbox, amendments: u64) {
    store
        .append(&group(vec![outbox.batch(amendments, 100)]))
        .await
        .unwrap();
}

/// The seq of a source's head.
pub(crate) async fn head(store: &impl Store, source: &str) -> u64 {
    let heads = store.heads().await.unwrap();
    heads.iter().find(|(unit, _)| *unit == ods(source)).unwrap().1.seq
}

/// Asserts that the log holds exactly these batches of a source, byte for byte.
pub(crate) async fn assert_log(store: &impl Store, source: &str, batches: &[Arc<LogBatch>]) {
    let mut after = 0;
    for expected in batches {
        let rows = store.read_log(ods(source), after, 0).await.unwrap();
        assert_eq!(rows.len(), 1, "at least one, and no more than the bound");
        let (row, batch) = (&rows[0], &expected.batch);
        assert_eq!(
            (row.first_seq, row.last_seq),
            (batch.first_seq(), batch.last_seq())
        );
        assert!(
            row.header == batch.header() && row.body == batch.body(),
            "kept byte for byte"
        );
        after = row.last_seq;
    }
    assert!(
        store
            .read_log(ods(source), after, usize::MAX)
            .await
            .unwrap()
            .is_empty()
    );
}
