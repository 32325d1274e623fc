//! Promises about what is asked of the current records.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{NhsNumber, RecordId},
};

use super::{
    backend::Backend,
    kit::{HILL, VALE, WARD, ods, with_units},
    patients_kit::{ann, ben, cleo, patients},
};
use crate::store::{Of, RecordVersion, Store, SubjectCount};

fn version(name: &str, seq: u64, patient: NhsNumber, category: Category) -> RecordVersion {
    RecordVersion {
        record: RecordId::new("Observation", name).unwrap(),
        seq,
        subject: Some(subject(patient, category, Confidentiality::NORMAL)),
        retracted: false,
    }
}

fn subject(patient: NhsNumber, category: Category, confidentiality: Confidentiality) -> Subject {
    Subject {
        patient,
        category,
        confidentiality,
    }
}

fn retraction(name: &str, seq: u64) -> RecordVersion {
    RecordVersion {
        subject: None,
        retracted: true,
        ..version(name, seq, ann(), Category::Other)
    }
}

/// Of [`ann`]: seqs 1, 3, 5 (private) and 9; of [`ben`]: 2; of [`cleo`] one that was retracted.
async fn projected<B: Backend>() -> B {
    use Category::{Allergies, Observations};
    let backend: B = with_units().await;
    let mut private = version("d", 5, ann(), Observations);
    private.subject = private.subject.map(|s| Subject {
        confidentiality: Confidentiality::PRIVATE,
        ..s
    });
    let versions = [
        version("a", 1, ann(), Observations),
        version("b", 2, ben(), Allergies),
        version("c", 3, ann(), Allergies),
        version("e", 4, cleo(), Observations),
        private,
        version("f", 6, ben(), Observations),
        retraction("e", 7),
        version("g", 8, ben(), Observations),
        // It was ben's.
        version("g", 9, ann(), Observations),
        retraction("f", 10),
    ];
    backend.store().project(ods(HILL), &versions, 10).await.unwrap();
    let elsewhere = [version("a", 1, cleo(), Observations)];
    backend.store().project(ods(VALE), &elsewhere, 1).await.unwrap();
    backend
}

pub(crate) async fn a_patients_records_are_found<B: Backend>() {
    let backend: B = projected().await;
    let store = backend.store();
    for (of, after, upto, limit, expected) in [
        (Of::Patient(ann()), 0, 10, 9, vec![1, 3, 5, 9]),
        (Of::Patient(ann()), 1, 8, 9, vec![3, 5]),
        (Of::Patient(ann()), 1, 10, 2, vec![3, 5]),
        (Of::Patient(ben()), 0, 10, 9, vec![2]),
        (Of::Patient(cleo()), 0, 10, 9, vec![]),
        (Of::Everyone, 0, 10, 9, vec![1, 2, 3, 5, 9]),
    ] {
        let found = store
            .current_records(ods(HILL), of, after, upto, limit)
            .await
            .unwrap();
        let found: Vec<u64> = found.iter().map(|record| record.seq).collect();
        assert_eq!(found, expected, "{of:?} in ({after}, {upto}], at most {limit}");
    }
}

pub(crate) async fn who_has_records_is_known<B: Backend>() {
    let backend: B = projected().await;
    let store = backend.store();
    let asked = [cleo(), ben(), ann(), patients(9)[8]];
    assert_eq!(
        store.have_records(ods(HILL), &asked).await.unwrap(),
        [ben(), ann()]
    );
    assert_eq!(store.have_records(ods(VALE), &asked).await.unwrap(), [cleo()]);
    assert!(store.have_records(ods(WARD), &asked).await.unwrap().is_empty());
    assert!(store.have_records(ods(HILL), &[]).await.unwrap().is_empty());
}

/// Of one slice some versions leave what the gate reads as it was, and others do not.
pub(crate) async fn what_changes_among_what_stays_is_kept<B: Backend>() {
    use Category::{Allergies, Observations};
    const RECORDS: u64 = 300;
    let backend: B = with_units().await;
    let store = backend.store();
    let first = (1..=RECORDS).map(|n| version(&format!("r{n}"), n, ann(), Observations));
    let first: Vec<_> = first.collect();
    store.project(ods(HILL), &first, RECORDS).await.unwrap();
    let again = (1..=RECORDS).map(|n| {
        let (name, seq) = (format!("r{n}"), RECORDS + n);
        match n % 10 {
            1 => version(&name, seq, ben(), Observations),
            2 => version(&name, seq, ann(), Allergies),
            3 => retraction(&name, seq),
            _ => version(&name, seq, ann(), Observations),
        }
    });
    let again: Vec<_> = again.collect();
    store.project(ods(HILL), &again, 2 * RECORDS).await.unwrap();
    let upto = 3 * RECORDS;
    let of = |patient| store.current_records(ods(HILL), Of::Patient(patient), 0, upto, 1000);
    let (anns, bens) = (of(ann()).await.unwrap(), of(ben()).await.unwrap());
    let in_category = |category| anns.iter().filter(|r| r.subject.category == category).count();
    assert_eq!((in_category(Observations), in_category(Allergies)), (210, 30));
    assert_eq!(bens.len(), 30);
    assert!(anns.iter().chain(&bens).all(|record| record.seq > RECORDS));
    let back = [
        version("r1", upto, ann(), Observations),
        version("r3", upto - 1, ann(), Observations),
    ];
    store.project(ods(HILL), &back, upto).await.unwrap();
    assert_eq!(
        of(ann()).await.unwrap().len(),
        242,
        "another's, and retracted, before"
    );
}

pub(crate) async fn recorded_patients_are_read_in_pages<B: Backend>() {
    let backend: B = projected().await;
    let store = backend.store();
    assert_eq!(
        store.recorded_patients(ods(HILL), None, 9).await.unwrap(),
        [ann(), ben()]
    );
    assert_eq!(
        store.recorded_patients(ods(HILL), Some(ann()), 9).await.unwrap(),
        [ben()]
    );
    assert!(
        store
            .recorded_patients(ods(WARD), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let all = patients(60);
    let versions: Vec<_> = (0..600_u64)
        .map(|n| {
            version(
                &format!("r{n}"),
                11 + n,
                all[usize::try_from(n % 60).unwrap()],
                Category::Other,
            )
        })
        .collect();
    store.project(ods(HILL), &versions, 610).await.unwrap();
    for limit in [1, 7, 60, 1000] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.recorded_patients(ods(HILL), after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= usize::try_from(limit).unwrap());
            after = Some(*last);
            read.extend(page);
        }
        assert_eq!(read, all, "pages of {limit}");
    }
}

pub(crate) async fn records_are_counted_by_what_the_gate_reads<B: Backend>() {
    use Category::{Allergies, Observations};
    let backend: B = projected().await;
    let store = backend.store();
    let count = |patient, category, confidentiality, records| SubjectCount {
        subject: subject(patient, category, confidentiality),
        records,
    };
    let expected = [
        count(ann(), Allergies, Confidentiality::NORMAL, 1),
        count(ann(), Observations, Confidentiality::NORMAL, 2),
        count(ann(), Observations, Confidentiality::PRIVATE, 1),
        count(ben(), Allergies, Confidentiality::NORMAL, 1),
    ];
    assert_eq!(
        store.subject_counts(ods(HILL), None, 100).await.unwrap(),
        expected
    );
    assert_eq!(
        store.subject_counts(ods(HILL), Some(ann()), 1).await.unwrap(),
        expected[3..]
    );
    assert!(
        store
            .subject_counts(ods(HILL), Some(ben()), 1)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn counts_never_part_a_patient<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let all = patients(50);
    let mut versions = Vec::new();
    for patient in &all {
        for category in crate::consent::categories() {
            for marks in 0..4 {
                let seq = versions.len() as u64 + 1;
                let mut version = version(&format!("r{seq}"), seq, *patient, category);
                let marks = Confidentiality::from_bits(marks).unwrap();
                version.subject = Some(subject(*patient, category, marks));
                versions.push(version);
            }
        }
    }
    let through = versions.len() as u64;
    store.project(ods(HILL), &versions, through).await.unwrap();
    for limit in [1, 60, 61, 119, 120, 1000, 100_000] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.subject_counts(ods(HILL), after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.subject.patient);
            read.extend(page);
        }
        assert_eq!(read.len(), versions.len(), "pages of {limit}");
        let subjects = read.iter().zip(&versions);
        assert!(
            subjects
                .into_iter()
                .all(|(count, v)| count.records == 1 && Some(count.subject) == v.subject)
        );
    }
}
