//! The rules of the inbox, on a real file.

use handfast_proto::amendment::Op::{Amend, Create, Remove, Retract};

use super::support::*;
use crate::store::inbox::{
    ChangeOp, Current, LetterOp, LetterState, NewLetter, Progress, Violation, testing::*,
};

#[tokio::test]
async fn what_was_applied_is_not_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = || {
        vec![
            live(
                A,
                1,
                &[(1, Create, "Patient/1", "p1"), (2, Create, "Observation/1", "o1")],
            ),
            live(
                A,
                1,
                &[(4, Amend, "Observation/1", "o2"), (5, Retract, "Patient/1", "")],
            ),
        ]
    };
    let applied = inbox.apply(&group(7, 2, messages())).await.unwrap();
    assert_eq!((applied.durable, applied.amendments), (3, 4));
    // The same again: in another session, and from a file opened anew.
    drop(inbox);
    let inbox = open(folder.path()).await;
    let hello = inbox.hello().await.unwrap();
    assert_eq!((hello.session, hello.durable), (7, 3));
    let applied = inbox.apply(&group(8, 2, messages())).await.unwrap();
    assert_eq!(applied.amendments, 0);
    let expected = [
        (1, ChangeOp::Create, "Patient/1".to_owned(), 1),
        (2, ChangeOp::Create, "Observation/1".to_owned(), 1),
        (4, ChangeOp::Amend, "Observation/1".to_owned(), 2),
        (5, ChangeOp::Retract, "Patient/1".to_owned(), 1),
    ];
    assert_eq!(lines(&inbox).await, expected);
    assert_eq!(content(&inbox, A, "Observation/1").await.as_deref(), Some("o2"));
    assert_eq!(content(&inbox, A, "Patient/1").await, None);
    let summary = inbox.summary().await.unwrap();
    assert_eq!(
        (summary.sources[0].held, summary.sources[0].position),
        (1, Some(5))
    );
}

#[tokio::test]
async fn sources_and_their_records_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = vec![
        live(A, 1, &[(9, Create, "Patient/1", "from a")]),
        live(B, 2, &[(3, Create, "Patient/1", "from b")]),
        live(A, 1, &[(10, Amend, "Patient/1", "from a, later")]),
    ];
    inbox.apply(&group(1, 2, messages)).await.unwrap();
    assert_eq!(
        content(&inbox, A, "Patient/1").await.as_deref(),
        Some("from a, later")
    );
    assert_eq!(content(&inbox, B, "Patient/1").await.as_deref(), Some("from b"));
    let changes = inbox.pending(0).await.unwrap();
    assert_eq!(changes[0].current, Current::Later);
    assert!(matches!(&changes[2].current, Current::Held(h) if h.seq == 10 && h.version == 2));
}

#[tokio::test]
async fn a_catch_up_confirms_brings_and_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let before = vec![
        begins(A, 1, 5),
        in_job(
            A,
            1,
            5,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ),
        in_job(A, 1, 5, &[(3, Create, "Observation/2", "gone later")]),
        complete(A, 1, 5, 3),
    ];
    inbox.apply(&group(1, 2, before)).await.unwrap();
    let position = inbox.pending(0).await.unwrap().last().unwrap().number;
    let again = vec![
        fenced(A, 1),
        begins(A, 2, 6),
        in_job(
            A,
            2,
            6,
            &[
                (1, Create, "Patient/1", "p"),
                (8, Amend, "Observation/1", "o, newer"),
            ],
        ),
        complete(A, 2, 6, 9),
        live(
            A,
            2,
            &[
                (9, Amend, "Patient/1", "too old"),
                (10, Create, "Observation/3", "live"),
            ],
        ),
    ];
    inbox.apply(&group(1, 6, again)).await.unwrap();
    let since: Vec<_> = inbox.pending(position).await.unwrap();
    let since: Vec<_> = since.iter().map(|c| (c.seq, c.op, c.record.as_str())).collect();
    let expected = [
        (8, ChangeOp::Amend, "Observation/1"),
        (3, ChangeOp::Withdraw, "Observation/2"),
        (10, ChangeOp::Create, "Observation/3"),
    ];
    assert_eq!(since, expected);
    assert_eq!(content(&inbox, A, "Patient/1").await.as_deref(), Some("p"));
    assert_eq!(inbox.summary().await.unwrap().sources[0].held, 3);
    assert!(
        !inbox.is_settled().await.unwrap(),
        "the daemon has not welcomed this inbox"
    );
    inbox
        .apply(&group(1, 10, vec![welcome(false, &[(A, 2)])]))
        .await
        .unwrap();
    assert!(inbox.is_settled().await.unwrap());
}

#[tokio::test]
async fn a_catch_up_that_is_repeated_keeps_what_the_live_feed_brought() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let first = vec![
        begins(A, 1, 5),
        in_job(A, 1, 5, &[(1, Create, "Patient/1", "p")]),
        complete(A, 1, 5, 1),
        live(A, 1, &[(2, Create, "AllergyIntolerance/1", "a")]),
    ];
    inbox.apply(&group(1, 2, first)).await.unwrap();
    let repeated = vec![begins(A, 1, 5), complete(A, 1, 5, 1)];
    inbox.apply(&group(2, 2, repeated)).await.unwrap();
    assert_eq!(content(&inbox, A, "Patient/1").await.as_deref(), Some("p"));
    assert_eq!(
        content(&inbox, A, "AllergyIntolerance/1").await.as_deref(),
        Some("a")
    );
}

#[tokio::test]
async fn a_removal_leaves_a_tombstone_for_its_grant_only() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = vec![
        live(
            A,
            1,
            &[
                (1, Create, "Observation/1", "o"),
                (2, Remove, "Observation/1", ""),
            ],
        ),
        live(A, 1, &[(3, Remove, "Observation/9", "")]),
        in_job(A, 1, 4, &[(1, Create, "Observation/1", "late repeat")]),
    ];
    inbox.apply(&group(1, 2, messages)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/1").await, None);
    assert_eq!(
        lines(&inbox).await.len(),
        2,
        "a removal of what is not held writes no line"
    );
    let next = vec![
        fenced(A, 1),
        begins(A, 2, 5),
        in_job(A, 2, 5, &[(1, Create, "Observation/1", "o")]),
        complete(A, 2, 5, 3),
    ];
    inbox.apply(&group(1, 5, next)).await.unwrap();
    assert_eq!(content(&inbox, A, "Observation/1").await.as_deref(), Some("o"));
}

#[tokio::test]
async fn nothing_of_an_ended_grant_is_applied_ever_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = vec![
        live(A, 1, &[(1, Create, "Patient/1", "p")]),
        fenced(A, 1),
        live(B, 2, &[(1, Create, "Patient/1", "b")]),
        live(A, 1, &[(2, Create, "Observation/1", "after the fence")]),
        live(B, 2, &[(2, Create, "Observation/1", "b")]),
    ];
    let applied = inbox.apply(&group(1, 2, messages)).await.unwrap();
    let violation = Violation {
        number: 5,
        source: ods(A),
        grant: 1,
    };
    assert_eq!((applied.durable, applied.violation), (4, Some(violation.clone())));
    assert_eq!(content(&inbox, A, "Observation/1").await, None);
    assert_eq!(
        content(&inbox, B, "Observation/1").await,
        None,
        "not beyond the violation"
    );
    drop(inbox);
    let inbox = open(folder.path()).await;
    let applied = inbox.apply(&group(2, 2, vec![begins(A, 1, 9)])).await.unwrap();
    assert_eq!(applied.violation.map(|v| v.grant), Some(1));
    let applied = inbox.apply(&group(2, 2, vec![begins(A, 3, 10)])).await.unwrap();
    assert_eq!(applied.violation, None);
}

#[tokio::test]
async fn a_grant_that_a_restored_daemon_names_is_in_force_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    inbox.apply(&group(1, 2, vec![fenced(A, 1)])).await.unwrap();
    inbox.renew_store().await.unwrap();
    let anew = vec![
        welcome(true, &[(A, 1)]),
        begins(A, 1, 1),
        in_job(A, 1, 1, &[(1, Create, "Patient/1", "p")]),
        complete(A, 1, 1, 1),
    ];
    let applied = inbox.apply(&group(2, 1, anew)).await.unwrap();
    assert_eq!((applied.violation, applied.amendments), (None, 1));
}

#[tokio::test]
async fn a_store_that_is_new_to_the_daemon_keeps_only_what_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = vec![
        live(
            A,
            1,
            &[
                (20, Create, "Patient/1", "a"),
                (21, Create, "Observation/1", "old"),
            ],
        ),
        live(A, 1, &[(22, Create, "Observation/2", "not sent again")]),
        live(B, 2, &[(1, Create, "Patient/1", "no longer granted")]),
    ];
    inbox.apply(&group(3, 2, messages)).await.unwrap();
    let before = inbox.hello().await.unwrap();
    let hello = inbox.renew_store().await.unwrap();
    assert_ne!(hello.store, before.store);
    assert_eq!((hello.session, hello.durable), (0, 0));
    // The daemon was restored from a backup: it numbers its jobs anew, and seq 7 is another content.
    let anew = vec![
        welcome(true, &[(A, 1)]),
        begins(A, 1, 1),
        in_job(
            A,
            1,
            1,
            &[(6, Create, "Patient/1", "a"), (7, Create, "Observation/1", "new")],
        ),
        complete(A, 1, 1, 8),
        live(A, 1, &[(9, Amend, "Patient/1", "a, amended")]),
    ];
    inbox.apply(&group(4, 1, anew)).await.unwrap();
    assert_eq!(
        content(&inbox, A, "Patient/1").await.as_deref(),
        Some("a, amended")
    );
    assert_eq!(content(&inbox, A, "Observation/1").await.as_deref(), Some("new"));
    assert_eq!(content(&inbox, A, "Observation/2").await, None);
    assert_eq!(content(&inbox, B, "Patient/1").await, None);
    assert!(inbox.is_settled().await.unwrap());
}

#[tokio::test]
async fn letters_are_one_a_record_and_close_when_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "fhir").await;
    inbox
        .apply(&group(1, 2, vec![live(A, 1, &[(1, Create, "Patient/1", "p")])]))
        .await
        .unwrap();
    let letter = NewLetter {
        source: ods(A),
        record: "Patient/1".parse().unwrap(),
        seq: 1,
        job: 0,
        op: LetterOp::Write,
        state: LetterState::Refused,
        status: Some(422),
        reason: "the server refuses it (422)".to_owned(),
        attempts: 1,
        next_at: 0,
    };
    let progress = |letters| Progress {
        position: 1,
        letters,
        ..Progress::default()
    };
    for _ in 0..2 {
        inbox
            .commit_output("out", &progress(vec![letter.clone()]))
            .await
            .unwrap();
    }
    let open = inbox.letters(false).await.unwrap();
    assert_eq!((open.len(), open[0].status), (1, Some(422)));
    assert!(inbox.due_letters("out", 10).await.unwrap().is_empty());
    assert!(inbox.request_retry(open[0].id).await.unwrap());
    assert_eq!(inbox.due_letters("out", 10).await.unwrap().len(), 1);
    let done = Progress {
        position: 1,
        written: vec![(ods(A), "Patient/1".parse().unwrap(), 1)],
        ..Progress::default()
    };
    inbox.commit_output("out", &done).await.unwrap();
    assert!(inbox.letters(false).await.unwrap().is_empty());
    assert_eq!(inbox.letters(true).await.unwrap()[0].state, LetterState::Resolved);
    assert!(!inbox.discard_letter(open[0].id, "too late").await.unwrap());
}

#[tokio::test]
async fn many_records_in_one_group_and_pages_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let names: Vec<String> = (0..1000).map(|n| format!("Observation/o{n:04}")).collect();
    let contents = names
        .chunks(64)
        .enumerate()
        .map(|(place, chunk)| {
            let first = place as u64 * 64 + 1;
            let lines: Vec<_> = (first..)
                .zip(chunk)
                .map(|(seq, n)| (seq, Create, n.as_str(), "x"))
                .collect();
            live(A, 1, &lines)
        })
        .collect();
    let applied = inbox.apply(&group(1, 2, contents)).await.unwrap();
    assert_eq!(applied.amendments, 1000);
    let mut position = 0;
    let mut seen = Vec::new();
    loop {
        let changes = inbox.pending(position).await.unwrap();
        let Some(last) = changes.last() else { break };
        position = last.number;
        seen.extend(changes.iter().map(|c| c.seq));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<u64>>());
    let (upto, page) = inbox.held_page(ods(A), "Observation/o0989", 100).await.unwrap();
    assert_eq!((upto, page.len()), (1000, 10));
}
