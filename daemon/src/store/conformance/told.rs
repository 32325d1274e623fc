//! By what is found what was told to a recipient.

use handfast_proto::{ids::NhsNumber, v1::AuditKind};

use super::{
    audit::{all_of, keys, patient},
    backend::Backend,
    kit::{HILL, VALE, WARD, ods, pair, subject, with_units},
};
use crate::store::{AuditStore as _, EntryKeys, RecordVersion, Store as _};

pub(crate) async fn what_was_told_is_found_by_whom_and_what_was_withheld_is_not<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let (one, other) = (patient(9_990_000_018), patient(9_990_000_026));
    let version = |seq: u64| {
        let mut subject = subject();
        subject.patient = if seq.is_multiple_of(100) { one } else { other };
        RecordVersion {
            record: format!("Observation/{seq}").parse().unwrap(),
            seq,
            subject: Some(subject),
            retracted: false,
        }
    };
    let versions: Vec<RecordVersion> = (1..=1000).map(version).collect();
    store.project(ods(HILL), &versions, 1000).await.unwrap();
    let handed = |index, recipient: &str, runs: &[(u64, u64)], withheld| EntryKeys {
        handed: Some((pair(HILL, recipient), all_of(runs))),
        withheld,
        ..keys(index, AuditKind::Disclosed, &[HILL])
    };
    let all = [
        handed(0, WARD, &[(90, 110), (290, 310)], false),
        handed(1, WARD, &[(500, 900)], true),
        handed(2, VALE, &[(600, 600)], false),
    ];
    store.index_audit(&all, 3).await.unwrap();
    let through = async |recipient| store.told_through(ods(HILL), ods(recipient)).await.unwrap();
    assert!((310..384).contains(&through(WARD).await));
    assert!((600..704).contains(&through(VALE).await));
    assert_eq!(through(HILL).await, 0);
    let told = async |recipient, patients: &[NhsNumber], after, blocks| {
        let found = store
            .stretches_told(ods(HILL), ods(recipient), patients, after, blocks)
            .await;
        let found = found.unwrap();
        (found.stretches, found.through)
    };
    let (of_ward, next) = told(WARD, &[one], 0, 100).await;
    let holds = |seq: u64| {
        of_ward
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&seq))
    };
    assert!(
        holds(100) && holds(300) && !holds(200) && !holds(600),
        "{of_ward:?}"
    );
    assert_eq!(next, None);
    let (first, next) = told(WARD, &[one], 0, 1).await;
    assert_eq!(first, of_ward[..1]);
    let (rest, _) = told(WARD, &[one, other], next.unwrap(), 100).await;
    assert_eq!(rest.last(), of_ward.last());
    assert!(!rest.contains(&of_ward[0]), "{rest:?}");
    let withheld = store.entries_of_seqs(ods(HILL), Some(ods(WARD)), (600, 600), 9);
    assert!(withheld.await.unwrap().is_empty());
    let source = store.entries_of_seqs(ods(HILL), None, (600, 600), 9).await;
    assert_eq!(source.unwrap(), [1, 2]);
}
