//! The directory output against a real inbox, stopped at each point where a crash can come.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use handfast_proto::amendment::Op::{Amend, Create, Remove, Retract};

use super::DirectoryOutput;
use crate::{
    output::{Output as _, Step},
    store::inbox::{Inbox, OutputSpec, testing::*},
};

const A: &str = "Z00101";
const B: &str = "Z00102";

/// Runs the output until nothing is left to do.
async fn settle(output: &mut DirectoryOutput, inbox: &Inbox) {
    output.start(&inbox.output("out").await.unwrap()).await.unwrap();
    loop {
        let position = inbox.output("out").await.unwrap().position;
        let group = inbox.pending(position).await.unwrap();
        let step = if group.is_empty() {
            output.idle(position).await
        } else {
            output.apply(group).await
        };
        assert_eq!(step.pause, None);
        let Some(progress) = step.progress else { break };
        inbox.commit_output("out", &progress).await.unwrap();
    }
}

fn output(folder: &Path, inbox: &Inbox) -> DirectoryOutput {
    DirectoryOutput::new("out", folder.join("to"), inbox.clone())
}

fn tree(folder: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                assert!(fs::read_dir(&path).unwrap().next().is_some(), "{path:?} is empty");
                walk(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = folder.join("to/current");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found
}

fn lines(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("to/changes.ndjson"))
        .unwrap()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            assert_eq!(text("applied_at").len(), "2026-11-23T10:00:00.000Z".len());
            format!(
                "{} {} {} {}",
                text("source"),
                line["seq"],
                text("op"),
                text("record")
            )
        })
        .collect()
}

async fn filled(folder: &Path) -> Inbox {
    let inbox = open_with_output(folder, "directory").await;
    let contents = vec![
        welcome(true, &[(A, 1), (B, 2)]),
        begins(A, 1, 1),
        in_job(A, 1, 1, &[(1, Create, "Patient/1", "a patient")]),
        complete(A, 1, 1, 1),
        begins(B, 2, 2),
        complete(B, 2, 2, 0),
        live(
            A,
            1,
            &[
                (2, Create, "Observation/1", "a 1"),
                (3, Create, "Observation/2", "a 2"),
            ],
        ),
        live(B, 2, &[(1, Create, "Patient/1", "b patient")]),
    ];
    inbox.apply(&group(1, 1, contents)).await.unwrap();
    inbox
}

const FILLED_LINES: [&str; 4] = [
    "Z00101 1 create Patient/1",
    "Z00101 2 create Observation/1",
    "Z00101 3 create Observation/2",
    "Z00102 1 create Patient/1",
];

fn filled_tree() -> BTreeMap<String, String> {
    [
        ("Z00101/Patient/1.json", "a patient"),
        ("Z00101/Observation/1.json", "a 1"),
        ("Z00101/Observation/2.json", "a 2"),
        ("Z00102/Patient/1.json", "b patient"),
    ]
    .into_iter()
    .map(|(name, content)| (name.to_owned(), content.to_owned()))
    .collect()
}

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
    assert_eq!(inbox.confirmations(false).await.unwrap().len(), 1);
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
    assert_eq!(lines(folder.path()).len(), 7, "every change still has its line");
}

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
        inbox.confirmations(false).await.unwrap().is_empty(),
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
    assert_eq!(inbox.confirmations(false).await.unwrap().len(), 1);
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
