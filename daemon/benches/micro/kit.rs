//! Synthetic units, patients and batches, the same in every run.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use handfast_daemon::{
    consent::{Pair, Patients, Policy, Side},
    store::{Deployment, HalfChange, LogBatch, NewToken, NewUnit, SqliteStore, Store as _, UnitKind, With},
};
use handfast_proto::{
    amendment::{Amendment, Batch, BatchBuilder, Category, Confidentiality, Form, Op, Subject, Text},
    chain::Chain,
    ids::{Holder, NhsNumber, OdsCode, RecordId, StoreId},
    limits::MAX_BATCH_AMENDMENTS,
};
use tempfile::TempDir;

/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 1024;

/// Of the patients of [`patients`], every so manyth has said no.
pub(crate) const ONE_IN: usize = 10;

/// When everything happens, milliseconds since 1970-01-01T00:00:00Z.
pub(crate) const T0: i64 = 1_800_000_000_000;

/// A folder on the disk that holds the target folder: where temporary files are kept may be memory, of which an fsync
/// costs nothing.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn unit(n: usize) -> OdsCode {
    format!("Z{n:05}").parse().unwrap()
}

pub(crate) fn patients(n: usize) -> Vec<NhsNumber> {
    let numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    numbers.take(n).collect()
}

/// Those of them who have said no, and those who have said yes.
pub(crate) fn by_word(all: &[NhsNumber]) -> (Vec<NhsNumber>, Vec<NhsNumber>) {
    let said_no = |index: usize| index.is_multiple_of(ONE_IN);
    let of = |no: bool| {
        let these = all.iter().enumerate().filter(move |(i, _)| said_no(*i) == no);
        these.map(|(_, patient)| *patient).collect()
    };
    (of(true), of(false))
}

pub(crate) fn subject(patient: NhsNumber) -> Subject {
    Subject {
        patient,
        category: Category::Observations,
        confidentiality: Confidentiality::NORMAL,
    }
}

/// One unit's stream of full batches.
pub(crate) struct Outbox {
    source: OdsCode,
    amendments: Vec<Amendment>,
    head: u64,
    chain: Chain,
}

impl Outbox {
    /// The stream of a unit about these patients, in turn.
    pub(crate) fn new(source: OdsCode, about: &[NhsNumber]) -> Self {
        let one = |(index, patient): (usize, &NhsNumber)| Amendment {
            op: Op::Create,
            record: RecordId::new("Observation", &format!("reading-{index:08}")).unwrap(),
            subject: Some(subject(*patient)),
            former: None,
            author: Text::new("Dr Example").unwrap(),
            recorded_at: T0,
            content_type: Text::new("application/fhir+json").unwrap(),
            payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        };
        let about = about.iter().cycle().take(MAX_BATCH_AMENDMENTS);
        Self {
            source,
            amendments: about.enumerate().map(one).collect(),
            head: 0,
            chain: chain(0),
        }
    }

    /// The next batch.
    pub(crate) fn batch(&mut self) -> Arc<Batch> {
        let mut builder = BatchBuilder::new(self.head + 1);
        self.amendments.iter().for_each(|a| builder.push(a));
        let made = builder.finish();
        let batch = Batch::parse(made.header, made.body, Form::Published).unwrap();
        self.head = batch.last_seq();
        Arc::new(batch)
    }

    /// The next batch, on its way into the log.
    pub(crate) fn log_batch(&mut self) -> Arc<LogBatch> {
        let batch = self.batch();
        let before = std::mem::replace(&mut self.chain, chain(self.head));
        Arc::new(LogBatch {
            source: self.source,
            store: StoreId::from_random([1; 16]),
            batch,
            chain_before: Some(before),
            chain_after: self.chain,
        })
    }
}

/// A chain for each seq. The daemon compares chains and does not work them out.
fn chain(seq: u64) -> Chain {
    Chain::from_slice(&u128::from(seq).to_be_bytes()).unwrap()
}

/// A store in this folder, in which units 0 to `units` are enrolled.
pub(crate) async fn store(dir: &Path, units: usize) -> SqliteStore {
    let deployment = Deployment {
        trust_domain: "micro.example".to_owned(),
        test: true,
        policy: Policy::UnlessDissented,
        zone: "Europe/London".to_owned(),
        default_patients: Patients::All,
        operator_sets_halves: false,
        made_at: T0,
    };
    let store = SqliteStore::create(dir, &deployment).await.unwrap();
    for n in 0..units {
        let ods = unit(n);
        let new = NewUnit {
            ods,
            name: format!("Unit {n}"),
            kind: UnitKind::Gp,
        };
        let token = NewToken {
            holder: Holder::Unit(ods),
            hash: [u8::try_from(n).unwrap(); 32],
            expires_at: T0 + 1,
            made_by: "operator".to_owned(),
        };
        store
            .register_unit(&new, &token, T0, &With::nothing())
            .await
            .unwrap();
    }
    store
}

/// Turns both halves of a pair on.
pub(crate) async fn join(store: &SqliteStore, pair: Pair) {
    for side in [Side::ShareOut, Side::ShareIn] {
        let change = HalfChange {
            pair,
            side,
            on: true,
            by: format!("administrator of {}", side.owner(pair)),
            reason: "agreed".to_owned(),
            scope: None,
            at: T0,
        };
        store.set_half(&change, &With::nothing()).await.unwrap();
    }
}
