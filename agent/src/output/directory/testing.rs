//! What the tests of the directory output share.

use std::{collections::BTreeMap, fs, path::Path};

use handfast_proto::amendment::Op::Create;

use super::DirectoryOutput;
use crate::{
    output::Output as _,
    store::inbox::{Inbox, testing::*},
};

pub(super) const A: &str = "Z00101";
pub(super) const B: &str = "Z00102";

/// Runs the output until nothing is left to do.
pub(super) async fn settle(output: &mut DirectoryOutput, inbox: &Inbox) {
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

pub(super) fn output(folder: &Path, inbox: &Inbox) -> DirectoryOutput {
    DirectoryOutput::new("out", folder.join("to"), inbox.clone())
}

pub(super) fn tree(folder: &Path) -> BTreeMap<String, String> {
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

pub(super) fn lines(folder: &Path) -> Vec<String> {
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

pub(super) async fn filled(folder: &Path) -> Inbox {
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

pub(super) const FILLED_LINES: [&str; 4] = [
    "Z00101 1 create Patient/1",
    "Z00101 2 create Observation/1",
    "Z00101 3 create Observation/2",
    "Z00102 1 create Patient/1",
];

pub(super) fn filled_tree() -> BTreeMap<String, String> {
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
