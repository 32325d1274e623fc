//! Promises about payloads that are not to be kept.

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject},
    ids::{NhsNumber, OdsCode, RecordId},
};

use super::{
    backend::Backend,
    kit::{HILL, Outbox, VALE, group, ods, with_units},
    outbox::{amendment, parsed, project_all},
    patients_kit::{ann, ben, cleo},
};
use crate::store::{Erased, Of, PatientStore as _, Store, StoreError, is_erased};

/// An amendment of a record of a patient.
pub(crate) fn of(op: Op, name: &str, patient: NhsNumber, payload_bytes: usize) -> Amendment {
    let subject = Subject {
        patient,
        category: Category::Observations,
        confidentiality: Confidentiality::NORMAL,
    };
    let like = amendment(7, if op == Op::Retract { 0 } else { payload_bytes });
    Amendment {
        op,
        record: record(name),
        subject: Some(subject),
        ..like
    }
}

fn record(name: &str) -> RecordId {
    RecordId::new("Observation", name).unwrap()
}

/// Erases a patient's payloads; how many there were.
pub(crate) async fn erase_patient(
    store: &impl Store,
    source: OdsCode,
    patient: NhsNumber,
    upto: u64,
) -> Result<u64, StoreError> {
    store.note_erasures(source, &[patient], &[], upto).await?;
    carry_out(store).await
}

/// Erases a record's payloads before a seq; how many there were.
pub(crate) async fn erase_record(
    store: &impl Store,
    source: OdsCode,
    record: &RecordId,
    seq: u64,
) -> Result<u64, StoreError> {
    store
        .note_erasures(source, &[], &[(record.clone(), seq)], 0)
        .await?;
    carry_out(store).await
}

async fn carry_out(store: &impl Store) -> Result<u64, StoreError> {
    let mut payloads = 0;
    loop {
        let erased = store.carry_out_erasures(1).await?;
        assert_eq!(erased.upto.len(), usize::from(erased.payloads > 0), "{erased:?}");
        payloads += erased.payloads;
        if !erased.more {
            return Ok(payloads);
        }
    }
}

/// The seqs of a source whose payload was erased, and those whose payload is there.
pub(crate) async fn payloads(store: &impl Store, source: &str) -> (Vec<u64>, Vec<u64>) {
    let (mut erased, mut there) = (Vec::new(), Vec::new());
    for row in store.read_log(ods(source), 0, usize::MAX).await.unwrap() {
        let batch = parsed(&row);
        for index in 0..batch.len() {
            let payload = batch.payload(index);
            if payload.is_empty() {
                continue;
            }
            let list = if is_erased(&payload) {
                &mut erased
            } else {
                &mut there
            };
            list.push(batch.seq(index));
        }
    }
    (erased, there)
}

/// A log of [`HILL`]: seq, record, patient.
///
/// 1 a ann, 2 b ben, 3 a ann, 4 a ann (large), 5 c ann, 6 d cleo, 7 d ann (it was cleo's), 8 e ann, 9 e ben (it
/// was ann's), 10 c retracted, 11 f ann, 12 a statement about ann.
async fn published<B: Backend>() -> B {
    use Op::{Amend, Create, Retract, Statement};
    let backend: B = with_units().await;
    let mut hill = Outbox::new(HILL);
    let mut statement = of(Statement, "s", ann(), 20);
    statement.record = RecordId::new("Consent", "s").unwrap();
    let batches = [
        hill.batch_of(&[
            of(Create, "a", ann(), 100),
            of(Create, "b", ben(), 200),
            of(Amend, "a", ann(), 300),
        ]),
        hill.batch_of(&[of(Amend, "a", ann(), 600_000)]),
        hill.batch_of(&[
            of(Create, "c", ann(), 100),
            of(Create, "d", cleo(), 100),
            of(Amend, "d", ann(), 100),
            of(Create, "e", ann(), 100),
            of(Amend, "e", ben(), 100),
            of(Retract, "c", ann(), 0),
            of(Create, "f", ann(), 100),
        ]),
        hill.batch_of(&[statement]),
    ];
    backend.store().append(&group(batches.to_vec())).await.unwrap();
    let elsewhere = Outbox::new(VALE).batch_of(&[of(Create, "a", ann(), 100)]);
    backend.store().append(&group(vec![elsewhere])).await.unwrap();
    backend
}

pub(crate) async fn a_patients_payloads_are_erased<B: Backend>() {
    let backend: B = published().await;
    let store = backend.store();
    project_all(store, HILL).await;
    let before = store.read_log(ods(HILL), 0, usize::MAX).await.unwrap();
    let heads = store.heads().await.unwrap();
    assert_eq!(erase_patient(store, ods(HILL), ann(), 8).await.unwrap(), 7);
    let erased = vec![1, 3, 4, 5, 6, 7, 8];
    assert_eq!(payloads(store, HILL).await, (erased.clone(), vec![2, 9, 11, 12]));
    assert_eq!(
        payloads(store, VALE).await,
        (vec![], vec![1]),
        "another source's stays"
    );
    let after = store.read_log(ods(HILL), 0, usize::MAX).await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before.header, before.body.len()),
            (&after.header, after.body.len())
        );
        let (was, is) = (parsed(before), parsed(after));
        for index in (0..was.len()).filter(|index| !erased.contains(&was.seq(*index))) {
            assert_eq!(was.payload(index), is.payload(index), "byte for byte");
        }
    }
    assert_eq!(store.heads().await.unwrap(), heads);
    // Again, and further.
    assert_eq!(erase_patient(store, ods(HILL), ann(), 8).await.unwrap(), 0);
    assert_eq!(erase_patient(store, ods(HILL), ann(), 5).await.unwrap(), 0);
    assert_eq!(erase_patient(store, ods(HILL), ann(), 12).await.unwrap(), 1);
    let backend = backend.reopen().await;
    let statement_stays = (vec![1, 3, 4, 5, 6, 7, 8, 11], vec![2, 9, 12]);
    assert_eq!(payloads(backend.store(), HILL).await, statement_stays);
}

/// So that whoever keeps payloads in memory lets go of them.
pub(crate) async fn how_far_payloads_were_erased_is_said<B: Backend>() {
    let backend: B = published().await;
    let store = backend.store();
    store.note_erasures(ods(HILL), &[ann()], &[], 4).await.unwrap();
    let erased = store.carry_out_erasures(8).await.unwrap();
    let said = matches!(erased.upto[..], [(source, 4..=12)] if source == ods(HILL));
    assert!(said && erased.payloads == 3, "{erased:?}");
    assert_eq!(store.carry_out_erasures(8).await.unwrap(), Erased::default());
}

/// The same whatever the projection knows of the log.
pub(crate) async fn erasing_does_not_wait_for_the_projection<B: Backend>() {
    for through in [0, 1, 2] {
        let backend: B = published().await;
        let store = backend.store();
        let rows = store.read_log(ods(HILL), 0, usize::MAX).await.unwrap();
        let known: Vec<_> = rows[..through].iter().map(parsed).collect();
        for batch in known {
            let versions: Vec<_> = batch
                .entries()
                .map(|e| crate::store::RecordVersion {
                    record: e.record.clone(),
                    seq: e.seq,
                    subject: e.subject,
                    retracted: e.op == Op::Retract,
                })
                .collect();
            store
                .project(ods(HILL), &versions, batch.last_seq())
                .await
                .unwrap();
        }
        assert_eq!(
            erase_patient(store, ods(HILL), ann(), 8).await.unwrap(),
            6,
            "from {through}"
        );
        // Nobody knew yet that d became hers.
        assert_eq!(payloads(store, HILL).await.0, [1, 3, 4, 5, 7, 8]);
        project_all(store, HILL).await;
        assert_eq!(current(store).await, [2, 9, 11]);
    }
}

async fn current(store: &impl Store) -> Vec<u64> {
    current_of(store, Of::Everyone).await
}

async fn current_of(store: &impl Store, of: Of) -> Vec<u64> {
    let found = store.current_records(ods(HILL), of, 0, 1000, 100).await;
    found.unwrap().iter().map(|record| record.seq).collect()
}

pub(crate) async fn what_is_erased_is_not_current<B: Backend>() {
    let backend: B = published().await;
    let store = backend.store();
    project_all(store, HILL).await;
    assert_eq!(current(store).await, [2, 4, 7, 9, 11]);
    erase_patient(store, ods(HILL), ann(), 10).await.unwrap();
    assert_eq!(current(store).await, [2, 9, 11]);
    let of_ann = Of::Patient(ann());
    assert_eq!(current_of(store, of_ann).await, [11]);
    for (of, expected) in [
        (
            Of::Everyone,
            vec![(2, false), (4, true), (7, true), (9, false), (11, false)],
        ),
        (of_ann, vec![(4, true), (7, true), (11, false)]),
    ] {
        let found = store.current_versions(ods(HILL), of, 0, 1000, 100).await.unwrap();
        let found: Vec<_> = found.iter().map(|record| (record.seq, record.erased)).collect();
        assert_eq!(found, expected, "found where it is asked for");
    }
    let erased = store.erased_records(ods(HILL), ann(), 100).await.unwrap();
    assert_eq!(erased, [record("a"), record("d")]);
    assert_eq!(
        store.erased_records(ods(HILL), ann(), 1).await.unwrap(),
        [record("a")]
    );
    assert!(
        store
            .erased_records(ods(HILL), ben(), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .erased_records(ods(VALE), ann(), 9)
            .await
            .unwrap()
            .is_empty()
    );
    // The unit recorded them all the same.
    assert_eq!(store.have_records(ods(HILL), &[ann()]).await.unwrap(), [ann()]);
    let counts = store.subject_counts(ods(HILL), None, 100).await.unwrap();
    assert_eq!(
        counts.iter().map(|count| count.records).collect::<Vec<_>>(),
        [3, 2]
    );
    // What its source sends again is current again.
    let again = of(Op::Amend, "a", ann(), 100);
    let mut outbox = resumed(store, Outbox::new(HILL)).await;
    store
        .append(&group(vec![outbox.batch_of(&[again])]))
        .await
        .unwrap();
    project_all(store, HILL).await;
    assert_eq!(current(store).await, [2, 9, 11, 13]);
    assert_eq!(
        store.erased_records(ods(HILL), ann(), 9).await.unwrap(),
        [record("d")]
    );
}

/// An outbox that goes on from the head of [`HILL`].
async fn resumed(store: &impl Store, outbox: Outbox) -> Outbox {
    let heads = store.heads().await.unwrap();
    let head = heads.iter().find(|(unit, _)| *unit == ods(HILL)).unwrap().1;
    outbox.beginning_at(&head)
}

pub(crate) async fn a_records_payloads_are_erased<B: Backend>() {
    let backend: B = published().await;
    let store = backend.store();
    project_all(store, HILL).await;
    assert_eq!(erase_record(store, ods(HILL), &record("a"), 4).await.unwrap(), 2);
    assert_eq!(payloads(store, HILL).await.0, [1, 3], "but not what it became");
    assert_eq!(current(store).await, [2, 4, 7, 9, 11]);
    assert_eq!(erase_record(store, ods(HILL), &record("a"), 4).await.unwrap(), 0);
    assert_eq!(erase_record(store, ods(HILL), &record("d"), 8).await.unwrap(), 2);
    assert_eq!(current(store).await, [2, 4, 9, 11]);
    assert_eq!(
        store.erased_records(ods(HILL), ann(), 9).await.unwrap(),
        [record("d")]
    );
    assert_eq!(
        erase_record(store, ods(HILL), &record("no-such"), 8)
            .await
            .unwrap(),
        0
    );
    assert_eq!(erase_record(store, ods(HILL), &record("c"), 0).await.unwrap(), 0);
}

/// Of what turned private only the header came: there is nothing to ask for again.
pub(crate) async fn what_is_private_is_not_asked_for_again<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let open = of(Op::Create, "a", ann(), 100);
    let mut private = of(Op::Amend, "a", ann(), 0);
    private.former = open.subject;
    private.subject = open.subject.map(|s| Subject {
        confidentiality: Confidentiality::PRIVATE,
        ..s
    });
    private.payload = Bytes::new();
    store
        .append(&group(vec![hill.batch_of(&[open, private])]))
        .await
        .unwrap();
    project_all(store, HILL).await;
    assert_eq!(erase_patient(store, ods(HILL), ann(), 2).await.unwrap(), 1);
    assert!(
        store
            .erased_records(ods(HILL), ann(), 9)
            .await
            .unwrap()
            .is_empty()
    );
}

/// A record that is one patient's and another's by turns.
pub(crate) async fn a_record_goes_to_and_fro_between_patients<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    for patient in [ann(), ben(), ann(), ben(), ann(), ben()] {
        let batch = hill.batch_of(&[of(Op::Amend, "a", patient, 100)]);
        store.append(&group(vec![batch])).await.unwrap();
        project_all(store, HILL).await;
    }
    assert_eq!(current(store).await, [6]);
    assert_eq!(erase_patient(store, ods(HILL), ann(), 6).await.unwrap(), 3);
    assert_eq!(payloads(store, HILL).await, (vec![1, 3, 5], vec![2, 4, 6]));
}

/// Fails where every payload of a record goes that was one patient's as far as the projection knows: by then it is
/// another's, and nobody would ask for it again.
pub(crate) async fn what_is_not_projected_yet_goes_by_its_own_patient_alone<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    for (patients, projected) in [([ben(), ann()], true), ([ann(), ben()], false)] {
        let amended = patients.map(|patient| of(Op::Amend, "a", patient, 100));
        let batch = hill.batch_of(&amended);
        store.append(&group(vec![batch])).await.unwrap();
        if projected {
            project_all(store, HILL).await;
        }
    }
    assert_eq!(erase_patient(store, ods(HILL), ann(), 4).await.unwrap(), 3);
    project_all(store, HILL).await;
    assert_eq!(payloads(store, HILL).await, (vec![1, 2, 3], vec![4]));
    assert_eq!(current(store).await, [4]);
}

pub(crate) async fn many_payloads_are_erased<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    let batches: Vec<_> = (0..100_u64)
        .map(|n| {
            let record = format!("r{}", n % 30);
            let patient = if n % 3 == 0 { ann() } else { ben() };
            hill.batch_of(&[
                of(Op::Amend, &record, patient, 50_000),
                of(Op::Amend, "other", cleo(), 10),
            ])
        })
        .collect();
    for group_of in batches.chunks(10) {
        store.append(&group(group_of.to_vec())).await.unwrap();
        project_all(store, HILL).await;
    }
    assert_eq!(erase_patient(store, ods(HILL), ann(), 200).await.unwrap(), 34);
    let (erased, there) = payloads(store, HILL).await;
    assert_eq!((erased.len(), there.len()), (34, 166));
    assert_eq!(
        erase_record(store, ods(HILL), &record("other"), 200)
            .await
            .unwrap(),
        99
    );
}
