//! What is entered of a daemon that was killed.

use std::sync::Arc;

use handfast_proto::{
    amendment::{Amendment, Confidentiality, Subject},
    audit::Runs,
    v1::PatientWordValue,
};

use super::*;
use crate::{
    consent::{GrantId, Policy, Side},
    store::{
        AppendGroup, Deployment, EmergencyGrants as _, JoinedNumbers, LogBatch, OpenEmergency,
        PatientStore as _, ReachMove, SqliteStore, Stated, With,
        conformance::{
            kit::{
                HILL, Outbox, T0, WARD, deployment, group, jobs, join, ods, pair, register, subject, turn,
            },
            outbox::{amendment, project_all},
            patients_kit::{about, ann, ben, cleo, say, word},
        },
    },
};

/// What a batch of the log holds at most.
const BATCH: u64 = 50;

/// When words are said, beside the kit's beginning; the kit's batches are committed before.
const SAID: i64 = 1_000;

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

fn private(made: &mut Amendment) {
    let confidentiality = Confidentiality::from_bits(1).unwrap();
    made.subject = made.subject.map(|subject| Subject {
        confidentiality,
        ..subject
    });
}

fn batches(outbox: &mut Outbox, amendments: &[Amendment]) -> Vec<Arc<LogBatch>> {
    let chunks = amendments.chunks(BATCH as usize);
    chunks.map(|batch| outbox.batch_of(batch)).collect()
}

async fn publish(store: &SqliteStore, outbox: &mut Outbox, amendments: &[Amendment]) {
    for batch in batches(outbox, amendments) {
        store.append(&group(vec![batch])).await.unwrap();
    }
}

async fn made(dir: &std::path::Path) -> SqliteStore {
    let deployment = Deployment {
        policy: Policy::UnlessDissented,
        ..deployment()
    };
    let store = SqliteStore::create(dir, &deployment).await.unwrap();
    for unit in [HILL, WARD] {
        register(&store, unit).await.unwrap();
    }
    store
}

/// An access to [`ann`]'s records, opened at seq 200 of 220; 120 of them are projected. A number that became hers is
/// somebody else's still: seq 205 is published under it.
async fn killed(dir: &std::path::Path) -> (SqliteStore, GrantId) {
    let store = made(dir).await;
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
    let mut later = mixed(201..=240);
    later[4].subject = later[4].subject.map(|s| Subject { patient: ben(), ..s });
    // That a record is gone discloses nothing.
    (later[9].op, later[9].payload) = (Op::Retract, bytes::Bytes::new());
    private(&mut later[29]);
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

/// Everything to this recipient may have been handed over up to a seq.
async fn reached(store: &SqliteStore, upto: u64) {
    let reaches = store.reaches(ods(WARD)).await.unwrap();
    let reached = AppendGroup {
        reaches: reaches
            .into_iter()
            .map(|reach| ReachMove { upto, ..reach })
            .collect(),
        ..group(Vec::new())
    };
    store.append(&reached).await.unwrap();
}

/// Nothing up to a seq was handed over of a job since it was last looked at.
async fn begins(store: &SqliteStore, stream: Stream, from: u64) {
    let begins = AppendGroup {
        reaches: vec![ReachMove {
            grant: stream.grant,
            job: stream.job,
            from,
            upto: 0,
        }],
        ..group(Vec::new())
    };
    store.append(&begins).await.unwrap();
}

/// What is in doubt where everything may have gone.
async fn found(store: &SqliteStore) -> Disclosures {
    reached(store, u64::from(u32::MAX)).await;
    found_within_reach(store).await
}

async fn found_within_reach(store: &SqliteStore) -> Disclosures {
    let mut all = Disclosures::default();
    let keep = async |some| {
        all.merge(some);
        Ok(())
    };
    in_doubt(store, T0 + 2_000, keep).await.unwrap();
    all
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
    // One was retracted, and one is private: no access opens it, nor what is under a number that she left.
    let mut live = Runs::default();
    [220, 240].iter().for_each(|seq| live.insert(*seq, *seq));
    add(&mut expected, stream(None), &live);
    let mut of_ann = tens(10..=200);
    [220, 240].iter().for_each(|seq| of_ann.insert(*seq, *seq));
    add(&mut expected, job_of(ann()), &of_ann);
    assert_eq!(found(&store).await, expected);
}

/// Both hands of a pair are joined over 100 amendments, of which some are private, and then 100 more come.
async fn joined(store: &SqliteStore) -> (Outbox, GrantId) {
    let mut outbox = Outbox::new(HILL);
    let some_private = |mut amendments: Vec<Amendment>| {
        amendments.iter_mut().step_by(7).for_each(private);
        amendments
    };
    publish(store, &mut outbox, &some_private(mixed(1..=100))).await;
    let grant = join(store, pair(HILL, WARD)).await;
    publish(store, &mut outbox, &some_private(mixed(101..=200))).await;
    (outbox, grant)
}

/// The seqs of [`joined`] that are not private.
fn open_ones(seqs: std::ops::RangeInclusive<u64>, of: impl Fn(u64) -> bool) -> Runs {
    let mut runs = Runs::default();
    let each = seqs.filter(|seq| (seq - 1) % 100 % 7 != 0 && of(*seq));
    each.for_each(|seq| runs.insert(seq, seq));
    runs
}

fn live(grant: GrantId) -> Stream {
    Stream {
        pair: pair(HILL, WARD),
        grant,
        job: None,
    }
}

async fn catch_up(store: &SqliteStore, grant: GrantId) -> Stream {
    let all = jobs(store, WARD).await;
    let job = all.iter().find(|job| job.grant == grant).unwrap().id;
    Stream {
        job: Some(job),
        ..live(grant)
    }
}

#[tokio::test]
async fn of_an_agreement_what_was_withheld_is_not_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path()).await;
    let no = word(HILL, ann(), Side::ShareOut, PatientWordValue::No, 0);
    say(&store, no).await;
    let (_, grant) = joined(&store).await;
    let mut expected = Disclosures::default();
    let of_cleo = |seq: u64| !seq.is_multiple_of(10);
    add(&mut expected, live(grant), &open_ones(101..=200, of_cleo));
    let catch_up = catch_up(&store, grant).await;
    add(&mut expected, catch_up, &open_ones(1..=100, of_cleo));
    assert_eq!(found(&store).await, expected);
}

#[tokio::test]
async fn nothing_beyond_what_may_have_been_handed_over_is_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path()).await;
    let (_, grant) = joined(&store).await;
    assert_eq!(found_within_reach(&store).await, Disclosures::default());
    reached(&store, 60).await;
    let mut expected = Disclosures::default();
    let catch_up = catch_up(&store, grant).await;
    add(&mut expected, catch_up, &open_ones(1..=60, |_| true));
    assert_eq!(found_within_reach(&store).await, expected);
    // Of the job nothing was handed over before.
    begins(&store, catch_up, 30).await;
    let mut later = Disclosures::default();
    add(&mut later, catch_up, &open_ones(31..=60, |_| true));
    assert_eq!(found_within_reach(&store).await, later);
    begins(&store, catch_up, 0).await;
    reached(&store, 150).await;
    add(&mut expected, catch_up, &open_ones(1..=100, |_| true));
    add(&mut expected, live(grant), &open_ones(101..=150, |_| true));
    assert_eq!(found_within_reach(&store).await, expected);
}

#[tokio::test]
async fn what_may_have_gone_before_a_dissent_is_in_doubt_and_what_came_after_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path()).await;
    let (mut outbox, grant) = joined(&store).await;
    let no = word(HILL, ann(), Side::ShareOut, PatientWordValue::No, SAID);
    assert_eq!(no.at, T0 + SAID);
    let follows = about(pair(HILL, WARD), ann());
    store.record_words(&[no], &follows).await.unwrap();
    let after = AppendGroup {
        at: T0 + SAID + 1,
        ..group(batches(&mut outbox, &mixed(201..=230)))
    };
    store.append(&after).await.unwrap();
    let mut expected = Disclosures::default();
    let mut of_live = open_ones(101..=200, |_| true);
    let later = (201..=230_u64).filter(|seq| !seq.is_multiple_of(10));
    later.for_each(|seq| of_live.insert(seq, seq));
    add(&mut expected, live(grant), &of_live);
    let catch_up = catch_up(&store, grant).await;
    add(&mut expected, catch_up, &open_ones(1..=100, |_| true));
    // The job that follows from the dissent looks at what is current, and begins with the dissent.
    assert_eq!(found(&store).await, expected);
}

#[tokio::test]
async fn a_long_backlog_is_given_on_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path()).await;
    let (mut outbox, grant) = joined(&store).await;
    let mut all = open_ones(101..=200, |_| true);
    // Every other one is private, so that each takes a run of its own.
    let many = 5 * MAX_RUNS as u64;
    for first in (201..201 + many).step_by(6_400) {
        let mut made = mixed(first..=first + 6_399);
        made.iter_mut().step_by(2).for_each(private);
        let seqs = (first + 1..first + 6_400).step_by(2);
        seqs.for_each(|seq| all.insert(seq, seq));
        let group = group(batches(&mut outbox, &made));
        store.append(&group).await.unwrap();
    }
    reached(&store, u64::from(u32::MAX)).await;
    let (mut parts, mut merged) = (Vec::new(), Disclosures::default());
    let keep = async |some: Disclosures| {
        parts.push(some.runs());
        merged.merge(some);
        Ok(())
    };
    in_doubt(&store, T0, keep).await.unwrap();
    assert!(parts.len() >= 2, "{parts:?}");
    assert!(parts.iter().all(|runs| *runs < 2 * MAX_RUNS), "{parts:?}");
    let mut expected = Disclosures::default();
    add(&mut expected, live(grant), &all);
    let catch_up = catch_up(&store, grant).await;
    add(&mut expected, catch_up, &open_ones(1..=100, |_| true));
    assert_eq!(merged, expected);
}
