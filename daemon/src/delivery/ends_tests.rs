//! What stands in the log of grants that end, and of removals that become due, because of something else.
//!
//! Detects, each seen with it left out: a grant or an emergency access that ends without an entry, one that is
//! entered twice or with another's reason; a removal that is due and not entered, or entered of a word that is only
//! history; and a patient's removal that is told to units that may never have heard of the patient.

use std::{sync::Arc, time::Duration};

use handfast_proto::{
    audit::{decode_leaf, units_of},
    emergency::Ground,
    ids::{NhsNumber, OdsCode},
    v1::{
        AuditLeaf, Category, ConsentManner, GrantEnd, PatientWordValue, ScrAlertReason, ScrAlertType,
        WithdrawalEvent, audit_leaf::Event,
    },
};

use crate::{
    clock::ManualClock,
    consent::{CategorySet, GrantId, Pair, Policy, Side},
    delivery::{
        Delivery, Revoker as _,
        walk::{clinician, data_path, make_deployment},
    },
    store::{
        AccessStore as _, AuditStore as _, ClaimChange, EndAccess, HalfChange, HalfScope, NewAccess,
        OpenEmergency, OpenedSource, SqliteStore, UnitChange, UnitState, With, WordChange,
    },
};

const NOW: i64 = 1_000;

fn ods(n: usize) -> OdsCode {
    ["Z00101", "Z00202", "Z00303"][n].parse().unwrap()
}

fn pair(source: usize, recipient: usize) -> Pair {
    Pair {
        source: ods(source),
        recipient: ods(recipient),
    }
}

fn patient() -> NhsNumber {
    "9990000018".parse().unwrap()
}

struct Rig {
    delivery: Delivery,
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

/// Every unit shares out to every other, and the first two share in from each other.
async fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    make_deployment(dir.path()).await;
    let store = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
    let clock = Arc::new(ManualClock::at(NOW));
    let made = data_path(&store, Arc::clone(&clock), Duration::from_millis(1)).await;
    let rig = Rig {
        delivery: Delivery::start(made.parts).await.unwrap(),
        store,
        clock,
        _dir: dir,
    };
    for (source, recipient) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        rig.turn(pair(source, recipient), Side::ShareOut, true, None)
            .await;
    }
    for (source, recipient) in [(0, 1), (1, 0)] {
        rig.turn(pair(source, recipient), Side::ShareIn, true, None).await;
    }
    assert_eq!(rig.ended().await, Vec::<String>::new());
    rig
}

impl Rig {
    async fn turn(&self, pair: Pair, side: Side, on: bool, scope: Option<HalfScope>) {
        let change = HalfChange {
            pair,
            side,
            on,
            by: "a test".to_owned(),
            reason: "a test's".to_owned(),
            scope,
            at: NOW,
        };
        self.delivery.set_half(change, Vec::new()).await.unwrap();
    }

    async fn say(&self, unit: usize, side: Side, word: PatientWordValue, said_at: i64) {
        let change = WordChange {
            unit: ods(unit),
            patient: patient(),
            side,
            word,
            said_at,
            manner: ConsentManner::Spoken,
            taken_by: String::new(),
            by: "a test".to_owned(),
            at: NOW,
        };
        self.delivery
            .record_words(vec![change], Vec::new())
            .await
            .unwrap();
    }

    async fn stand(&self, unit: usize, state: UnitState, withdraw: bool) {
        let change = UnitChange {
            ods: ods(unit),
            state,
            withdraw,
            by: "a test".to_owned(),
            reason: "a test's".to_owned(),
            at: NOW,
        };
        self.delivery.set_unit_state(change, Vec::new()).await.unwrap();
    }

    /// Opens the patient's records of the third unit, of which the second receives nothing else.
    async fn open(&self, until: i64) -> GrantId {
        let open = OpenEmergency {
            recipient: ods(1),
            patient: patient(),
            sources: vec![ods(2)],
            at: NOW,
            until,
        };
        self.delivery.open_emergency(open, Vec::new()).await.unwrap()[0].grant
    }

    async fn leaves(&self) -> Vec<AuditLeaf> {
        let rows = self.store.audit_entries(0, usize::MAX).await.unwrap();
        let leaves = rows.iter().map(|row| decode_leaf(&row.entry.leaf).unwrap());
        leaves.collect()
    }

    /// The entries of ends, in short.
    async fn ended(&self) -> Vec<String> {
        let each = self.leaves().await.into_iter().map(|leaf| {
            let pair = format!("{}>{}", leaf.source, leaf.recipient);
            match leaf.event.unwrap() {
                Event::GrantEnded(event) => format!("{pair} {:?}", event.end()),
                Event::EmergencyEnded(event) => format!("{pair} emergency, its time: {}", event.expired),
                other => format!("{other:?}"),
            }
        });
        each.collect()
    }

    /// What is due, with the units that it concerns, of each entry about a removal.
    async fn due(&self) -> Vec<(Vec<String>, WithdrawalEvent, bool)> {
        let each = self.leaves().await.into_iter().filter_map(|leaf| {
            let units = units_of(&leaf).map(str::to_owned).collect();
            let about_one = !leaf.reduced.is_empty();
            match leaf.event? {
                Event::Withdrawal(event) => Some((units, event, about_one)),
                _ => None,
            }
        });
        each.collect()
    }
}

fn ends(pairs: &[&str], end: GrantEnd) -> Vec<String> {
    pairs.iter().map(|pair| format!("{pair} {end:?}")).collect()
}

#[tokio::test]
async fn a_half_that_is_turned_off_ends_its_grant_once() {
    let rig = rig().await;
    for _ in 0..2 {
        rig.turn(pair(0, 1), Side::ShareIn, false, None).await;
    }
    assert_eq!(rig.ended().await, ends(&["Z00101>Z00202"], GrantEnd::HalfOff));
}

#[tokio::test]
async fn an_emergency_access_ends_with_the_half_that_it_rests_on() {
    let rig = rig().await;
    rig.open(NOW + 1_000_000).await;
    rig.turn(pair(2, 1), Side::ShareOut, false, None).await;
    assert_eq!(rig.ended().await, ["Z00303>Z00202 emergency, its time: false"]);
}

#[tokio::test]
async fn an_emergency_access_that_somebody_ends_is_theirs_to_enter() {
    let rig = rig().await;
    let until = NOW + 1_000_000;
    let (source, grant) = (ods(2), rig.open(until).await);
    let access = NewAccess {
        recipient: ods(1),
        person: clinician(ods(1)),
        patient: patient(),
        sources: vec![source],
        ground: Ground::new(ScrAlertType::Access, ScrAlertReason::AccessEmergency).unwrap(),
        note: "a test's".to_owned(),
        at: NOW,
        until,
    };
    let id = rig.store.add_access(&access, &With::nothing()).await.unwrap();
    let carried = vec![OpenedSource { source, grant }];
    rig.delivery.carry_access(id, carried, Vec::new()).await.unwrap();
    let end = EndAccess {
        id,
        sources: vec![source],
        by: "a test".to_owned(),
        unit: ods(1),
        at: NOW,
    };
    rig.delivery.end_access(end, Vec::new()).await.unwrap();
    assert!(rig.delivery.book().emergencies().next().is_none());
    assert_eq!(rig.ended().await, Vec::<String>::new());
}

#[tokio::test]
async fn each_other_unit_is_told_what_a_retirement_ended() {
    let rig = rig().await;
    rig.open(NOW + 1_000_000).await;
    rig.stand(1, UnitState::Retired, false).await;
    let mut expected = ends(&["Z00101>Z00202", "Z00202>Z00101"], GrantEnd::UnitRetired);
    expected.push("Z00303>Z00202 emergency, its time: false".to_owned());
    assert_eq!(rig.ended().await, expected);
}

#[tokio::test]
async fn a_suspension_ends_what_it_withdraws_and_nothing_where_it_freezes() {
    let rig = rig().await;
    rig.stand(0, UnitState::Suspended, false).await;
    assert_eq!(rig.ended().await, Vec::<String>::new());
    rig.stand(0, UnitState::Suspended, true).await;
    assert_eq!(
        rig.ended().await,
        ends(&["Z00101>Z00202"], GrantEnd::UnitSuspended)
    );
}

#[tokio::test]
async fn what_runs_out_is_entered_as_that() {
    let rig = rig().await;
    rig.open(NOW + 10).await;
    let scope = HalfScope {
        ends_on: Some(jiff::civil::date(2026, 1, 1)),
        ends_at: Some(NOW + 10),
        ..HalfScope::EVERYTHING
    };
    rig.turn(pair(0, 1), Side::ShareOut, true, Some(scope)).await;
    rig.clock.advance(10);
    rig.delivery.tidy().await.unwrap();
    rig.delivery.tidy().await.unwrap();
    let mut expected = ends(&["Z00101>Z00202"], GrantEnd::Expired);
    expected.push("Z00303>Z00202 emergency, its time: true".to_owned());
    assert_eq!(rig.ended().await, expected);
}

#[tokio::test]
async fn a_dissent_is_one_entry_of_its_own_unit_however_many_recipients_it_concerns() {
    let rig = rig().await;
    rig.turn(pair(0, 2), Side::ShareIn, true, None).await;
    rig.say(0, Side::ShareOut, PatientWordValue::No, 5).await;
    let due = rig.due().await;
    let [(units, event, true)] = due.as_slice() else {
        panic!("{due:?}")
    };
    assert_eq!(
        units,
        &["Z00101"],
        "no recipient is told of a patient that it may not know"
    );
    let to: Vec<&str> = event.due.iter().map(|due| due.recipient.as_str()).collect();
    assert_eq!(to, ["Z00202", "Z00303"]);
    assert!(
        event
            .due
            .iter()
            .all(|due| due.grant > 0 && due.source == "Z00101")
    );
    // Said again, it ends nothing; and one at a recipient is that unit's.
    rig.say(0, Side::ShareOut, PatientWordValue::No, 5).await;
    assert_eq!(rig.due().await.len(), 1);
    rig.say(0, Side::ShareIn, PatientWordValue::No, 5).await;
    let due = rig.due().await;
    assert_eq!(
        (due.len(), &due[1].0, due[1].1.due.len()),
        (2, &vec!["Z00101".to_owned()], 1)
    );
}

#[tokio::test]
async fn a_word_that_is_only_history_makes_nothing_due() {
    let rig = rig().await;
    rig.say(0, Side::ShareOut, PatientWordValue::Yes, 9).await;
    rig.say(0, Side::ShareOut, PatientWordValue::No, 8).await;
    assert_eq!(rig.due().await, []);
}

#[tokio::test]
async fn other_terms_say_what_they_leave_out() {
    let rig = rig().await;
    let without = CategorySet::from_bits(!(1 << (Category::Allergies as u32)));
    let scope = HalfScope {
        categories: without,
        ..HalfScope::EVERYTHING
    };
    rig.turn(pair(0, 1), Side::ShareOut, true, Some(scope.clone()))
        .await;
    rig.delivery
        .set_policy(Policy::Explicit, Vec::new())
        .await
        .unwrap();
    let found = rig.due().await;
    let due = found.iter().map(|(units, event, about_one)| {
        let categories: Vec<Category> = event.categories().collect();
        (
            units.join(">"),
            categories,
            event.some_patients,
            event.grant > 0,
            *about_one,
        )
    });
    let of =
        |pair: &str, categories, some_patients| (pair.to_owned(), categories, some_patients, true, false);
    let due: Vec<_> = due.collect();
    assert_eq!(
        due,
        [
            of("Z00101>Z00202", vec![Category::Allergies], false),
            of("Z00101>Z00202", vec![], true),
            of("Z00202>Z00101", vec![], true),
        ]
    );
}

#[tokio::test]
async fn who_leaves_a_caseload_has_a_removal_due() {
    let rig = rig().await;
    let scope = HalfScope {
        patients: crate::consent::Patients::Caseload,
        ..HalfScope::EVERYTHING
    };
    rig.turn(pair(0, 1), Side::ShareIn, true, Some(scope)).await;
    let before = rig.due().await.len();
    for on in [true, false] {
        let change = ClaimChange {
            unit: ods(1),
            patient: patient(),
            on,
            by: "a test".to_owned(),
            reason: "a test's".to_owned(),
            at: NOW,
        };
        rig.delivery.set_claims(vec![change], Vec::new()).await.unwrap();
    }
    let due = rig.due().await.split_off(before);
    let [(units, event, true)] = due.as_slice() else {
        panic!("{due:?}")
    };
    assert_eq!((units.join(","), event.due.len()), ("Z00202".to_owned(), 1));
}
