//! Promises of the audit log.

use bytes::Bytes;
use handfast_proto::{
    audit::Runs,
    ids::NhsNumber,
    merkle::{Node, SigningKey, TreeHash, TreeHead, empty_root, leaf_hash},
    v1::AuditKind,
};

use super::{
    backend::Backend,
    kit::{HILL, Outbox, T0, VALE, WARD, assert_fails, empty, group, ods, pair, person_id, turn, with_units},
};
use crate::{
    consent::Side,
    store::{
        AuditStore, EntryKeys, EntryQuery, ErasePersonal, HalfChange, NewEntry, RecordVersion, Role, Store,
        StoreError, With,
    },
};

pub(super) fn patient(number: u64) -> NhsNumber {
    NhsNumber::from_u64(number).unwrap()
}

fn entry(n: u64, kind: AuditKind, patient: Option<NhsNumber>) -> NewEntry {
    let leaf = Bytes::from(format!("leaf {n}"));
    NewEntry {
        hash: leaf_hash(&leaf),
        leaf,
        personal: Bytes::from(format!("personal {n}")),
        kind,
        at: T0 + i64::try_from(n).unwrap(),
        patient,
    }
}

fn viewed(n: u64) -> NewEntry {
    entry(n, AuditKind::Viewed, Some(patient(9_990_000_018)))
}

async fn all(store: &impl Store) -> Vec<NewEntry> {
    let rows = store.audit_entries(0, usize::MAX).await.unwrap();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row.index, at as u64, "without a gap");
    }
    rows.into_iter().map(|row| row.entry).collect()
}

pub(crate) async fn entries_are_kept_in_order<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    assert_eq!(store.audit_size().await.unwrap(), 0);
    store.enter(&[]).await.unwrap();
    let entries: Vec<NewEntry> = (0..100).map(viewed).collect();
    store.enter(&entries[..1]).await.unwrap();
    store.enter(&entries[1..]).await.unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.audit_size().await.unwrap(), 100);
    assert_eq!(all(store).await, entries);
    let hashes: Vec<TreeHash> = entries.iter().map(|e| e.hash).collect();
    assert_eq!(store.leaf_hashes(0, 1000).await.unwrap(), hashes);
    assert_eq!(store.leaf_hashes(98, 1000).await.unwrap(), hashes[98..]);
    assert_eq!(store.leaf_hashes(5, 2).await.unwrap(), hashes[5..7]);
    let some = store.audit_entries_at(&[99, 3, 3, 100]).await.unwrap();
    assert_eq!(some.iter().map(|e| e.index).collect::<Vec<_>>(), [3, 99]);
    for (max_bytes, count) in [(0, 1), (1, 1), (40, 2), (1000, 53)] {
        let read = store.audit_entries(10, max_bytes).await.unwrap();
        assert!(
            read.len().abs_diff(count) <= 5,
            "{} for {max_bytes} bytes",
            read.len()
        );
        assert_eq!(read[0].index, 10);
    }
    assert!(store.audit_entries(100, usize::MAX).await.unwrap().is_empty());
}

pub(crate) async fn entries_go_with_their_effect_or_not_at_all<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let change = HalfChange {
        pair: pair(HILL, WARD),
        side: Side::ShareOut,
        on: true,
        by: "person ann".to_owned(),
        reason: String::new(),
        scope: None,
        at: T0,
    };
    let with = |n| With::audit(vec![viewed(n)]);
    store.set_half(&change, &with(0)).await.unwrap();
    let nowhere = HalfChange {
        pair: pair(HILL, "Z99999"),
        ..change
    };
    assert_fails!(store.set_half(&nowhere, &with(1)).await, StoreError::Missing(_));
    let missing = store
        .set_role(&person_id("nobody"), Role::Auditor, T0, &with(2))
        .await;
    assert_fails!(missing, StoreError::Missing(_));
    let mut hill = Outbox::new(HILL);
    let mut commit = group(vec![hill.batch(1, 10)]);
    commit.with = with(3);
    store.append(&commit).await.unwrap();
    assert_fails!(store.append(&commit).await, StoreError::Conflict(_));
    let mut alone = group(Vec::new());
    alone.with = with(4);
    store.append(&alone).await.unwrap();
    assert_eq!(all(store).await, [viewed(0), viewed(3), viewed(4)]);
}

pub(crate) async fn a_patients_entries_are_found<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    let other = Some(patient(9_990_000_026));
    let entries = [
        viewed(0),
        entry(1, AuditKind::Disclosed, None),
        entry(2, AuditKind::PatientWord, other),
        viewed(3),
        viewed(4),
    ];
    store.enter(&entries).await.unwrap();
    let found = async |before, limit| {
        let rows = store
            .entries_of_patient(patient(9_990_000_018), before, limit)
            .await;
        rows.unwrap().iter().map(|row| row.index).collect::<Vec<_>>()
    };
    assert_eq!(found(u64::MAX, 10).await, [4, 3, 0]);
    assert_eq!(found(4, 10).await, [3, 0]);
    assert_eq!(found(u64::MAX, 1).await, [4]);
    assert!(found(0, 10).await.is_empty());
}

pub(crate) async fn personal_values_are_erased_and_leaves_stay<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    let entries: Vec<NewEntry> = (0..4).map(viewed).collect();
    store.enter(&entries).await.unwrap();
    let erase = |index, stays: &'static [u8]| ErasePersonal {
        index,
        stays: Bytes::from_static(stays),
    };
    let said = entry(9, AuditKind::PersonalErased, None);
    let with = With::audit(vec![said.clone()]);
    assert_eq!(
        store
            .erase_personal(&[erase(1, b""), erase(3, b"p"), erase(77, b"")], T0, &with)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        store
            .erase_personal(&[erase(1, b""), erase(3, b"p")], T0, &With::nothing())
            .await
            .unwrap(),
        0,
        "it is gone"
    );
    let backend = backend.reopen().await;
    let now = all(backend.store()).await;
    let bare = |n: usize, stays: &'static [u8]| NewEntry {
        personal: Bytes::from_static(stays),
        patient: None,
        ..entries[n].clone()
    };
    assert_eq!(
        now,
        [
            entries[0].clone(),
            bare(1, b""),
            entries[2].clone(),
            bare(3, b"p"),
            said
        ]
    );
    let found = backend
        .store()
        .entries_of_patient(patient(9_990_000_018), 9, 9)
        .await
        .unwrap();
    assert_eq!(found.iter().map(|row| row.index).collect::<Vec<_>>(), [2, 0]);
}

pub(crate) async fn heads_and_subtrees_are_kept<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    assert_eq!(store.newest_head().await.unwrap(), None);
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let signed = |size| {
        let head = TreeHead {
            size,
            root: leaf_hash(&size.to_be_bytes()),
            signed_at: T0,
        };
        key.sign("care.example", head)
    };
    let node = |level, index| (Node { level, index }, leaf_hash(&[7]));
    store.keep_head(&signed(300), &[node(8, 0)]).await.unwrap();
    store
        .keep_head(&signed(600), &[node(8, 1), node(9, 0)])
        .await
        .unwrap();
    assert_fails!(store.keep_head(&signed(600), &[]).await, StoreError::Exists(_));
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(store.newest_head().await.unwrap(), Some(signed(600)));
    assert_eq!(store.heads_over(0, 9).await.unwrap(), [signed(300), signed(600)]);
    assert_eq!(store.heads_over(300, 9).await.unwrap(), [signed(600)]);
    assert_eq!(store.heads_over(0, 1).await.unwrap(), [signed(300)]);
    let asked = [node(9, 0).0, node(8, 7).0, node(8, 1).0];
    let mut have = store.tree_nodes(&asked).await.unwrap();
    have.sort_unstable_by_key(|(node, _)| *node);
    assert_eq!(have, [node(8, 1), node(9, 0)]);
    assert_ne!(have[0].1, empty_root());
}

pub(super) fn keys(index: u64, kind: AuditKind, units: &[&str]) -> EntryKeys {
    EntryKeys {
        index,
        kind,
        at: T0 + i64::try_from(index).unwrap(),
        units: units.iter().map(|unit| ods(unit)).collect(),
        handed: None,
        withheld: false,
    }
}

pub(crate) async fn entries_are_found_by_unit_kind_and_time<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    let made: Vec<NewEntry> = (0..5).map(viewed).collect();
    store.enter(&made).await.unwrap();
    assert_eq!(store.audit_indexed().await.unwrap(), 0);
    let mut handed = keys(3, AuditKind::Disclosed, &[HILL, WARD]);
    handed.handed = Some((pair(HILL, WARD), Runs::of(1, 2)));
    let all = [
        keys(0, AuditKind::HalfSet, &[HILL, WARD]),
        keys(1, AuditKind::Viewed, &[WARD]),
        keys(2, AuditKind::PolicySet, &[]),
        handed,
    ];
    store.index_audit(&all, 4).await.unwrap();
    store.index_audit(&all[..1], 2).await.unwrap();
    assert_eq!(store.audit_indexed().await.unwrap(), 4, "never back");
    let everything = EntryQuery {
        unit: None,
        other: None,
        kinds: Vec::new(),
        from: 0,
        to: i64::MAX,
        before: u64::MAX,
        limit: 100,
    };
    let find = async |query: EntryQuery| store.find_entries(&query).await.unwrap();
    assert_eq!(find(everything.clone()).await, [2, 1, 0]);
    let of = |unit: &str| EntryQuery {
        unit: Some(ods(unit)),
        ..everything.clone()
    };
    assert_eq!(find(of(WARD)).await, [3, 1, 0]);
    assert_eq!(find(of(HILL)).await, [3, 0]);
    assert!(find(of(VALE)).await.is_empty());
    let of_both = EntryQuery {
        other: Some(ods(HILL)),
        ..of(WARD)
    };
    assert_eq!(find(of_both).await, [3, 0]);
    let of_kind = EntryQuery {
        kinds: vec![AuditKind::Viewed, AuditKind::Disclosed],
        ..of(WARD)
    };
    assert_eq!(find(of_kind).await, [3, 1]);
    let between = EntryQuery {
        from: T0 + 1,
        to: T0 + 3,
        ..of(WARD)
    };
    assert_eq!(find(between).await, [1]);
    let page = EntryQuery {
        before: 3,
        limit: 1,
        ..of(WARD)
    };
    assert_eq!(find(page).await, [1]);
}

pub(super) fn all_of(runs: &[(u64, u64)]) -> Runs {
    let mut all = Runs::default();
    runs.iter().for_each(|(first, last)| all.insert(*first, *last));
    all
}

pub(crate) async fn entries_are_found_by_seq<B: Backend>() {
    let backend: B = empty().await;
    let store = backend.store();
    let handed = |index, recipient: &str, runs: &[(u64, u64)]| EntryKeys {
        handed: Some((pair(HILL, recipient), all_of(runs))),
        ..keys(index, AuditKind::Disclosed, &[HILL])
    };
    let all = [
        handed(0, WARD, &[(1, 10), (20, 21), (5000, 5001)]),
        handed(1, VALE, &[(64, 300)]),
        handed(2, WARD, &[(300, 300)]),
    ];
    store.index_audit(&all, 3).await.unwrap();
    let of = async |recipient: Option<&str>, seqs| {
        let found = store
            .entries_of_seqs(ods(HILL), recipient.map(ods), seqs, 100)
            .await;
        found.unwrap()
    };
    assert_eq!(of(None, (1, 6000)).await, [0, 1, 2]);
    assert_eq!(of(None, (300, 300)).await, [1, 2]);
    assert_eq!(of(Some(WARD), (300, 300)).await, [2]);
    assert_eq!(of(Some(WARD), (5001, 5001)).await, [0]);
    assert!(of(None, (1000, 2000)).await.is_empty());
    assert!(of(Some(HILL), (1, 300)).await.is_empty());
    let limited = store.entries_of_seqs(ods(HILL), None, (1, 6000), 2).await;
    assert_eq!(limited.unwrap(), [0, 1]);
}

pub(crate) async fn a_patients_seqs_are_found<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (one, other) = (patient(9_990_000_018), patient(9_990_000_026));
    let version = |seq: u64| {
        let of = if seq.is_multiple_of(100) { one } else { other };
        let mut subject = super::kit::subject();
        subject.patient = of;
        RecordVersion {
            record: format!("Observation/{}", seq % 7).parse().unwrap(),
            seq,
            subject: (seq != 150).then_some(subject),
            retracted: seq == 150,
        }
    };
    let versions: Vec<RecordVersion> = (1..=1000).map(version).collect();
    store.project(ods(HILL), &versions[..130], 130).await.unwrap();
    store.project(ods(HILL), &versions[130..], 1000).await.unwrap();
    let found = async |after| {
        let found = store.seqs_of_patient(ods(HILL), one, after, 100).await;
        found.unwrap()
    };
    let stretches = found(0).await;
    assert_eq!(stretches.len(), 10, "{stretches:?}");
    for (at, (first, last)) in stretches.iter().enumerate() {
        let seq = (at as u64 + 1) * 100;
        assert!(
            (*first..=*last).contains(&seq) && last - first < 64,
            "{first} to {last}"
        );
    }
    assert_eq!(found(255).await, stretches[2..]);
    assert_eq!(found(300).await[0], stretches[2], "it holds later ones still");
    assert!(found(1000).await.is_empty());
    assert!(
        store
            .seqs_of_patient(ods(VALE), one, 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let first = store.seqs_of_patient(ods(HILL), one, 0, 1).await.unwrap();
    assert_eq!(first, stretches[..1]);
}

pub(crate) async fn a_full_store_enters_nothing<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    store.enter(&[viewed(0)]).await.unwrap();
    backend.fill().await;
    let many: Vec<NewEntry> = (1..20_000).map(viewed).collect();
    assert_fails!(store.enter(&many).await, StoreError::Full);
    assert_eq!(store.audit_size().await.unwrap(), 1);
    backend.relieve().await;
    turn(store, pair(HILL, WARD), Side::ShareIn, true).await.unwrap();
    store.enter(&many[..1]).await.unwrap();
    assert_eq!(all(store).await, [viewed(0), viewed(1)]);
}
