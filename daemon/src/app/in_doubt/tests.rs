//! What is entered of a daemon that was killed.

use handfast_proto::amendment::{Amendment, Subject};

use super::*;
use crate::{
    consent::{GrantId, Side},
    store::{
        AppendGroup, EmergencyGrants as _, JoinedNumbers, OpenEmergency, SqliteStore, Stated, With,
        conformance::{
            kit::{
                HILL, Outbox, T0, WARD, deployment, group, jobs, join, ods, pair, register, subject, turn,
            },
            outbox::{amendment, project_all},
            patients_kit::{ann, ben, cleo},
        },
    },
};

/// What a batch of the log holds at most.
const BATCH: u64 = 50;

/// Amendments of which every tenth is [`ann`]'s, and the others [`cleo`]'s.
fn mixed(seqs: std::ops::RangeInclusive<u64>) -> Vec<Amendment> {
    let of = |seq: u64| {
        let mut made = amendment(seq, 10);
        let patient = if seq.is_multiple_of(10) { ann() } else { cleo() };
        made.subject = Some(Subject { patient, ..subject() });
        made
    };
    seqs.map(of).collect()
}

async fn publish(store: &SqliteStore, outbox: &mut Outbox, amendments: &[Amendment]) {
    for batch in amendments.chunks(BATCH as usize) {
        store.append(&group(vec![outbox.batch_of(batch)])).await.unwrap();
    }
}

/// An access to [`ann`]'s records, opened at seq 200 of 220; 120 of them are projected, and one of her records was
/// published under another number.
async fn killed(dir: &std::path::Path) -> (SqliteStore, GrantId) {
    let store = SqliteStore::create(dir, &deployment()).await.unwrap();
    for unit in [HILL, WARD] {
        register(&store, unit).await.unwrap();
    }
    let mut outbox = Outbox::new(HILL);
    publish(&store, &mut outbox, &mixed(1..=120)).await;
    project_all(&store, HILL).await;
    publish(&store, &mut outbox, &mixed(121..=200)).await;
    turn(&store, pair(HILL, WARD), Side::ShareOut, true)
        .await
        .unwrap();
    let joined = JoinedNumbers {
        unit: ods(HILL),
        former: ben(),
        current: ann(),
    };
    let stated = AppendGroup {
        stated: vec![Stated::Joined(joined)],
        ..group(Vec::new())
    };
    store.append(&stated).await.unwrap();
    let open = OpenEmergency {
        recipient: ods(WARD),
        patient: ann(),
        sources: vec![ods(HILL)],
        at: T0,
        until: T0 + 1_000,
    };
    let opened = store.open_emergency(&open, &With::nothing()).await.unwrap();
    let mut later = mixed(201..=220);
    later[4].subject = later[4].subject.map(|s| Subject { patient: ben(), ..s });
    // That a record is gone discloses nothing.
    (later[9].op, later[9].payload) = (Op::Retract, bytes::Bytes::new());
    publish(&store, &mut outbox, &later).await;
    (store, opened[0].grant)
}

fn tens(seqs: std::ops::RangeInclusive<u64>) -> Runs {
    let mut runs = Runs::default();
    seqs.filter(|seq| seq.is_multiple_of(10))
        .for_each(|seq| runs.insert(seq, seq));
    runs
}

fn add(to: &mut Disclosures, stream: Stream, seqs: &Runs) {
    let each = seqs.iter();
    each.for_each(|(first, last)| to.perhaps(stream, PerhapsCause::UncleanStart, first, last));
}

#[tokio::test]
async fn of_an_emergency_access_only_its_patients_amendments_are_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let (store, grant) = killed(dir.path()).await;
    let stream = |job| Stream {
        pair: pair(HILL, WARD),
        grant,
        job,
    };
    let jobs = jobs(&store, WARD).await;
    let job_of = |number| {
        let job = jobs
            .iter()
            .find(|job| matches!(job.kind, JobKind::Patient { patient, .. } if patient == number));
        stream(Some(job.unwrap().id))
    };
    let mut expected = Disclosures::default();
    let mut live = Runs::of(205, 205);
    live.insert(220, 220);
    add(&mut expected, stream(None), &live);
    let mut of_ann = tens(10..=200);
    of_ann.insert(220, 220);
    add(&mut expected, job_of(ann()), &of_ann);
    add(&mut expected, job_of(ben()), &Runs::of(205, 205));
    assert_eq!(in_doubt(&store, T0).await.unwrap(), expected);
}

#[tokio::test]
async fn of_an_agreement_everything_that_is_due_is_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = killed(dir.path()).await;
    let mut expected = in_doubt(&store, T0).await.unwrap();
    let grant = join(&store, pair(HILL, WARD)).await;
    let all = jobs(&store, WARD).await;
    let catch_up = all.iter().find(|job| job.grant == grant).unwrap().id;
    let stream = Stream {
        pair: pair(HILL, WARD),
        grant,
        job: Some(catch_up),
    };
    add(&mut expected, stream, &Runs::of(1, 220));
    assert_eq!(in_doubt(&store, T0).await.unwrap(), expected);
}
