//! What is said and sent again: after a loss, after a rebase, and because the daemon asks.
//!
//! Detects: a word forgotten by a daemon that lost it; statements confused by a rebase; a record sent again
//! as often as it is asked for.

use std::time::Duration;

use handfast_proto::{
    amendment::Op, chain::Chain, ids::StoreId, statement::Statement, v1::PatientWordValue::Ended,
};
use serde_json::json;

use super::{
    said::{consent, statement},
    support::*,
};
use crate::store::outbox::{DaemonHead, OutboxLimits, StatementCounts, Welcomed};

fn head(seq: u64) -> DaemonHead {
    DaemonHead {
        seq,
        chain: Some(Chain::start(StoreId::from_random([9; 16]))),
        accepted: true,
        agreed: Some(0),
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
        "{what}"
    );
}

async fn acknowledged(desk: &Desk, seq: u64) {
    desk.outbox.acknowledge(seq);
    until("acknowledged", async || desk.outbox.position().acked_seq == seq).await;
}

async fn counts(desk: &Desk) -> StatementCounts {
    desk.outbox.summary().await.unwrap().statements
}

#[tokio::test]
async fn a_daemon_that_lost_amendments_is_told_the_newest_words_first() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&patient("p", Some(N2))).await;
    desk.send(&consent("no", "p", "deny", "2025-01-01T00:00:00Z"))
        .await;
    desk.send(&consent("gone", "p", "deny", "2025-02-01T00:00:00Z"))
        .await;
    desk.delete("Consent/gone").await;
    for n in 0..3 {
        desk.send(&condition(&format!("c{n}"), "p", "a")).await;
    }
    let event = |id: &str, at: &str| {
        json!({"resourceType": "AuditEvent", "id": id, "type": {"code": "rest"}, "subtype": [{"code": "read"}],
            "meta": {"lastUpdated": at}, "recorded": at, "agent": [{"who": {"display": "Dr A"}}],
            "entity": [{"what": {"reference": "Patient/p"}}]})
    };
    desk.send(&event("new", "2025-12-20T00:00:00Z")).await;
    desk.send(&event("old", "2025-10-20T00:00:00Z")).await;
    let last = desk.outbox.position().last_seq;
    acknowledged(&desk, last).await;
    assert_eq!(desk.outbox.welcomed(head(1)).await.unwrap(), Welcomed::Rebased);
    until("sent again", async || {
        !desk.outbox.summary().await.unwrap().resending
    })
    .await;
    let all = desk.amendments_after(1).await;
    let shape: Vec<_> = all.iter().map(|(_, a)| (a.op, a.record.to_string())).collect();
    let expected = [
        (Op::Statement, "Patient/p"),
        (Op::Statement, "Consent/gone"),
        (Op::Statement, "Consent/gone"),
        (Op::Amend, "Patient/p"),
        (Op::Amend, "Condition/c0"),
        (Op::Amend, "Condition/c1"),
        (Op::Amend, "Condition/c2"),
        (Op::Statement, "AuditEvent/new"),
    ];
    assert_eq!(shape, expected.map(|(op, name)| (op, name.to_owned())));
    assert!(matches!(
        statement(&all[0].1),
        Some(Statement::NumberMoved { .. })
    ));
}

#[tokio::test]
async fn an_end_is_said_again_too() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&consent("c", "p", "permit", "2025-01-01T00:00:00Z"))
        .await;
    desk.delete("Consent/c").await;
    acknowledged(&desk, 3).await;
    desk.outbox.welcomed(head(2)).await.unwrap();
    until("sent again", async || {
        !desk.outbox.summary().await.unwrap().resending
    })
    .await;
    let all = desk.amendments_after(2).await;
    let said: Vec<_> = all.iter().filter_map(|(_, a)| statement(a)).collect();
    assert!(
        said.iter()
            .all(|s| matches!(s, Statement::PatientWord(w) if w.word == Ended)),
        "{said:?}"
    );
    assert!(
        !said.is_empty() && all.iter().all(|(_, a)| a.op != Op::Retract),
        "it was never a record"
    );
}

#[tokio::test]
async fn what_the_daemon_says_of_statements_is_kept_and_follows_a_rebase() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    for (id, day) in [("a", 1), ("b", 2)] {
        desk.send(&consent(id, "p", "deny", &format!("2025-01-0{day}T00:00:00Z")))
            .await;
    }
    // Two sides, of which each has its newest word.
    assert_eq!(
        counts(&desk).await,
        StatementCounts {
            queued: 2,
            ..StatementCounts::default()
        }
    );
    acknowledged(&desk, 2).await;
    desk.outbox.statement_in_force(2, false);
    assert_eq!(
        counts(&desk).await.queued,
        2,
        "of an older word that says nothing"
    );
    // The newest, which is unsent, gets another seq.
    assert_eq!(desk.outbox.welcomed(head(50)).await.unwrap(), Welcomed::Rebased);
    let all = desk.amendments_after(50).await;
    assert_eq!((all.len(), all[0].0, all[0].1.op), (1, 51, Op::Statement));
    acknowledged(&desk, 51).await;
    assert_eq!(
        counts(&desk).await,
        StatementCounts {
            acknowledged: 2,
            ..StatementCounts::default()
        }
    );
    desk.outbox.statement_in_force(51, true);
    until("pending", async || counts(&desk).await.pending == 2).await;
    desk.outbox.statement_in_force(51, false);
    until("in force", async || counts(&desk).await.in_force == 2).await;
    desk.outbox.statement_in_force(51, true);
    desk.send(&condition("c", "p", "a")).await;
    assert_eq!(counts(&desk).await.in_force, 2);
    let again = open(&desk.path, OutboxLimits::default()).await;
    assert_eq!(again.summary().await.unwrap().statements.in_force, 2);
}

#[tokio::test]
async fn what_the_daemon_asks_for_is_sent_once_while_it_is_on_its_way() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    desk.send(&condition("c", "p", "a")).await;
    desk.send(&condition("gone", "p", "a")).await;
    desk.delete("Condition/gone").await;
    desk.send(&labelled(condition("private", "p", "a"))).await;
    desk.send(&consent("no", "p", "deny", "2025-01-01T00:00:00Z"))
        .await;
    let ask = [
        "Condition/c",
        "Condition/gone",
        "Condition/never",
        "Consent/no",
        "Condition/private",
    ];
    let ask: Vec<_> = ask.iter().map(|name| name.parse().unwrap()).collect();
    for _ in 0..2 {
        desk.outbox.send_again(ask.clone()).await.unwrap();
        let all: Vec<_> = desk.amendments_after(6).await.iter().map(short).collect();
        let n = || N1.to_owned();
        let expected = [
            (7, Op::Amend, "Condition/c".to_owned(), n(), 0, true, None),
            (8, Op::Amend, "Condition/private".to_owned(), n(), 1, false, None),
        ];
        assert_eq!(all, expected);
    }
    acknowledged(&desk, 8).await;
    desk.send(&condition("c", "p", "b")).await;
    desk.outbox.send_again(ask).await.unwrap();
    let all = desk.amendments_after(9).await;
    assert_eq!(all.len(), 2);
    assert!(
        String::from_utf8_lossy(&all[0].1.payload).contains("\"b\""),
        "the version held now"
    );
}
