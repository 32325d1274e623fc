//! What clinicians are told of a source: how old it is, what is in scope, and notices.
//!
//! Seen to fail with a time that goes on while the source is suspended or the link is down, and with a withdrawn
//! notice that ends with the next start.

use std::{path::Path, sync::Arc};

use handfast_proto::amendment::{
    Category,
    Op::{Create, Remove, Retract},
};

use super::support::*;
use crate::{
    clock::{Clock as _, ManualClock},
    store::inbox::{
        About, Grant, Inbox, InboxLimits, Incoming, NoticeCode, NoticeReason, OutputSpec, Progress, Scope,
        testing::*,
    },
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn open_at(folder: &Path, clock: &ManualClock) -> Inbox {
    let path = folder.join("inbox.db");
    let inbox = Inbox::open(&path, Arc::new(clock.clone()), InboxLimits::default())
        .await
        .unwrap();
    let spec = OutputSpec {
        name: "out".to_owned(),
        kind: "directory".to_owned(),
    };
    inbox.set_outputs(&[spec]).await.unwrap();
    inbox
}

async fn about(inbox: &Inbox) -> About {
    carry_out(inbox).await;
    inbox.abouts(Some("out")).await.unwrap().remove(0)
}

async fn told(inbox: &Inbox) -> Vec<(NoticeCode, Vec<NoticeReason>)> {
    let notices = about(inbox).await.notices.into_iter();
    notices.map(|n| (n.code, n.reasons)).collect()
}

fn caught_up(number: u64) -> Vec<Incoming> {
    vec![
        begins(A, number, number),
        in_job(A, number, number, &[(1, Create, "Observation/1", "o")]),
        complete(A, number, number, 1),
    ]
}

#[tokio::test]
async fn the_time_goes_on_while_the_stream_stands_and_nothing_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    inbox
        .apply(&group(1, 1, vec![welcome(true, &[(A, 1)])]))
        .await
        .unwrap();
    inbox.heard(NOON).await.unwrap();
    let catching_up = [(NoticeCode::PossiblyIncomplete, vec![NoticeReason::CatchingUp])];
    assert_eq!(
        (about(&inbox).await.as_of, told(&inbox).await),
        (None, catching_up.to_vec())
    );
    inbox.apply(&group(1, 2, caught_up(1))).await.unwrap();
    clock.advance(5 * MINUTE);
    inbox.heard(clock.now_ms()).await.unwrap();
    assert_eq!(
        (about(&inbox).await.as_of, told(&inbox).await),
        (Some(NOON + 5 * MINUTE), vec![])
    );
    // Not heard any more, and the agent starts anew: as old as it is, and after a while that is said.
    clock.advance(15 * MINUTE);
    drop(inbox);
    let inbox = open_at(folder.path(), &clock).await;
    assert_eq!(
        (about(&inbox).await.as_of, told(&inbox).await),
        (Some(NOON + 5 * MINUTE), vec![])
    );
    clock.advance(1);
    let stale = [(NoticeCode::Stale, vec![NoticeReason::NotConnected])];
    assert_eq!(told(&inbox).await, stale);
    inbox.heard(clock.now_ms()).await.unwrap();
    assert_eq!(told(&inbox).await, []);
}

#[tokio::test]
async fn a_suspended_source_is_as_old_as_its_suspension() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    inbox
        .apply(&group(1, 1, vec![welcome(true, &[(A, 1)])]))
        .await
        .unwrap();
    inbox.apply(&group(1, 2, caught_up(1))).await.unwrap();
    inbox.heard(NOON).await.unwrap();
    let stands = |stale| Incoming::Stands(Grant { stale, ..grant(A, 1) });
    inbox.apply(&group(1, 5, vec![stands(true)])).await.unwrap();
    clock.advance(MINUTE);
    inbox.heard(clock.now_ms()).await.unwrap();
    assert_eq!(about(&inbox).await.as_of, Some(NOON));
    assert_eq!(
        told(&inbox).await,
        [(NoticeCode::Stale, vec![NoticeReason::Suspended])]
    );
    inbox.apply(&group(1, 6, vec![stands(false)])).await.unwrap();
    assert_eq!(
        (about(&inbox).await.as_of, told(&inbox).await),
        (Some(NOON + MINUTE), vec![])
    );
}

#[tokio::test]
async fn that_something_was_withdrawn_is_told_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    inbox.apply(&group(1, 1, vec![welcome(true, &[])])).await.unwrap();
    inbox.apply(&group(1, 2, caught_up(1))).await.unwrap();
    let retracted = vec![live(
        A,
        1,
        &[
            (2, Create, "Observation/2", "o"),
            (3, Retract, "Observation/2", ""),
        ],
    )];
    inbox.apply(&group(1, 5, retracted)).await.unwrap();
    assert_eq!(
        told(&inbox).await,
        [],
        "what its source retracted was not withdrawn"
    );
    inbox
        .apply(&group(
            1,
            6,
            vec![live(A, 1, &[(4, Remove, "Observation/1", "")])],
        ))
        .await
        .unwrap();
    let withdrawn = [(NoticeCode::Withdrawn, vec![])];
    assert_eq!(told(&inbox).await, withdrawn);
    drop(inbox);
    let inbox = open_at(folder.path(), &clock).await;
    clock.advance(40 * DAY);
    inbox.heard(clock.now_ms()).await.unwrap();
    assert_eq!(told(&inbox).await, withdrawn);
    let back = live(A, 1, &[(6, Create, "Observation/1", "o")]);
    inbox.apply(&group(1, 7, vec![back])).await.unwrap();
    assert_eq!(told(&inbox).await, []);
    // A whole grant, withdrawn: still told of when nothing is shared. And given again.
    inbox
        .apply(&group(1, 8, vec![fenced(A, 1), withdraw(A, 9, 1)]))
        .await
        .unwrap();
    let page = about(&inbox).await;
    assert_eq!((page.shared, page.categories), (false, Some(Vec::new())));
    assert_eq!(told(&inbox).await, withdrawn);
    inbox.apply(&group(1, 10, caught_up(2))).await.unwrap();
    assert_eq!(told(&inbox).await, []);
}

#[tokio::test]
async fn what_was_withdrawn_before_this_inbox_was_made_is_told_until_a_whole_grant_or_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    inbox.apply(&group(1, 1, vec![welcome(true, &[])])).await.unwrap();
    let withdrawn = [(NoticeCode::Withdrawn, vec![])];
    let noted = async || inbox.note_sources(&[ods(A)], true).await.unwrap();
    noted().await;
    assert_eq!(told(&inbox).await, withdrawn);
    clock.advance(30 * DAY - 1);
    assert_eq!(told(&inbox).await, withdrawn);
    clock.advance(1);
    assert_eq!(told(&inbox).await, []);
    // A grant that is narrowed may still lack it.
    noted().await;
    let narrow = Grant {
        not_everyone: true,
        ..grant(A, 1)
    };
    inbox
        .apply(&group(1, 2, vec![Incoming::Stands(narrow)]))
        .await
        .unwrap();
    inbox.apply(&group(1, 3, caught_up(1))).await.unwrap();
    inbox.heard(clock.now_ms()).await.unwrap();
    let incomplete = (
        NoticeCode::PossiblyIncomplete,
        vec![NoticeReason::NotEveryPatient],
    );
    assert_eq!(told(&inbox).await, [withdrawn[0].clone(), incomplete]);
    let messages = vec![Incoming::Stands(grant(A, 1))];
    inbox.apply(&group(1, 6, messages)).await.unwrap();
    assert_eq!(told(&inbox).await, withdrawn);
    let again = vec![
        begins(A, 1, 7),
        in_job(A, 1, 7, &[(1, Create, "Observation/1", "o")]),
        complete(A, 1, 7, 1),
    ];
    inbox.apply(&group(1, 7, again)).await.unwrap();
    assert_eq!(told(&inbox).await, []);
}

#[tokio::test]
async fn what_narrows_and_what_an_output_lacks_is_told() {
    use NoticeReason::{EmergencyOnly, NarrowedScope, OutputBehind};
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOON);
    let inbox = open_at(folder.path(), &clock).await;
    let narrowed = Grant {
        categories: vec![Category::Problems, Category::Allergies],
        ..grant(A, 1)
    };
    let grants = vec![narrowed];
    inbox
        .apply(&group(1, 1, vec![Incoming::Welcome { anew: true, grants }]))
        .await
        .unwrap();
    inbox.apply(&group(1, 2, caught_up(1))).await.unwrap();
    let page = about(&inbox).await;
    assert_eq!(
        page.categories,
        Some(vec![Category::Problems, Category::Allergies])
    );
    let incomplete = |reason| [(NoticeCode::PossiblyIncomplete, vec![reason])];
    assert_eq!(told(&inbox).await, incomplete(NarrowedScope));
    // The agreement ends while an emergency is open.
    let scope = Scope::Patient(nhs(PATIENT));
    let messages = vec![
        Incoming::Stands(emergency(A, 2, PATIENT)),
        job_begins(A, 2, 5, scope),
        in_job(A, 2, 5, &[(1, Create, "Observation/1", "o")]),
        job_complete(A, 2, 5, scope, 1),
        fenced(A, 1),
        withdraw(A, 6, 1),
    ];
    inbox.apply(&group(1, 5, messages)).await.unwrap();
    assert_eq!(
        (told(&inbox).await, about(&inbox).await.categories),
        (incomplete(EmergencyOnly).to_vec(), None)
    );
    // An output that lags behind is as old as what it has not written.
    inbox
        .apply(&group(
            1,
            11,
            vec![live(A, 2, &[(7, Create, "Observation/7", "o")])],
        ))
        .await
        .unwrap();
    clock.advance(2 * MINUTE);
    inbox.heard(clock.now_ms()).await.unwrap();
    let page = inbox.abouts(Some("out")).await.unwrap().remove(0);
    assert_eq!(page.as_of, Some(NOON));
    assert!(page.notices[0].reasons.contains(&OutputBehind));
    assert_eq!(
        inbox.abouts(None).await.unwrap()[0].as_of,
        Some(NOON + 2 * MINUTE)
    );
    inbox
        .commit_output(
            "out",
            &Progress {
                position: inbox.last_change(),
                ..Progress::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(told(&inbox).await, incomplete(EmergencyOnly));
    let shown = &inbox.summary().await.unwrap().sources[0];
    assert_eq!((shown.as_of, shown.notices.len()), (Some(NOON + 2 * MINUTE), 1));
}
