//! `about/`: what the directory output tells clinicians, and when.
//!
//! Seen to fail with pages written after the records they are about.

use std::fs;

use handfast_proto::amendment::Op::{Create, Remove};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::testing::*;
use crate::{
    output::{Output as _, run},
    status::StatusBoard,
    store::inbox::testing::*,
};

fn page(folder: &std::path::Path, source: &str) -> Value {
    let path = folder.join(format!("to/about/{source}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_page_stands_beside_the_records_and_outlives_them() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let mut out = output(folder.path(), &inbox);
    settle(&mut out, &inbox).await;
    let abouts = inbox.abouts(Some("out")).await.unwrap();
    out.tell(&abouts).await.unwrap();
    let well = json!({
        "source": A, "as_of": "2026-11-23T10:00:00.000Z", "shared": true, "categories": null, "notices": [],
    });
    assert_eq!(page(folder.path(), A), well);
    let ended = vec![fenced(A, 1), withdraw(A, 9, 1)];
    inbox.apply(&group(1, 20, ended)).await.unwrap();
    settle(&mut out, &inbox).await;
    let abouts = inbox.abouts(Some("out")).await.unwrap();
    out.tell(&abouts).await.unwrap();
    assert!(!folder.path().join("to/current").join(A).exists());
    let page = page(folder.path(), A);
    assert_eq!(
        (&page["shared"], &page["categories"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(page["notices"][0]["code"], "withdrawn");
    assert_eq!(page["notices"][0]["since"], "2026-11-23");
    assert!(!page.to_string().contains("Patient"), "{page}");
    let names = fs::read_dir(folder.path().join("to/about")).unwrap();
    assert_eq!(names.count(), 2, "no temporary file is left");
}

/// A removal is never to be seen without its notice.
#[tokio::test]
async fn that_something_was_withdrawn_is_told_before_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    let (board, stop) = (StatusBoard::new(), CancellationToken::new());
    let file = folder
        .path()
        .join("to/current")
        .join(A)
        .join("Observation/2.json");
    let out = output(folder.path(), &inbox);
    let running = tokio::spawn(run(
        Box::new(out),
        inbox.clone(),
        board.output("out", "directory"),
        stop.clone(),
    ));
    let until = async |what: &str, reached: &dyn Fn() -> bool| {
        let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while !reached() {
            assert!(tokio::time::Instant::now() < patience, "not reached: {what}");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    until("the record's file", &|| file.exists()).await;
    // The pages cannot be written: neither is the removal carried out.
    let pages = folder.path().join("to/about");
    until("the pages", &|| pages.join(format!("{A}.json")).exists()).await;
    fs::remove_dir_all(&pages).unwrap();
    fs::write(&pages, "in the way").unwrap();
    let removed = vec![live(A, 1, &[(4, Remove, "Observation/2", "")])];
    inbox.apply(&group(1, 20, removed)).await.unwrap();
    until("a pause", &|| {
        board.snapshot().outputs["out"].state != crate::status::ConnectorState::Running
    })
    .await;
    assert!(file.exists());
    fs::remove_file(&pages).unwrap();
    until("the removal", &|| !file.exists()).await;
    assert_eq!(page(folder.path(), A)["notices"][0]["code"], "withdrawn");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_source_that_only_the_folder_knows_is_told_of_too() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = filled(folder.path()).await;
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    drop(inbox);
    // A re-installed agent, to which B is not shared any more.
    let other = tempfile::tempdir().unwrap();
    let inbox = open_with_output(other.path(), "directory").await;
    let anew = vec![
        welcome(true, &[(A, 1)]),
        begins(A, 1, 4),
        in_job(A, 1, 4, &[(1, Create, "Patient/1", "a patient")]),
        complete(A, 1, 4, 9),
    ];
    inbox.apply(&group(5, 1, anew)).await.unwrap();
    settle(&mut output(folder.path(), &inbox), &inbox).await;
    let abouts = inbox.abouts(Some("out")).await.unwrap();
    let of_b = abouts.iter().find(|about| about.source == ods(B)).unwrap();
    assert!(!of_b.shared);
    assert_eq!(of_b.notices.len(), 1, "what it showed was taken away");
}
