//! The directory output against a real inbox, stopped at each point where a crash can come.

use std::{collections::BTreeMap, fs, io::Write as _};

use handfast_proto::amendment::Op::{Amend, Remove, Retract};

use super::{DirectoryOutput, testing::*};
use crate::{
    output::{Output as _, Step},
    store::inbox::{Inbox, testing::*},
};

#[tokio::test]
async fn the_folder_follows_the_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let mut out = output(folder.path(), &inbox);
    settle(&mut out, &inbox).await;
    assert_eq!(lines(folder.path()), FILLED_LINES);
    assert_eq!(tree(folder.path()), filled_tree());
    let contents = vec![
        live(
            A,
            1,
            &[
                (4, Amend, "Observation/1", "a 1, amended"),
                (5, Amend, "Observation/1", "a 1, twice"),
            ],
        ),
        live(
            A,
            1,
            &[(6, Retract, "Observation/2", ""), (7, Remove, "Patient/1", "")],
        ),
        withdraw(B, 3, 2),
    ];
    inbox.apply(&group(1, 9, contents)).await.unwrap();
    settle(&mut out, &inbox).await;
    let expected = [
        "Z00101 4 amend Observation/1",
        "Z00101 5 amend Observation/1",
        "Z00101 6 retract Observation/2",
        "Z00101 7 withdraw Patient/1",
        "Z00102 1 withdraw Patient/1",
    ];
    assert_eq!(lines(folder.path())[4..], expected);
    let left = BTreeMap::from([("Z00101/Observation/1.json".to_owned(), "a 1, twice".to_owned())]);
    assert_eq!(tree(folder.path()), left);
    assert_eq!(inbox.confirmations(false).await.unwrap().list.len(), 1);
}

/// Applies the next group, as the runner does, but stops before the position is committed.
async fn step_without_commit(out: &mut DirectoryOutput, inbox: &Inbox) -> Step {
    let row = inbox.output("out").await.unwrap();
    out.start(&row).await.unwrap();
    out.apply(inbox.pending(row.position).await.unwrap()).await
}

#[tokio::test]
async fn a_crash_between_lines_and_position_repeats_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let mut out = output(folder.path(), &inbox);
    settle(&mut out, &inbox).await;
    let more = vec![live(
        A,
        1,
        &[
            (4, Amend, "Patient/1", "a patient, amended"),
            (5, Retract, "Observation/1", ""),
        ],
    )];
    inbox.apply(&group(1, 9, more)).await.unwrap();
    assert!(step_without_commit(&mut out, &inbox).await.progress.is_some());
    // A newer change comes before the agent starts again.
    inbox
        .apply(&group(
            1,
            10,
            vec![live(A, 1, &[(6, Amend, "Patient/1", "newest")])],
        ))
        .await
        .unwrap();
    let mut again = output(folder.path(), &inbox);
    settle(&mut again, &inbox).await;
    let expected = [
        "Z00101 4 amend Patient/1",
        "Z00101 5 retract Observation/1",
        "Z00101 6 amend Patient/1",
    ];
    assert_eq!(lines(folder.path())[4..], expected);
    assert_eq!(tree(folder.path())["Z00101/Patient/1.json"], "newest");
    assert!(
        !inbox.output("out").await.unwrap().resync,
        "told from the tail alone"
    );
}

#[tokio::test]
async fn a_crash_between_files_and_lines_repeats_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let mut out = output(folder.path(), &inbox);
    settle(&mut out, &inbox).await;
    inbox
        .apply(&group(
            1,
            9,
            vec![live(A, 1, &[(4, Amend, "Patient/1", "amended")])],
        ))
        .await
        .unwrap();
    let journal = folder.path().join("to/changes.ndjson");
    let before = fs::read(&journal).unwrap();
    step_without_commit(&mut out, &inbox).await;
    // The line was torn, and a temporary file was left behind.
    let mut torn = before;
    torn.extend_from_slice(b"{\"source\":\"Z00101\",\"seq\":4,\"op\":\"am");
    fs::write(&journal, torn).unwrap();
    fs::write(
        folder.path().join("to/current/Z00101/Observation/.2.json.tmp"),
        "half",
    )
    .unwrap();
    // Before the agent starts again the record is withdrawn.
    inbox
        .apply(&group(
            1,
            10,
            vec![live(A, 1, &[(5, Remove, "Observation/2", "")])],
        ))
        .await
        .unwrap();
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    let expected = ["Z00101 4 amend Patient/1", "Z00101 5 withdraw Observation/2"];
    assert_eq!(lines(folder.path())[4..], expected);
    let files = tree(folder.path());
    assert_eq!(files["Z00101/Patient/1.json"], "amended");
    assert!(
        !files
            .keys()
            .any(|name| name.contains('2') && name.contains("Observation")),
        "{files:?}"
    );
}

#[tokio::test]
async fn what_is_withdrawn_before_it_was_written_never_is() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    inbox.apply(&group(1, 9, vec![withdraw(A, 9, 1)])).await.unwrap();
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    assert_eq!(
        tree(folder.path()).keys().collect::<Vec<_>>(),
        ["Z00102/Patient/1.json"]
    );
    // The withdrawal overtook what was still to be written.
    assert_eq!(lines(folder.path()), ["Z00102 1 create Patient/1"]);
}

#[tokio::test]
async fn a_folder_that_was_emptied_is_filled_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    fs::remove_dir_all(folder.path().join("to")).unwrap();
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    assert_eq!(tree(folder.path()), filled_tree());
    assert_eq!(lines(folder.path()).len(), 4);
    // A stray line of another hand behind the last one is not taken for ours.
    let mut journal = fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("to/changes.ndjson"))
        .unwrap();
    journal.write_all(b"not a line\n").unwrap();
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    assert_eq!(tree(folder.path()), filled_tree());
}

#[tokio::test]
async fn a_fault_of_the_disk_pauses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let mut out = output(folder.path(), &inbox);
    fs::create_dir_all(folder.path().join("to/current")).unwrap();
    // A file where a folder must be: every write fails until it is gone.
    fs::write(folder.path().join("to/current/Z00101"), "in the way").unwrap();
    let step = step_without_commit(&mut out, &inbox).await;
    assert!(step.progress.is_none());
    assert!(step.pause.unwrap().why.contains("tried again by itself"));
    fs::remove_file(folder.path().join("to/current/Z00101")).unwrap();
    settle(&mut out, &inbox).await;
    assert_eq!(lines(folder.path()), FILLED_LINES);
    assert_eq!(tree(folder.path()), filled_tree());
}
