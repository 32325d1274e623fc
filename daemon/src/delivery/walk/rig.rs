//! One life of the daemon's data path: from what the store has until it is dropped, in a runtime of its own, so
//! that nothing outlives a crash but what is on disk.

use std::{path::Path, sync::Arc, time::Duration};

use handfast_proto::{
    amendment::Op,
    ids::{Holder, NhsNumber, OdsCode},
};
use tokio_util::sync::CancellationToken;

use super::{bounds::Bounds, emergencies::clinician};
use crate::{
    audit::Scribe,
    clock::ManualClock,
    consent::{Patients, Policy},
    delivery::{Delivery, DeliveryParts},
    ingest::{Committer, CommitterTask, Projector, ProjectorTask, Publishers, committer, projector},
    random::OsRandom,
    store::{
        Deployment, NewPerson, NewToken, NewUnit, Role, SqliteStore, Store as _, UnitKind, With, is_erased,
    },
};

pub(super) const UNITS: [&str; 3] = ["Z00101", "Z00202", "Z00303"];

/// How long a change waits for a recipient before it cuts it off.
const DRAIN: Duration = Duration::from_millis(3);

/// What runs.
pub(super) struct Rig {
    pub(super) store: Arc<SqliteStore>,
    pub(super) delivery: Delivery,
    pub(super) committer: Committer,
    pub(super) projector: Projector,
    pub(super) publishers: Arc<Publishers>,
    pub(super) bounds: Bounds,
}

/// A payload that is in a log.
pub(super) struct Kept {
    pub(super) record: String,
    pub(super) patient: NhsNumber,
    pub(super) content: u64,
}

/// Makes the deployment that every walk begins with.
pub(in crate::delivery) async fn make(dir: &Path) {
    let deployment = Deployment {
        trust_domain: "walk.example".to_owned(),
        test: true,
        policy: Policy::UnlessDissented,
        zone: "Europe/London".to_owned(),
        default_patients: Patients::All,
        operator_sets_halves: false,
        made_at: 1,
    };
    let store = SqliteStore::create(dir, &deployment).await.unwrap();
    for (ods, n) in UNITS.iter().zip(0..) {
        let ods: OdsCode = ods.parse().unwrap();
        let unit = NewUnit {
            ods,
            name: ods.to_string(),
            kind: UnitKind::Gp,
        };
        let token = NewToken {
            holder: Holder::Unit(ods),
            hash: [n; 32],
            expires_at: 2,
            made_by: "walk".to_owned(),
        };
        store
            .register_unit(&unit, &token, 1, &With::nothing())
            .await
            .unwrap();
        let person = NewPerson {
            id: clinician(ods),
            name: format!("A clinician of {ods}"),
            unit: Some(ods),
            role: Role::Clinician,
        };
        let token = NewToken {
            holder: Holder::Person(person.id.clone()),
            hash: [n + 100; 32],
            ..token
        };
        let added = store.add_person(&person, &token, 1, &With::nothing()).await;
        added.unwrap();
    }
    store.close().await;
}

/// What delivery is made from, over a store, and the tasks behind it, which run once they are spawned.
pub(in crate::delivery) struct DataPath {
    pub(in crate::delivery) parts: DeliveryParts,
    pub(in crate::delivery) committing: CommitterTask,
    pub(in crate::delivery) projecting: ProjectorTask,
}

/// Makes a data path in which a change waits for a recipient for so long.
pub(in crate::delivery) async fn data_path(
    store: &Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    drain: Duration,
) -> DataPath {
    let committed = Arc::default();
    let scribe = Scribe::new(Arc::new(OsRandom));
    let made = committer(
        store.clone(),
        clock.clone(),
        scribe.clone(),
        Arc::clone(&committed),
    );
    let (committer, committing) = made.await.unwrap();
    let (projector, projecting) = projector(committer.clone(), store.clone(), committed);
    let parts = DeliveryParts {
        store: store.clone(),
        clock,
        scribe,
        committer,
        projector,
        publishers: Arc::default(),
        changes: Arc::default(),
        drain,
    };
    DataPath {
        parts,
        committing,
        projecting,
    }
}

impl Rig {
    pub(super) async fn start(dir: &Path, clock: Arc<ManualClock>, bounds: Bounds) -> Self {
        let store = Arc::new(SqliteStore::open(dir).await.unwrap());
        // What the life before was writing when it ended is on disk, or forgotten, before anything is read.
        store.touch(1).await.unwrap();
        let made = data_path(&store, clock, DRAIN).await;
        let (parts, committing, projecting) = (made.parts, made.committing, made.projecting);
        let (committer, projector) = (parts.committer.clone(), parts.projector.clone());
        let publishers = Arc::clone(&parts.publishers);
        let delivery = Delivery::start(parts).await.unwrap();
        let committing = committing.with_statements(Arc::new(delivery.clone()));
        let projecting = projecting.with_caseloads(Arc::new(delivery.clone()));
        tokio::spawn(committing.run(CancellationToken::new()));
        tokio::spawn(projecting.run(CancellationToken::new()));
        tokio::spawn(delivery.clone().run_erasing(CancellationToken::new()));
        Self {
            store,
            delivery,
            committer,
            projector,
            publishers,
            bounds,
        }
    }

    /// The payloads of records that are in a source's log and not erased.
    pub(super) async fn kept(&self, source: OdsCode) -> Vec<Kept> {
        let rows = self.store.read_log(source, 0, usize::MAX).await.unwrap();
        let mut kept = Vec::new();
        for batch in rows.into_iter().map(|row| row.into_batch().unwrap()) {
            for (index, entry) in batch.entries().enumerate().filter(|(_, e)| e.op != Op::Statement) {
                let payload = batch.payload_slice(index);
                if payload.is_empty() || is_erased(payload) {
                    continue;
                }
                kept.push(Kept {
                    record: entry.record.to_string(),
                    patient: entry.subject.unwrap().patient,
                    content: std::str::from_utf8(payload).unwrap().parse().unwrap(),
                });
            }
        }
        kept
    }
}
