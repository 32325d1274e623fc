//! Erased bytes are looked for in the store's files themselves, and erasures are broken off.
//!
//! Faults: a reader that holds an older state; a crash after an erasure was noted; a projection that is lost.

use std::{fs, path::Path};

use bytes::Bytes;
use handfast_proto::amendment::{Amendment, Op};

use super::{
    erasures::{self, Erasure, Whose},
    store::SqliteStore,
};
use crate::store::{
    Of, PatientStore as _, Store as _,
    conformance::{
        erasures::{erase_patient, erase_record, of, payloads},
        kit::{HILL, Outbox, T0, deployment, group, ods, register},
        outbox::project_all,
        patients_kit::{ann, ben},
    },
};

/// What stands in every payload of [`ann`], and in none of [`ben`].
const MARK: &[u8] = b"a word that stands nowhere else";

fn marked(op: Op, name: &str) -> Amendment {
    let payload = [MARK, &[b'.'; 5000]].concat();
    Amendment {
        payload: Bytes::from(payload),
        ..of(op, name, ann(), 0)
    }
}

/// Files of a state directory in which the mark stands.
fn found_in(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let has = |path: &std::path::PathBuf| {
        fs::read(path)
            .unwrap()
            .windows(MARK.len())
            .any(|window| window == MARK)
    };
    let found = files.filter(has);
    found
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// Three batches: two in the file, the last in the write-ahead log alone.
async fn published(dir: &Path) -> SqliteStore {
    let store = SqliteStore::create(dir, &deployment()).await.unwrap();
    register(&store, HILL).await.unwrap();
    let mut hill = Outbox::new(HILL);
    let batches = [
        hill.batch_of(&[marked(Op::Create, "a"), of(Op::Create, "b", ben(), 100)]),
        hill.batch_of(&[marked(Op::Amend, "a"), marked(Op::Create, "c")]),
        hill.batch_of(&[marked(Op::Amend, "c")]),
    ];
    store.append(&group(batches[..2].to_vec())).await.unwrap();
    store.main().sync().await.unwrap();
    store.append(&group(batches[2..].to_vec())).await.unwrap();
    project_all(&store, HILL).await;
    assert_eq!(found_in(dir).len(), 2, "in the file and in the log beside it");
    store
}

#[tokio::test]
async fn erased_bytes_are_gone_from_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = published(dir.path()).await;
    assert_eq!(erase_patient(&store, ods(HILL), ann(), 5).await.unwrap(), 4);
    assert_eq!(found_in(dir.path()), Vec::<String>::new());
    assert_eq!(payloads(&store, HILL).await, (vec![1, 3, 4, 5], vec![2]));
}

#[tokio::test]
async fn bytes_that_a_reader_holds_go_once_it_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = published(dir.path()).await;
    let mut reader = store.main().read().await.unwrap();
    sqlx::query("SELECT count(*) FROM log")
        .execute(&mut *reader)
        .await
        .unwrap();
    assert_eq!(erase_patient(&store, ods(HILL), ann(), 5).await.unwrap(), 4);
    assert_eq!(payloads(&store, HILL).await.1, [2], "whoever reads from now on");
    store.touch(T0).await.unwrap();
    assert!(!found_in(dir.path()).is_empty(), "this reader still may");
    drop(reader);
    // The pool lets go of it behind this task's back.
    while !found_in(dir.path()).is_empty() {
        store.touch(T0).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_erasure_that_was_broken_off_is_done_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = published(dir.path()).await;
    let whose = [
        Whose::Patient(ann()),
        Whose::Record("Observation/b".parse().unwrap()),
    ];
    for whose in whose {
        let erasure = Erasure {
            source: ods(HILL),
            whose,
            upto: 5,
        };
        erasures::note(store.main(), &[erasure]).await.unwrap();
    }
    store.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(found_in(dir.path()), Vec::<String>::new());
    assert_eq!(payloads(&store, HILL).await, (vec![1, 2, 3, 4, 5], vec![]));
    assert!(current(&store).await.is_empty());
    assert!(erasures::unfinished(store.main(), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_projection_made_anew_knows_what_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let store = published(dir.path()).await;
    erase_patient(&store, ods(HILL), ann(), 4).await.unwrap();
    erase_record(&store, ods(HILL), &"Observation/b".parse().unwrap(), 3)
        .await
        .unwrap();
    let (kept, erased) = (current(&store).await, erased_records(&store).await);
    assert_eq!(
        (kept.as_slice(), erased.as_slice()),
        ([5].as_slice(), ["Observation/a".to_owned()].as_slice())
    );
    store.close().await;
    fs::remove_file(dir.path().join("records.db")).unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    project_all(&store, HILL).await;
    assert_eq!(
        (current(&store).await, erased_records(&store).await),
        (kept, erased)
    );
    // And where to find what is left.
    assert_eq!(erase_patient(&store, ods(HILL), ann(), 5).await.unwrap(), 1);
}

async fn current(store: &SqliteStore) -> Vec<u64> {
    let found = store.current_records(ods(HILL), Of::Everyone, 0, 100, 100).await;
    found.unwrap().iter().map(|record| record.seq).collect()
}

async fn erased_records(store: &SqliteStore) -> Vec<String> {
    let erased = store.erased_records(ods(HILL), ann(), 100).await.unwrap();
    erased.iter().map(ToString::to_string).collect()
}
