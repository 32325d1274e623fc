//! An emergency access that somebody ends, while another one of the same pair runs out.
//!
//! Detects: one that is over by the moment at which the other is ended, and ends with it without an entry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use handfast_proto::{
    audit::decode_leaf,
    emergency::Ground,
    ids::NhsNumber,
    v1::{ScrAlertReason, ScrAlertType, audit_leaf::Event},
};

use crate::{
    clock::{Clock, ManualClock},
    consent::{GrantId, Pair, Side},
    delivery::{
        Delivery, Revoker as _,
        walk::{clinician, data_path, make_deployment},
    },
    store::{
        AccessStore as _, AuditStore as _, EndAccess, HalfChange, NewAccess, OpenEmergency, OpenedSource,
        SqliteStore, With,
    },
};

const NOW: i64 = 1_000;

/// Accesses that run out one moment after the other.
const MOMENTS: i64 = 30;

/// It goes on each time it is read.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn pair() -> Pair {
    Pair {
        source: "Z00101".parse().unwrap(),
        recipient: "Z00202".parse().unwrap(),
    }
}

async fn open(delivery: &Delivery, patient: NhsNumber, at: i64, until: i64) -> GrantId {
    let open = OpenEmergency {
        recipient: pair().recipient,
        patient,
        sources: vec![pair().source],
        at,
        until,
    };
    delivery.open_emergency(open, Vec::new()).await.unwrap()[0].grant
}

/// Opens an access and ends it.
async fn open_and_end(delivery: &Delivery, store: &SqliteStore, patient: NhsNumber, other: (NhsNumber, i64)) {
    let (at, source) = (NOW, pair().source);
    let access = NewAccess {
        recipient: pair().recipient,
        person: clinician(pair().recipient),
        patient,
        sources: vec![source],
        ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency).unwrap(),
        note: "a test's".to_owned(),
        at,
        until: i64::MAX,
    };
    let id = store.add_access(&access, &With::nothing()).await.unwrap();
    let grant = open(delivery, patient, at, access.until).await;
    let carried = vec![OpenedSource { source, grant }];
    delivery.carry_access(id, carried, Vec::new()).await.unwrap();
    open(delivery, other.0, at, other.1).await;
    let end = EndAccess {
        id,
        sources: vec![source],
        by: "a test".to_owned(),
        unit: pair().recipient,
        at,
    };
    delivery.end_access(end, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn what_runs_out_as_another_is_ended_is_entered_too() {
    let dir = tempfile::tempdir().unwrap();
    make_deployment(dir.path()).await;
    let store = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
    let clock = Arc::new(Ticking(AtomicI64::new(NOW)));
    let made = data_path(&store, Arc::new(ManualClock::at(NOW)), Duration::from_millis(1)).await;
    let mut parts = made.parts;
    parts.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let delivery = Delivery::start(parts).await.unwrap();
    let on = HalfChange {
        pair: pair(),
        side: Side::ShareOut,
        on: true,
        by: "a test".to_owned(),
        reason: String::new(),
        scope: None,
        at: NOW,
    };
    delivery.set_half(on, Vec::new()).await.unwrap();
    let mut numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    for moment in 1..=MOMENTS {
        let (ours, other) = (numbers.next().unwrap(), numbers.next().unwrap());
        // About ten readings lie between the opening and the end.
        let until = clock.0.load(Ordering::Relaxed) + moment;
        open_and_end(&delivery, &store, ours, (other, until)).await;
    }
    let in_force = delivery.book().emergencies().count();
    let rows = store.audit_entries(0, usize::MAX).await.unwrap();
    let leaves = rows.iter().map(|row| decode_leaf(&row.entry.leaf).unwrap());
    let entered = leaves.filter(|leaf| matches!(leaf.event, Some(Event::EmergencyEnded(_))));
    let over = usize::try_from(MOMENTS).unwrap() - in_force;
    assert_eq!(entered.count(), over, "{in_force} go on");
    assert!(over > 0);
}
