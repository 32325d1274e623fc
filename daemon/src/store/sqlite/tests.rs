//! The conformance suite on SQLite, and what is peculiar to this backend.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use super::{database::Database, store::SqliteStore};
use crate::store::{
    Deployment, Of, RecordVersion, Store, StoreError,
    conformance::{
        backend::Backend,
        conformance_suite,
        kit::{HILL, Outbox, VALE, assert_fails, deployment, ods, publish, register, subject},
    },
};

/// A store in a folder of its own.
struct OnSqlite {
    store: SqliteStore,
    dir: TempDir,
}

impl Backend for OnSqlite {
    type Store = SqliteStore;

    async fn create(deployment: &Deployment) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(dir.path(), deployment).await.unwrap();
        Self { store, dir }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        let store = SqliteStore::open(self.dir.path()).await.unwrap();
        Self { store, dir: self.dir }
    }

    async fn fill(&self) {
        // Fewer pages than there are: SQLite takes the number there are.
        limit_pages(self.store.main(), "PRAGMA max_page_count = 1").await;
    }

    async fn relieve(&self) {
        limit_pages(self.store.main(), "PRAGMA max_page_count = 1073741823").await;
    }
}

async fn limit_pages(file: &Database, pragma: &'static str) {
    let mut write = file.write().await.unwrap();
    sqlx::query(pragma).execute(write.conn()).await.unwrap();
    write.finish(Ok(())).await.unwrap();
}

conformance_suite!(OnSqlite);

async fn a_store(dir: &Path) -> SqliteStore {
    let store = SqliteStore::create(dir, &deployment()).await.unwrap();
    register(&store, HILL).await.unwrap();
    store
}

fn version(seq: u64) -> RecordVersion {
    RecordVersion {
        record: format!("Observation/{seq}").parse().unwrap(),
        seq,
        subject: Some(subject()),
        retracted: false,
    }
}

#[tokio::test]
async fn a_deployment_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    assert_fails!(SqliteStore::open(dir.path()).await, StoreError::Missing(_));
    let store = a_store(dir.path()).await;
    store.close().await;
    assert_fails!(
        SqliteStore::create(dir.path(), &deployment()).await,
        StoreError::Exists(_)
    );
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.units(0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_making_that_was_broken_off_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("handfast.db"), []).unwrap();
    assert_fails!(SqliteStore::open(dir.path()).await, StoreError::Missing(_));
    SqliteStore::create(dir.path(), &deployment()).await.unwrap();
}

#[tokio::test]
async fn only_its_user_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = a_store(dir.path()).await;
    publish(&store, &mut Outbox::new(HILL), 1).await;
    store.project(ods(HILL), &[version(1)], 1).await.unwrap();
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert!(files.len() >= 6, "two files, each with its log and shared memory");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn a_store_that_is_no_database_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("handfast.db"), vec![b'x'; 64 * 1024]).unwrap();
    assert_fails!(SqliteStore::open(dir.path()).await, StoreError::Corrupt(_));
}

#[tokio::test]
async fn a_projection_that_is_missing_or_damaged_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = a_store(dir.path()).await;
    publish(&store, &mut Outbox::new(HILL), 3).await;
    let path = dir.path().join("records.db");
    let damage: [&dyn Fn(); 3] = [
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::write(&path, vec![b'x'; 64 * 1024]).unwrap(),
        &|| fs::write(dir.path().join("records.db.damaged"), []).unwrap(),
    ];
    for damage in damage {
        store
            .project(ods(HILL), &[version(1), version(2), version(3)], 3)
            .await
            .unwrap();
        store.close().await;
        damage();
        store = SqliteStore::open(dir.path()).await.unwrap();
        assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 0);
        assert!(
            store
                .current_records(ods(HILL), Of::Everyone, 0, 3, 10)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(!dir.path().join("records.db.damaged").exists());
    }
}

#[tokio::test]
async fn damage_that_shows_while_in_use_is_noted_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = a_store(dir.path()).await;
    publish(&store, &mut Outbox::new(HILL), 1).await;
    store.project(ods(HILL), &[version(1)], 1).await.unwrap();
    let mut write = store.records().file().write().await.unwrap();
    sqlx::query("PRAGMA ignore_check_constraints = 1")
        .execute(write.conn())
        .await
        .unwrap();
    sqlx::query("UPDATE source SET through = -1")
        .execute(write.conn())
        .await
        .unwrap();
    write.finish(Ok(())).await.unwrap();
    assert_fails!(store.projected_through(ods(HILL)).await, StoreError::Corrupt(_));
    store.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_projection_ahead_of_a_restored_log_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = a_store(dir.path()).await;
    register(&store, VALE).await.unwrap();
    publish(&store, &mut Outbox::new(VALE), 5).await;
    for source in [HILL, VALE] {
        store
            .project(ods(source), &[version(1), version(5)], 5)
            .await
            .unwrap();
    }
    store.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.projected_through(ods(HILL)).await.unwrap(), 0);
    assert!(
        store
            .current_records(ods(HILL), Of::Everyone, 0, 10, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let left = store
        .current_records(ods(VALE), Of::Everyone, 0, 10, 10)
        .await
        .unwrap();
    assert_eq!(left.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 5]);
}

#[tokio::test]
async fn a_writer_whose_connection_failed_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = a_store(dir.path()).await;
    let write = store.main().write().await.unwrap();
    let failed: Result<(), StoreError> = write.finish(Err(StoreError::Failed("a trial".to_owned()))).await;
    assert_fails!(failed, StoreError::Failed(_));
    publish(&store, &mut Outbox::new(HILL), 1).await;
}
