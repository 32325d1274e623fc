//! The directory output where folder and inbox are of different ages: re-installed and restored agents.

use std::{fs, path::Path};

use handfast_proto::amendment::Op::{Amend, Create, Remove};

use super::testing::*;
use crate::{
    output::Output as _,
    store::inbox::{Inbox, OutputSpec, testing::*},
};

#[tokio::test]
async fn a_reinstalled_agent_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    drop(inbox);
    let other = tempfile::tempdir().unwrap();
    let inbox = open_with_output(other.path(), "directory").await;
    let mut out = output(folder.path(), &inbox);
    settle(&mut out, &inbox).await;
    assert_eq!(
        tree(folder.path()),
        filled_tree(),
        "nothing is swept before the daemon has spoken"
    );
    let contents = vec![
        welcome(true, &[(A, 1)]),
        begins(A, 1, 4),
        in_job(
            A,
            1,
            4,
            &[
                (1, Create, "Patient/1", "a patient"),
                (3, Create, "Observation/2", "a 2"),
            ],
        ),
        in_job(A, 1, 4, &[(9, Amend, "Observation/3", "new meanwhile")]),
    ];
    inbox.apply(&group(5, 1, contents)).await.unwrap();
    settle(&mut out, &inbox).await;
    assert_eq!(lines(folder.path())[4..], ["Z00101 9 create Observation/3"]);
    let withdrawal = vec![withdraw(B, 8, 2)];
    inbox.apply(&group(5, 5, withdrawal)).await.unwrap();
    settle(&mut out, &inbox).await;
    assert!(
        inbox.confirmations(false).await.unwrap().list.is_empty(),
        "what it had of B is still in the folder"
    );
    inbox
        .apply(&group(5, 6, vec![complete(A, 1, 4, 9)]))
        .await
        .unwrap();
    settle(&mut out, &inbox).await;
    let expected = [
        "Z00101 9 create Observation/3",
        "Z00101 2 withdraw Observation/1",
        "Z00102 1 withdraw Patient/1",
    ];
    assert_eq!(lines(folder.path())[4..], expected);
    let names: Vec<_> = tree(folder.path()).into_keys().collect();
    let expected = [
        "Z00101/Observation/2.json",
        "Z00101/Observation/3.json",
        "Z00101/Patient/1.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(inbox.confirmations(false).await.unwrap().list.len(), 1);
    assert!(!inbox.output("out").await.unwrap().resync);
}

/// Copies the inbox, goes on with it, and opens the copy.
async fn back_up_go_on_and_restore(inbox: Inbox, folder: &Path, backup: &Path) -> Inbox {
    // The backup is taken with a change that is not output yet.
    inbox
        .apply(&group(
            1,
            9,
            vec![live(A, 1, &[(4, Amend, "Observation/1", "a 1, old")])],
        ))
        .await
        .unwrap();
    drop(inbox);
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), backup.join(entry.file_name())).unwrap();
        }
    }
    let inbox = open(folder).await;
    let later = vec![live(
        A,
        1,
        &[
            (5, Amend, "Observation/1", "a 1, newest"),
            (6, Remove, "Observation/2", ""),
        ],
    )];
    inbox.apply(&group(1, 10, later)).await.unwrap();
    inbox
        .apply(&group(1, 11, vec![welcome(false, &[(A, 1), (B, 2)])]))
        .await
        .unwrap();
    settle(&mut output(folder, &inbox), &inbox).await;
    drop(inbox);
    let restored = open(backup).await;
    let spec = OutputSpec {
        name: "out".to_owned(),
        kind: "directory".to_owned(),
    };
    restored.set_outputs(&[spec]).await.unwrap();
    restored
}

#[tokio::test]
async fn a_restored_agent_takes_back_nothing_that_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    let backup = tempfile::tempdir().unwrap();
    let restored = back_up_go_on_and_restore(inbox, folder.path(), backup.path()).await;
    let mut out = output(folder.path(), &restored);
    settle(&mut out, &restored).await;
    let files = tree(folder.path());
    assert_eq!(files["Z00101/Observation/1.json"], "a 1, newest");
    assert!(
        !files.contains_key("Z00101/Observation/2.json"),
        "what was withdrawn does not come back"
    );
    restored.renew_store().await.unwrap();
    let anew = vec![
        welcome(true, &[(A, 1), (B, 2)]),
        begins(A, 1, 11),
        in_job(
            A,
            1,
            11,
            &[
                (1, Create, "Patient/1", "a patient"),
                (5, Amend, "Observation/1", "a 1, newest"),
            ],
        ),
        complete(A, 1, 11, 6),
        begins(B, 2, 12),
        in_job(B, 2, 12, &[(1, Create, "Patient/1", "b patient")]),
        complete(B, 2, 12, 1),
        live(A, 1, &[(7, Create, "Observation/4", "a 4")]),
    ];
    restored.apply(&group(2, 1, anew)).await.unwrap();
    settle(&mut out, &restored).await;
    let expected = [
        "Z00101 4 amend Observation/1",
        "Z00101 5 amend Observation/1",
        "Z00101 6 withdraw Observation/2",
        "Z00101 7 create Observation/4",
    ];
    assert_eq!(lines(folder.path())[4..], expected);
    let names: Vec<_> = tree(folder.path()).into_keys().collect();
    let expected = [
        "Z00101/Observation/1.json",
        "Z00101/Observation/4.json",
        "Z00101/Patient/1.json",
        "Z00102/Patient/1.json",
    ];
    assert_eq!(names, expected);
}

/// Detects a record that came while the folder was being compared, told as one that was withdrawn.
#[tokio::test]
async fn what_comes_during_a_comparison_is_not_told_as_withdrawn() {
    const MOMENTS: usize = 6;
    for moment in 0..MOMENTS {
        let folder = tempfile::tempdir().unwrap();
        let inbox = filled(folder.path()).await;
        let mut out = output(folder.path(), &inbox);
        out.start(&inbox.output("out").await.unwrap()).await.unwrap();
        let mut idle = 0;
        loop {
            let position = inbox.output("out").await.unwrap().position;
            let pending = inbox.pending(position).await.unwrap();
            let step = if pending.is_empty() {
                if idle == moment {
                    let late = live(A, 1, &[(4, Create, "Observation/0", "late")]);
                    inbox.apply(&group(1, 20, vec![late])).await.unwrap();
                }
                idle += 1;
                out.idle(position).await
            } else {
                out.apply(pending).await
            };
            assert_eq!(step.pause, None);
            match step.progress {
                Some(progress) => inbox.commit_output("out", &progress).await.unwrap(),
                // Not now, while a change waits; and at last, once all is done.
                None if idle > moment + MOMENTS => break,
                None => {}
            }
        }
        let abouts = inbox.abouts(Some("out")).await.unwrap();
        let notices: Vec<_> = abouts.iter().flat_map(|about| &about.notices).collect();
        assert!(notices.is_empty(), "at {moment}: {notices:?}");
        assert!(
            tree(folder.path()).contains_key("Z00101/Observation/0.json"),
            "{moment}"
        );
    }
}
