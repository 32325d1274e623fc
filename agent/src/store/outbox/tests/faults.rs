//! Files that fail: no room, settings, many at once.

use std::sync::Arc;

use sqlx::Connection as _;

use super::support::*;
use crate::store::outbox::{Disk, OutboxError, OutboxLimits, Outcome};

/// Lets no more pages be written than there are: SQLite then answers as on a full disk.
async fn limit_pages(desk: &Desk, full: bool) {
    // The limit belongs to the connection, so the test reaches the writer's by the file's own trigger.
    let mut conn = sqlx::SqliteConnection::connect(&format!("sqlite://{}", desk.path.display()))
        .await
        .unwrap();
    let sql = if full {
        "CREATE TRIGGER no_room BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'no room'); END"
    } else {
        "DROP TRIGGER no_room"
    };
    sqlx::query(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn what_fails_is_reported_loses_nothing_and_clears_by_itself() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    let mut disk = desk.outbox.disk();
    limit_pages(&desk, true).await;
    let taken = desk.outbox.take(vec![change(&condition("c", "p", "a"))]).await;
    assert!(matches!(taken, Err(OutboxError::Io(_))), "{taken:?}");
    assert!(matches!(*disk.borrow_and_update(), Disk::Failing(_)));
    assert!(
        desk.outbox
            .record(&"Condition/c".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    limit_pages(&desk, false).await;
    disk.wait_for(|d| *d == Disk::Ok).await.unwrap();
    assert!(matches!(
        desk.send(&condition("c", "p", "a")).await,
        Outcome::Taken { seq: 2, .. }
    ));
}

#[test]
fn sqlite_says_full_in_two_ways() {
    assert!(OutboxError::DiskFull.to_string().contains("full"));
}

#[tokio::test]
async fn many_at_once_share_commits_and_each_gets_its_own_answer() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    let before = *desk.outbox.news().borrow();
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..500 {
        let outbox = Arc::clone(&desk.outbox);
        tasks.spawn(async move {
            let outcomes = outbox
                .take(vec![change(&condition(&format!("c{id}"), "p", "a"))])
                .await
                .unwrap();
            assert!(matches!(outcomes.as_slice(), [Outcome::Taken { version: 1, .. }]));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(desk.amendments().await.len(), 501);
    let commits = *desk.outbox.news().borrow() - before;
    assert!(commits < 250, "{commits} commits for 500 requests");
}

#[tokio::test]
async fn a_file_that_is_no_outbox_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    std::fs::write(&path, b"not a database, but long enough to be looked at as one").unwrap();
    let clock = Arc::new(crate::clock::SystemClock);
    let opened = crate::store::outbox::Outbox::open(&path, clock, OutboxLimits::default()).await;
    assert!(opened.is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::open().await;
    let mode = std::fs::metadata(&desk.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
