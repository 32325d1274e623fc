//! That something was withdrawn is told for as long as it is not back.
//!
//! Detects: a notice that ends while a patient's records are still withheld, because another grant was caught up or
//! because time passed.

use std::sync::Arc;

use handfast_proto::amendment::Op::{Amend, Create, Remove};

use super::support::*;
use crate::{
    clock::ManualClock,
    store::inbox::{Inbox, InboxLimits, Incoming, NoticeCode, OutputSpec, Scope, testing::*},
};

const DAY: i64 = 24 * 60 * 60 * 1000;

async fn open_at(folder: &std::path::Path, clock: &ManualClock) -> Inbox {
    let path = folder.join("inbox.db");
    let inbox = Inbox::open(&path, Arc::new(clock.clone()), InboxLimits::default());
    let inbox = inbox.await.unwrap();
    let (name, kind) = ("out".to_owned(), "directory".to_owned());
    inbox.set_outputs(&[OutputSpec { name, kind }]).await.unwrap();
    inbox
}

async fn told(inbox: &Inbox) -> Vec<NoticeCode> {
    carry_out(inbox).await;
    let about = inbox.abouts(Some("out")).await.unwrap().remove(0);
    about.notices.iter().map(|n| n.code).collect()
}

/// The catch-up of a grant: of the first patient where `both`, and of the other.
fn catch_up(number: u64, both: bool) -> Vec<Incoming> {
    let one = [(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")];
    let mut all = vec![Incoming::Stands(grant(A, number)), begins(A, number, number)];
    if both {
        all.push(in_job(A, number, number, &one));
    }
    let other = [(3, Create, "Patient/2", "p"), (4, Create, "Observation/2", "o")];
    all.push(of_patient(OTHER_PATIENT, A, number, number, &other));
    all.push(complete(A, number, number, 4));
    all
}

fn over_patient(grant: u64, job: u64, lines: &[Line<'_>]) -> Vec<Incoming> {
    let scope = Scope::Patient(nhs(PATIENT));
    let mut all = vec![job_begins(A, grant, job, scope)];
    if !lines.is_empty() {
        all.push(in_job(A, grant, job, lines));
    }
    all.push(job_complete(A, grant, job, scope, 4));
    all
}

#[tokio::test]
async fn a_patient_who_was_withdrawn_is_told_of_until_their_records_are_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    let mut next = 1;
    let mut apply = async |inbox: &Inbox, contents: Vec<Incoming>| {
        let first = next;
        next += contents.len() as u64;
        inbox.apply(&group(1, first, contents)).await.unwrap();
    };
    apply(&inbox, vec![welcome(true, &[])]).await;
    apply(&inbox, catch_up(1, true)).await;
    assert_eq!(told(&inbox).await, []);
    apply(&inbox, over_patient(1, 5, &[])).await;
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    // The half is turned off and on: the other patient is back, this one is not.
    apply(&inbox, vec![fenced(A, 1), withdraw(A, 6, 1)]).await;
    apply(&inbox, catch_up(7, false)).await;
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    // Time does not bring them back, nor does a start.
    clock.advance(40 * DAY);
    inbox.heard(NOON + 40 * DAY).await.unwrap();
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    drop(inbox);
    let inbox = open_at(folder.path(), &clock).await;
    inbox.heard(NOON + 40 * DAY).await.unwrap();
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    // The other patient's records say nothing about this one's.
    let others = [(5, Amend, "Observation/2", "o2")];
    apply(&inbox, vec![of_patient(OTHER_PATIENT, A, 7, 0, &others)]).await;
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    let back = [(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")];
    apply(&inbox, over_patient(7, 8, &back)).await;
    assert_eq!(told(&inbox).await, []);
}

#[tokio::test]
async fn who_dissented_while_nothing_was_shared_is_missed_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_at(folder.path(), &ManualClock::at(NOON)).await;
    let mut all = vec![welcome(true, &[])];
    all.extend(catch_up(1, true));
    all.extend([fenced(A, 1), withdraw(A, 6, 1)]);
    let next = 1 + all.len() as u64;
    inbox.apply(&group(1, 1, all)).await.unwrap();
    inbox.apply(&group(1, next, catch_up(7, false))).await.unwrap();
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    let next = next + 4;
    inbox
        .apply(&group(1, next, vec![fenced(A, 7), withdraw(A, 8, 7)]))
        .await
        .unwrap();
    inbox.apply(&group(1, next + 2, catch_up(9, true))).await.unwrap();
    assert_eq!(told(&inbox).await, []);
}

#[tokio::test]
async fn one_record_that_was_withdrawn_is_told_of_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    let mut all = vec![welcome(true, &[])];
    all.extend(catch_up(1, true));
    all.push(live(A, 1, &[(5, Remove, "Observation/1", "")]));
    let next = 1 + all.len() as u64;
    inbox.apply(&group(1, 1, all)).await.unwrap();
    clock.advance(31 * DAY);
    inbox.heard(NOON + 31 * DAY).await.unwrap();
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    let again = [(6, Amend, "Patient/1", "p2")];
    inbox
        .apply(&group(1, next, vec![live(A, 1, &again)]))
        .await
        .unwrap();
    assert_eq!(told(&inbox).await, [NoticeCode::Withdrawn]);
    let back = [(7, Create, "Observation/1", "o")];
    inbox
        .apply(&group(1, next + 1, vec![live(A, 1, &back)]))
        .await
        .unwrap();
    assert_eq!(told(&inbox).await, []);
}
