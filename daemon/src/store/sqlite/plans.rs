//! How SQLite finds the rows of statements that must stay quick however much there is.

use super::{append, caseload, current, expiry, jobs, places, store::SqliteStore, words};
use crate::store::conformance::kit::deployment;

/// What is no table: an array that was bound, a row that is made, an intermediate result.
const NO_TABLES: [&str; 6] = [
    "VIRTUAL TABLE",
    "SCAN CONSTANT ROW",
    "SCAN same",
    "SCAN next",
    "SCAN m",
    "SCAN (subquery",
];

async fn plan(reader: &sqlx::SqlitePool, sql: &str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan = sqlx::query(explain).bind("[]").fetch_all(reader).await.unwrap();
    plan.iter().map(|row| sqlx::Row::get(row, "detail")).collect()
}

fn walks_a_table(step: &str) -> bool {
    step.starts_with("SCAN") && !NO_TABLES.iter().any(|no_table| step.contains(no_table))
}

/// Each statement of a commit finds its rows by key, whatever the planner thinks of JSON arrays.
#[tokio::test]
async fn the_moves_of_a_commit_look_rows_up_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(dir.path(), &deployment()).await.unwrap();
    for sql in append::MOVES.into_iter().chain(jobs::ENTERS) {
        for step in plan(store.main().readers(), sql).await {
            assert!(!walks_a_table(&step), "{step} in {sql}");
        }
    }
    for sql in places::LOOKS {
        for step in plan(store.records().file().readers(), sql).await {
            assert!(!walks_a_table(&step), "{step} in {sql}");
        }
    }
    // The grants in force are few; it must not walk the agreements for each.
    let steps = plan(store.main().readers(), expiry::RUN_OUT).await;
    assert_eq!(
        steps.iter().filter(|step| walks_a_table(step)).count(),
        1,
        "{steps:?}"
    );
}

/// A million words are read when the daemon starts, each page where the one before ended, and nothing is sorted.
#[tokio::test]
async fn what_the_book_is_told_is_read_in_the_order_in_which_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(dir.path(), &deployment()).await.unwrap();
    for sql in [words::STANDING, caseload::CLAIMED] {
        let steps = plan(store.main().readers(), sql).await;
        assert!(
            steps
                .iter()
                .any(|step| step.contains("USING PRIMARY KEY") || step.contains("USING INTEGER PRIMARY KEY")),
            "{steps:?}"
        );
        assert!(
            !steps
                .iter()
                .any(|step| walks_a_table(step) || step.contains("TEMP B-TREE")),
            "{steps:?}"
        );
    }
}

/// A source may have a million current records: what is asked of them is in an index, in its order.
#[tokio::test]
async fn current_records_are_read_from_an_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(dir.path(), &deployment()).await.unwrap();
    for (sql, index) in current::READS {
        let steps = plan(store.records().file().readers(), sql).await;
        let of_records: Vec<_> = steps.iter().filter(|step| step.contains(" record ")).collect();
        assert!(!of_records.is_empty(), "{steps:?}");
        for step in of_records {
            assert!(
                step.starts_with("SEARCH") && step.contains(index),
                "{step} in {sql}"
            );
        }
        let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE"));
        // A patient's own records, and those who are asked for, are few: they may be sorted.
        let few = [current::RECORDS_OF_PATIENT, current::HAVE].contains(&sql);
        assert!(few || sorts.count() == 0, "{steps:?} in {sql}");
    }
}
