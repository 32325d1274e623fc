//! An inbox that an earlier version made.

use std::sync::Arc;

use handfast_proto::amendment::Op::Create;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::support::*;
use crate::{
    clock::ManualClock,
    store::inbox::{Inbox, InboxLimits, testing::*},
};

#[tokio::test]
async fn an_older_inbox_is_taken_over_with_its_tombstones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inbox.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let mut migrations = sqlx::migrate!("migrations/inbox");
    migrations.migrations.to_mut().truncate(1);
    migrations.run_direct(None, &mut conn, false).await.unwrap();
    let rows = "INSERT INTO meta VALUES (1, zeroblob(16), 4, 9, 7, 1);
        INSERT INTO source (id, ods, held, last_applied_at) VALUES (1, 'Z00101', 1, 5);
        INSERT INTO granted VALUES (1, 1, 6, NULL, 0);
        INSERT INTO output VALUES ('out', 'directory', 7, NULL, 0);
        INSERT INTO record VALUES (1, 1, 'Patient/1', 3, 1, 1, 0, 0, 9990000018, 1, 5, 'x', x'70');
        INSERT INTO record VALUES (2, 1, 'Observation/gone', 6, 2, 1, 0, 1, NULL, NULL, NULL, NULL, NULL);";
    sqlx::raw_sql(rows).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();

    let clock = Arc::new(ManualClock::at(NOON));
    let inbox = Inbox::open(&path, clock, InboxLimits::default()).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Patient/1"]);
    assert_eq!(inbox.hello().await.unwrap().session, 4);
    let messages = vec![
        // What was removed does not come back by an older version, and by a newer one it does.
        in_job(A, 1, 3, &[(5, Create, "Observation/gone", "old")]),
        live(A, 1, &[(8, Create, "Observation/2", "new")]),
    ];
    inbox.apply(&group(4, 10, messages)).await.unwrap();
    assert_eq!(held(&inbox, A).await, ["Observation/2", "Patient/1"]);
    carry_out(&inbox).await;
    inbox.confirmations(false).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let name = b"Observation/gone";
    assert!(
        !bytes.windows(name.len()).any(|w| w == name),
        "the name is not kept"
    );
    let back = vec![live(A, 1, &[(9, Create, "Observation/gone", "back")])];
    inbox.apply(&group(4, 12, back)).await.unwrap();
    assert_eq!(
        content(&inbox, A, "Observation/gone").await.as_deref(),
        Some("back")
    );
}
