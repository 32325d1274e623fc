//! Each value of each row of the audit log's tables is changed behind the daemon's back, and every change is
//! found: by who checks the store, and all that an export shows by who checks that file offline.
//!
//! Detects: a column that nothing covers.

use std::sync::Arc;

use super::{
    exporting::{check, dissent, file},
    kit::Told,
};
use crate::{
    audit::{AuditTree, CheckError, check_index, check_log},
    consent::Reason,
    store::{AuditStore as _, SqliteStore, Store},
};

/// More than one subtree's worth, so that there are kept ones.
const ENTRIES: u64 = 520;

async fn told() -> Told {
    let told = Told::new().await;
    dissent(&told).await;
    told.world.ctx.audit.tree().head_now().await.unwrap();
    let more = ENTRIES - told.world.ctx.store.audit_size().await.unwrap();
    for n in 0..more {
        told.disclosed("Z00202", n + 1, n + 1).await;
    }
    told.world.ctx.audit.tree().head_now().await.unwrap();
    told
}

async fn tamper(told: &Told, sql: &str) {
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    store.tamper(&[sql.to_owned()]).await;
    store.close().await;
}

async fn found(told: &Told) -> Result<u64, CheckError> {
    let tree = told.world.ctx.audit.tree();
    let checked = check_log(&*told.world.ctx.store, &tree.public_key(), tree.trust_domain()).await?;
    Ok(checked.entries)
}

/// A change, and the one that takes it back.
struct Change {
    there: String,
    back: String,
    /// Whether a file shows it too.
    in_file: bool,
}

/// A statement that writes a byte of a blob, counted from 1, as its complement; done twice, it changes nothing.
pub(super) fn flip(table: &str, row: &str, column: &str, at: &str) -> String {
    let rest = format!("substr({column}, {at} + 1)");
    // By its two hexadecimal digits.
    let digits = format!("hex(substr({column}, {at}, 1))");
    let low = format!("(instr('0123456789ABCDEF', substr({digits}, 2, 1)) - 1)");
    let high = format!("(instr('0123456789ABCDEF', substr({digits}, 1, 1)) - 1)");
    let flipped = format!("unhex(printf('%X%X', 15 - {high}, 15 - {low}))");
    format!(
        "UPDATE {table} SET {column} = CAST(substr({column}, 1, {at} - 1) || {flipped} || {rest} AS BLOB) \
         WHERE {row} AND length({column}) > 0"
    )
}

/// Changes of a blob in its first, its last and a middle byte.
fn blob(table: &str, row: &str, column: &str, in_file: bool) -> Vec<Change> {
    let flip = |at: &str| {
        let sql = flip(table, row, column, at);
        Change {
            there: sql.clone(),
            back: sql,
            in_file,
        }
    };
    let middle = format!("(length({column}) / 2 + 1)");
    let last = format!("length({column})");
    ["1", middle.as_str(), last.as_str()]
        .iter()
        .map(|at| flip(at))
        .collect()
}

fn number(table: &str, row: &str, column: &str, in_file: bool) -> Change {
    let step = |sign| {
        format!("UPDATE {table} SET {column} = {column} {sign} 1 WHERE {row} AND {column} IS NOT NULL")
    };
    Change {
        there: step('+'),
        back: step('-'),
        in_file,
    }
}

#[tokio::test]
async fn each_value_of_each_row_is_covered() {
    let told = told().await;
    assert_eq!(found(&told).await.unwrap(), ENTRIES);
    let mut changes = Vec::new();
    for idx in (1..=4).chain([257, ENTRIES]) {
        let row = format!("idx = {idx}");
        for column in ["hash", "leaf", "personal"] {
            changes.extend(blob("audit_entry", &row, column, true));
        }
        for column in ["kind", "at", "patient"] {
            changes.push(number("audit_entry", &row, column, false));
        }
    }
    let heads = told.world.ctx.store.heads_over(0, 100).await.unwrap();
    assert!(heads.len() >= 2);
    for head in &heads {
        let row = format!("size = {}", head.head.size);
        changes.extend(blob("audit_head", &row, "root", true));
        changes.extend(blob("audit_head", &row, "signature", true));
        changes.extend(blob("audit_head", &row, "key", false));
        changes.push(number("audit_head", &row, "signed_at", true));
    }
    for row in ["level = 8 AND idx = 0", "level = 8 AND idx = 1", "level = 9"] {
        changes.extend(blob("audit_node", row, "hash", false));
    }
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    let mut made = 0;
    for change in changes {
        let touched = store.tampered(&change.there).await;
        if touched == 0 {
            continue;
        }
        made += 1;
        assert!(found(&told).await.is_err(), "{}", change.there);
        if change.in_file {
            let exported = check(&told, &file_by_whoever_sees(&told).await);
            assert!(exported.is_err(), "in a file: {}", change.there);
        }
        store.tampered(&change.back).await;
        assert!(found(&told).await.is_ok(), "taken back: {}", change.back);
    }
    assert!(made > 60, "{made}");
}

/// A file of a reader who sees what the changes are about.
async fn file_by_whoever_sees(told: &Told) -> Vec<u8> {
    file(told, "pam").await
}

#[tokio::test]
async fn each_byte_of_each_row_of_a_small_log_is_covered() {
    let told = Told::new().await;
    dissent(&told).await;
    told.disclosed("Z00202", 1, 3).await;
    told.world.ctx.audit.tree().head_now().await.unwrap();
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    let mut flips = Vec::new();
    let mut bytes_of = |table: &str, row: &str, column: &str, len: usize| {
        flips.extend((1..=len).map(|at| flip(table, row, column, &at.to_string())));
    };
    for row in store.audit_entries(0, usize::MAX).await.unwrap() {
        let (place, entry) = (format!("idx = {}", row.index + 1), row.entry);
        bytes_of("audit_entry", &place, "hash", 32);
        bytes_of("audit_entry", &place, "leaf", entry.leaf.len());
        bytes_of("audit_entry", &place, "personal", entry.personal.len());
    }
    for head in store.heads_over(0, 10).await.unwrap() {
        let place = format!("size = {}", head.head.size);
        for (column, len) in [("root", 32), ("signature", 64), ("key", 32)] {
            bytes_of("audit_head", &place, column, len);
        }
    }
    assert!(flips.len() > 500, "{}", flips.len());
    let mut back = String::from("SELECT 1");
    for flip in flips {
        store.tamper(&[back, flip.clone()]).await;
        let Err(error) = found(&told).await else {
            panic!("{flip}")
        };
        let is_of_an_entry = flip.contains("audit_entry");
        let named = matches!(error, CheckError::Entry { index, .. } if flip.contains(&format!("idx = {} ", index + 1)));
        assert!(named || !is_of_an_entry, "{flip}: {error}");
        back = flip;
    }
    store.tamper(&[back]).await;
    assert!(found(&told).await.is_ok());
}

#[tokio::test]
async fn a_row_that_is_gone_added_or_moved_is_found() {
    for sql in [
        "DELETE FROM audit_entry WHERE idx = 3",
        "DELETE FROM audit_entry WHERE idx = 520",
        "DELETE FROM audit_head WHERE size = (SELECT max(size) FROM audit_head)",
        "DELETE FROM audit_node WHERE level = 9",
        "UPDATE audit_entry SET idx = CASE idx WHEN 4 THEN -5 ELSE -4 END WHERE idx IN (4, 5); ",
        "UPDATE audit_entry SET personal = x'', patient = NULL WHERE patient IS NOT NULL",
        "INSERT INTO audit_head SELECT size + 1, root, signed_at, signature, key FROM audit_head LIMIT 1",
    ] {
        let told = told().await;
        tamper(&told, sql).await;
        if sql.contains("-5") {
            tamper(&told, "UPDATE audit_entry SET idx = -idx WHERE idx < 0").await;
        }
        let noticed = found(&told).await;
        // The last head may be taken away together with nothing else: whoever kept it notices.
        if sql.contains("max(size)") {
            let kept = told.world.ctx.audit.tree().newest().unwrap();
            let newest = told.world.ctx.store.newest_head().await.unwrap().unwrap();
            assert!(newest.head.size < kept.head.size);
            continue;
        }
        assert!(noticed.is_err(), "{sql}: {noticed:?}");
    }
}

/// Both statements of a change of each row that entries are found by.
async fn changes_of_the_index(store: &SqliteStore) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    let mut number = |table: &str, row: &str, column: &str| {
        for (there, back) in [('+', '-'), ('-', '+')] {
            let set =
                |sign, row: &str| format!("UPDATE {table} SET {column} = {column} {sign} 1 WHERE {row}");
            changes.push((set(there, row), set(back, row)));
        }
    };
    number("audit_indexed", "one = 1", "through");
    let entries = store.audit_entries(0, usize::MAX).await.unwrap();
    for index in 0..entries.len() {
        for table in ["audit_unit", "audit_block"] {
            let row = format!("idx = {index}");
            let moved = "idx >= 1000".to_owned();
            changes.push((
                format!("UPDATE {table} SET idx = idx + 1000 WHERE {row}"),
                format!("UPDATE {table} SET idx = idx - 1000 WHERE {moved}"),
            ));
        }
        let row = format!("idx = {index}");
        for (table, columns) in [
            ("audit_unit", ["kind", "at"]),
            ("audit_block", ["block", "block"]),
        ] {
            for column in columns {
                let set = |sign| format!("UPDATE {table} SET {column} = {column} {sign} 100000 WHERE {row}");
                changes.push((set('+'), set('-')));
            }
        }
        for (table, column) in [
            ("audit_unit", "unit"),
            ("audit_block", "source"),
            ("audit_block", "recipient"),
        ] {
            changes.push((
                format!("UPDATE {table} SET {column} = {column} || 'x' WHERE {row}"),
                format!(
                    "UPDATE {table} SET {column} = substr({column}, 1, length({column}) - 1) WHERE {row}"
                ),
            ));
        }
    }
    changes
}

#[tokio::test]
async fn each_row_that_entries_are_found_by_is_covered() {
    let told = Told::new().await;
    dissent(&told).await;
    told.disclosed("Z00202", 1, 300).await;
    told.withheld(Reason::PrivateEntry, 301, 301).await;
    told.world.ctx.audit.index().caught_up().await.unwrap();
    let checked = async || check_index(&*told.world.ctx.store).await;
    checked().await.unwrap();
    let store = SqliteStore::open(told.world.dir()).await.unwrap();
    let mut made = 0;
    for (there, back) in changes_of_the_index(&store).await {
        if store.tampered_records(&there).await == 0 {
            continue;
        }
        made += 1;
        let found = checked().await;
        assert!(found.is_err(), "{there}");
        store.tampered_records(&back).await;
        assert!(checked().await.is_ok(), "taken back: {back}");
    }
    assert!(made > 30, "{made}");
    let adds = "INSERT INTO audit_block (source, block, recipient, idx) VALUES ('Z00101', 77, 'Z00303', 3)";
    for gone in ["audit_unit", "audit_block"] {
        let sql = format!("DELETE FROM {gone} WHERE idx = (SELECT max(idx) FROM {gone})");
        for sql in [sql.as_str(), adds] {
            store.tampered_records(sql).await;
            assert!(checked().await.is_err(), "{sql}");
            let anew = "UPDATE audit_indexed SET through = 0";
            for table in ["audit_unit", "audit_block"] {
                store.tampered_records(&format!("DELETE FROM {table}")).await;
            }
            store.tampered_records(anew).await;
            told.world.ctx.audit.index().caught_up().await.unwrap();
            checked().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_agent_with_an_older_head_notices_a_rewritten_log() {
    let told = told().await;
    let agent = told.world.caller("Z00202").await;
    let (kept, _) = told.desk.tree_head(&agent, 0).await.unwrap();
    // The host takes everything after the tenth entry away, and signs anew: it has the key.
    for sql in [
        "DELETE FROM audit_entry WHERE idx > 10",
        "DELETE FROM audit_head",
        "DELETE FROM audit_node",
    ] {
        tamper(&told, sql).await;
    }
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(told.world.dir()).await.unwrap());
    let key = handfast_proto::merkle::SigningKey::from_seed(&[7; 32]).unwrap();
    let clock = Arc::clone(&told.world.ctx.clock);
    let rewritten = AuditTree::start(Arc::clone(&store), clock, key, "care.example".to_owned());
    let rewritten = rewritten.await.unwrap();
    assert!(rewritten.head_now().await.unwrap().unwrap().head.size == 10);
    for _ in 0..600 {
        let event = crate::audit::events::CallsRefused {
            calls: 1,
            from: 0,
            to: 0,
        };
        let entry = told
            .world
            .ctx
            .audit
            .entry(1, &crate::audit::Actor::Daemon, &event)
            .unwrap();
        store.enter(&[entry]).await.unwrap();
    }
    let new = rewritten.head_now().await.unwrap().unwrap();
    rewritten.public_key().verify("care.example", &new).unwrap();
    assert!(
        check_log(&*store, &rewritten.public_key(), "care.example")
            .await
            .is_ok(),
        "it is in order by itself"
    );
    let (from, to) = (kept.head, new.head);
    let proof = rewritten.prove_consistency(from.size, to.size).await.unwrap();
    let held =
        handfast_proto::merkle::verify_consistency((from.size, &from.root), (to.size, &to.root), &proof);
    assert!(
        held.is_err(),
        "but it does not continue the one that the agent kept"
    );
}
