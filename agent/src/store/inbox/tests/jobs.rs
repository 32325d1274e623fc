//! Jobs over one patient and over changes: what they remove and what they leave, repeated, broken off, replaced, and
//! beside a catch-up.
//!
//! Each was seen to fail: without the sweep at a job's end, with a count that a repeated beginning forgets, with the sweep blind to the live feed's seqs, with a
//! job's mark in the place of the catch-up's, with the late edge of a replaced job taken for the newer one's, and
//! without the overtaking.

use handfast_proto::amendment::Op::{Amend, Create, Remove};

use super::support::*;
use crate::store::inbox::{ChangeOp, Inbox, Scope, testing::*};

const G: u64 = 1;

fn patient() -> Scope {
    Scope::Patient(nhs(PATIENT))
}

/// Two records of one patient and one of another, under a grant that is caught up at seq 3.
async fn filled(folder: &std::path::Path) -> Inbox {
    let inbox = open_in_step(folder).await;
    let messages = vec![
        welcome(true, &[(A, G)]),
        begins(A, G, 1),
        in_job(
            A,
            G,
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ),
        of_patient(OTHER_PATIENT, A, G, 1, &[(3, Create, "Patient/2", "other")]),
        complete(A, G, 1, 3),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    inbox
}

#[tokio::test]
async fn what_a_job_over_a_patient_did_not_name_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        job_begins(A, G, 7, patient()),
        // The live feed goes on meanwhile: what it brings beyond the job's seq stays.
        live(A, G, &[(6, Create, "Observation/2", "live")]),
        in_job(A, G, 7, &[(1, Create, "Patient/1", "p")]),
        job_complete(A, G, 7, patient(), 5),
    ];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/2", "Patient/1", "Patient/2"]);
    assert!(
        confirmable(&inbox).await.is_empty(),
        "the output has not carried it out"
    );
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 1, 0)]);
    assert!(inbox.is_settled().await.unwrap());
}

#[tokio::test]
async fn a_job_that_removed_nothing_is_confirmed_at_once_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        job_begins(A, G, 7, Scope::Patient(nhs(OTHER_PATIENT))),
        of_patient(OTHER_PATIENT, A, G, 7, &[(3, Create, "Patient/2", "other")]),
        job_complete(A, G, 7, Scope::Patient(nhs(OTHER_PATIENT)), 3),
        // One that this inbox never heard the beginning of.
        job_complete(A, G, 8, patient(), 3),
        job_begins(A, G, 9, Scope::Changes),
        job_complete(A, G, 9, Scope::Changes, 3),
    ];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    assert_eq!(held(&inbox, A).await.len(), 3);
    assert_eq!(confirmable(&inbox).await, [(9, 0, 0), (8, 0, 0), (7, 0, 0)]);
    inbox.confirmed(&[7, 8, 9]).await.unwrap();
    assert!(inbox.confirmations(true).await.unwrap().list.is_empty());
}

#[tokio::test]
async fn many_jobs_are_confirmed_a_list_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let jobs = (1000..1300).map(|job| job_complete(A, G, job, patient(), 3));
    inbox.apply(&group(1, 6, jobs.collect())).await.unwrap();
    let mut lists = Vec::new();
    loop {
        let confirmations = inbox.confirmations(false).await.unwrap();
        lists.push(confirmations.list.len());
        let jobs: Vec<u64> = confirmations.list.iter().map(|c| c.job).collect();
        inbox.confirmed(&jobs).await.unwrap();
        if !confirmations.more {
            break;
        }
    }
    assert_eq!(lists, [256, 44]);
}

#[tokio::test]
async fn a_job_goes_on_after_a_restart_and_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let first = || {
        vec![
            job_begins(A, G, 7, patient()),
            in_job(A, G, 7, &[(2, Create, "Observation/1", "o")]),
        ]
    };
    inbox.apply(&group(1, 6, first())).await.unwrap();
    assert!(!inbox.is_settled().await.unwrap());
    drop(inbox);
    let inbox = open(folder.path()).await;
    inbox
        .apply(&group(2, 1, vec![job_complete(A, G, 7, patient(), 3)]))
        .await
        .unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/1", "Patient/2"]);
    // All of it again: nothing changes, and the count is what was removed in all.
    let mut again = first();
    again.push(job_complete(A, G, 7, patient(), 3));
    inbox.apply(&group(3, 1, again)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/1", "Patient/2"]);
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 1, 0)]);
}

#[tokio::test]
async fn a_newer_job_over_the_same_patient_takes_the_place_of_the_older() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        job_begins(A, G, 7, patient()),
        in_job(A, G, 7, &[(1, Create, "Patient/1", "p")]),
        job_begins(A, G, 8, patient()),
        in_job(A, G, 8, &[(2, Create, "Observation/1", "o")]),
        job_complete(A, G, 7, patient(), 3),
    ];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    assert_eq!(
        held(&inbox, A).await.len(),
        3,
        "the older one's end sweeps nothing"
    );
    inbox
        .apply(&group(1, 11, vec![job_complete(A, G, 8, patient(), 3)]))
        .await
        .unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/1", "Patient/2"]);
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(8, 1, 0), (7, 0, 0)]);
}

#[tokio::test]
async fn a_job_over_a_patient_and_a_catch_up_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![
        welcome(true, &[(A, G)]),
        begins(A, G, 1),
        in_job(
            A,
            G,
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ),
        of_patient(OTHER_PATIENT, A, G, 1, &[(3, Create, "Patient/2", "other")]),
        job_begins(A, G, 2, patient()),
        in_job(A, G, 2, &[(1, Create, "Patient/1", "p")]),
        job_complete(A, G, 2, patient(), 3),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Patient/1", "Patient/2"]);
    assert!(
        !inbox.is_settled().await.unwrap(),
        "the catch-up is still under way"
    );
    inbox
        .apply(&group(1, 8, vec![complete(A, G, 1, 3)]))
        .await
        .unwrap();
    assert_eq!(held(&inbox, A).await, ["Patient/1", "Patient/2"]);
    assert!(inbox.is_settled().await.unwrap());
}

#[tokio::test]
async fn changes_bring_and_remove_what_is_sent_in_them_and_sweep_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let narrowed = || {
        vec![
            job_begins(A, G, 7, Scope::Changes),
            in_job(A, G, 7, &[(2, Remove, "Observation/1", "")]),
            of_patient(OTHER_PATIENT, A, G, 7, &[(4, Create, "Condition/1", "allowed")]),
            // Newer than what the job knows.
            live(A, G, &[(9, Amend, "Patient/1", "p, newer")]),
            in_job(A, G, 7, &[(5, Remove, "Patient/1", "")]),
            job_complete(A, G, 7, Scope::Changes, 8),
        ]
    };
    inbox.apply(&group(1, 6, narrowed())).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Condition/1", "Patient/1", "Patient/2"]);
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 1, 0)]);
    // Repeated as a whole after a restart: nothing is removed twice, nothing comes back.
    drop(inbox);
    let inbox = open(folder.path()).await;
    inbox.apply(&group(2, 1, narrowed())).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Condition/1", "Patient/1", "Patient/2"]);
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 1, 0)]);
    // Widened again: the same version comes back.
    let widened = vec![
        job_begins(A, G, 8, Scope::Changes),
        in_job(A, G, 8, &[(2, Create, "Observation/1", "o")]),
        job_complete(A, G, 8, Scope::Changes, 9),
    ];
    inbox.apply(&group(2, 7, widened)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/1").await.as_deref(), Some("o"));
}

#[tokio::test]
async fn changes_that_are_broken_off_and_begun_again_count_what_they_removed_before() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let begun = |record| {
        vec![
            job_begins(A, G, 7, Scope::Changes),
            in_job(A, G, 7, &[(4, Remove, record, "")]),
        ]
    };
    inbox.apply(&group(1, 6, begun("Patient/1"))).await.unwrap();
    drop(inbox);
    let inbox = open(folder.path()).await;
    let mut again = begun("Observation/1");
    again.push(job_complete(A, G, 7, Scope::Changes, 4));
    inbox.apply(&group(2, 1, again)).await.unwrap();
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 2, 0)]);
}

#[tokio::test]
async fn a_version_that_comes_late_does_not_bring_back_what_a_change_removed() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        job_begins(A, G, 6, patient()),
        job_begins(A, G, 7, Scope::Changes),
        in_job(A, G, 7, &[(5, Remove, "Observation/1", "")]),
        in_job(A, G, 6, &[(2, Create, "Observation/1", "o")]),
    ];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    drop(inbox);
    let inbox = open(folder.path()).await;
    let again = vec![in_job(A, G, 6, &[(2, Create, "Observation/1", "o")])];
    inbox.apply(&group(2, 1, again)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/1").await, None);
}

#[tokio::test]
async fn what_is_swept_overtakes_a_slow_output() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        live(A, G, &[(4, Amend, "Observation/1", "o, newer")]),
        job_begins(A, G, 7, patient()),
        in_job(A, G, 7, &[(1, Create, "Patient/1", "p")]),
        job_complete(A, G, 7, patient(), 4),
        job_begins(A, G, 8, Scope::Changes),
        in_job(A, G, 8, &[(1, Remove, "Patient/1", "")]),
        job_complete(A, G, 8, Scope::Changes, 4),
    ];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    let lines: Vec<_> = lines(&inbox).await.into_iter().map(|l| (l.1, l.2)).collect();
    let line = |op, record: &str| (op, record.to_owned());
    let expected = [
        line(ChangeOp::Create, "Patient/2"),
        line(ChangeOp::Withdraw, "Observation/1"),
        line(ChangeOp::Withdraw, "Patient/1"),
    ];
    assert_eq!(lines, expected, "only the other patient's is still to be written");
}

#[tokio::test]
async fn a_job_ends_with_its_grant() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let messages = vec![
        job_begins(A, G, 7, patient()),
        fenced(A, G),
        job_complete(A, G, 7, patient(), 3),
    ];
    let applied = inbox.apply(&group(1, 6, messages)).await.unwrap();
    assert_eq!(
        (applied.durable, applied.violation.map(|v| v.number)),
        (7, Some(8))
    );
    assert_eq!(held(&inbox, A).await.len(), 3, "until it is withdrawn");
    assert!(inbox.is_settled().await.unwrap(), "no job is left open");
}
