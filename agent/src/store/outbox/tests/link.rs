//! What the link does with the outbox: reading, acknowledging, and rebasing onto the daemon's head.

use std::time::Duration;

use bytes::Bytes;
use handfast_proto::{
    amendment::{Amendment, Category, Confidentiality, Op, Subject, Text},
    chain::Chain,
    ids::{RecordId, StoreId},
};

use super::support::*;
use crate::store::outbox::{DaemonHead, OutboxLimits, Welcomed};

fn raw(id: usize, bytes: usize) -> Amendment {
    Amendment {
        op: Op::Create,
        record: RecordId::new("Observation", &id.to_string()).unwrap(),
        subject: Some(Subject {
            patient: N1.parse().unwrap(),
            category: Category::Observations,
            confidentiality: Confidentiality::NORMAL,
        }),
        former: None,
        author: Text::default(),
        recorded_at: NOW,
        content_type: Text::new("application/fhir+json").unwrap(),
        payload: Bytes::from(vec![b'x'; bytes]),
    }
}

async fn pushed(sizes: &[usize]) -> Desk {
    let desk = Desk::open().await;
    for (id, bytes) in sizes.iter().enumerate() {
        desk.outbox.push_raw(vec![raw(id, *bytes)]).await.unwrap();
    }
    desk
}

/// Where a comparison showed that the daemon has nothing of what is unsent.
fn head(seq: u64, chain: Option<Chain>, accepted: bool) -> DaemonHead {
    DaemonHead {
        seq,
        chain,
        accepted,
        agreed: Some(0),
    }
}

fn other_chain() -> Chain {
    Chain::start(StoreId::from_random([9; 16]))
}

#[tokio::test]
async fn batches_keep_their_bounds_and_small_ones_are_joined() {
    let desk = Desk::open().await;
    desk.outbox
        .push_raw((0..200).map(|id| raw(id, 10)).collect())
        .await
        .unwrap();
    desk.outbox
        .push_raw(vec![
            raw(200, 100_000),
            raw(201, 100_000),
            raw(202, 300_000),
            raw(203, 1),
        ])
        .await
        .unwrap();
    for id in 204..214 {
        desk.outbox.push_raw(vec![raw(id, 5)]).await.unwrap();
    }
    let all = desk.outbox.after(0, 1 << 20).await.unwrap();
    let lens: Vec<u64> = all.iter().map(|b| b.last_seq + 1 - b.first_seq).collect();
    assert_eq!(lens, [64, 64, 64, 8, 1, 1, 1, 11]);
    assert!(all[6].in_pieces() && !all[5].in_pieces());
    assert_eq!(desk.amendments().await.len(), 214);
    // From the file it is the same, and from the middle of a batch as well.
    let again = open(&desk.path, OutboxLimits::default()).await;
    assert_eq!(again.after(0, 1 << 20).await.unwrap(), all);
    let tail = again.after(70, 1).await.unwrap();
    assert_eq!((tail.len(), tail[0].first_seq, tail[0].last_seq), (1, 71, 128));
    assert_eq!(tail[0].chain_after, all[1].chain_after);
    assert_eq!(desk.amendments_after(70).await.len(), 144);
}

#[tokio::test]
async fn what_is_acknowledged_is_forgotten_and_the_chain_kept() {
    let desk = pushed(&[10, 10, 10]).await;
    let batches = desk.outbox.after(0, 1 << 20).await.unwrap();
    assert_eq!(batches[0].last_seq, 3);
    desk.outbox.acknowledge(2);
    let end = tokio::time::timeout(Duration::from_secs(10), async {
        while desk.outbox.position().acked_seq != 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    end.await.unwrap();
    let position = desk.outbox.position();
    assert_eq!(
        desk.outbox.after(2, 1 << 20).await.unwrap()[0].chain_before,
        position.acked_chain
    );
    assert_eq!(desk.outbox.summary().await.unwrap().unacknowledged, 1);
    let again = open(&desk.path, OutboxLimits::default()).await;
    assert_eq!(again.position(), position);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_made_up_for() {
    let desk = pushed(&[10, 10, 10]).await;
    let after_two = desk.outbox.after(0, 1 << 20).await.unwrap()[0]
        .amendments()
        .unwrap();
    let mut chain = desk.outbox.position().acked_chain;
    for (seq, amendment) in (1..=2).zip(&after_two) {
        chain = chain.extend(seq, amendment);
    }
    assert_eq!(
        desk.outbox.welcomed(head(2, Some(chain), true)).await.unwrap(),
        Welcomed::Continue
    );
    let left: Vec<u64> = desk
        .amendments_after(2)
        .await
        .iter()
        .map(|(seq, _)| *seq)
        .collect();
    assert_eq!(left, [3]);
}

#[tokio::test]
async fn a_first_store_begins_at_one_and_a_new_store_behind_the_head() {
    let desk = pushed(&[10, 10]).await;
    assert_eq!(
        desk.outbox.welcomed(head(0, None, true)).await.unwrap(),
        Welcomed::Continue
    );
    let before = desk.outbox.position();
    assert_eq!(
        desk.outbox
            .welcomed(head(500, Some(other_chain()), false))
            .await
            .unwrap(),
        Welcomed::Rebased
    );
    let position = desk.outbox.position();
    assert_ne!(position.store, before.store);
    assert_eq!((position.acked_seq, position.last_seq), (500, 502));
    assert_eq!(position.acked_chain, other_chain());
    let batch = desk.outbox.after(500, 1).await.unwrap().remove(0);
    assert_eq!(batch.chain_before, other_chain());
    assert_eq!(desk.amendments_after(500).await.len(), 2);
    // The hello that follows is accepted; what is pushed from then on goes on.
    assert_eq!(
        desk.outbox
            .welcomed(head(500, Some(other_chain()), true))
            .await
            .unwrap(),
        Welcomed::Continue
    );
    desk.outbox.push_raw(vec![raw(9, 10)]).await.unwrap();
    assert_eq!(desk.amendments_after(500).await.len(), 3);
    let again = open(&desk.path, OutboxLimits::default()).await;
    assert_eq!(again.position().last_seq, 503);
}

#[tokio::test]
async fn a_diverged_chain_rebases_although_the_daemon_accepts() {
    let desk = pushed(&[10, 10, 10]).await;
    // A clone published three others.
    assert_eq!(
        desk.outbox
            .welcomed(head(2, Some(other_chain()), true))
            .await
            .unwrap(),
        Welcomed::Rebased
    );
    assert_eq!(
        desk.amendments_after(2).await.len(),
        3,
        "nothing is lost: all are sent behind the head"
    );
}

#[tokio::test]
async fn what_the_daemon_has_is_not_sent_again_by_a_rebase() {
    let desk = Desk::open().await;
    desk.outbox
        .push_raw((0..5).map(|id| raw(id, 10)).collect())
        .await
        .unwrap();
    let amendments = desk.outbox.after(0, 1).await.unwrap()[0].amendments().unwrap();
    let mut chain = desk.outbox.position().acked_chain;
    for (seq, amendment) in (1..=3).zip(&amendments) {
        chain = chain.extend(seq, amendment);
    }
    // Restored by the operator: it does not know the store, but its head is ours.
    assert_eq!(
        desk.outbox.welcomed(head(3, Some(chain), false)).await.unwrap(),
        Welcomed::Rebased
    );
    let left: Vec<_> = desk
        .amendments_after(3)
        .await
        .iter()
        .map(|a| (a.0, a.1.record.to_string()))
        .collect();
    assert_eq!(
        left,
        [(4, "Observation/3".to_owned()), (5, "Observation/4".to_owned())]
    );
}

#[tokio::test]
async fn a_daemon_that_lost_amendments_gets_every_record_again() {
    let desk = Desk::open().await;
    desk.send(&patient("p", Some(N1))).await;
    for id in 0..600 {
        desk.send(&condition(&format!("c{id}"), "p", "a")).await;
    }
    desk.delete("Condition/c0").await;
    desk.send(&labelled(condition("c1", "p", "a"))).await;
    desk.outbox.acknowledge(603);
    let wait = |acked: u64| {
        let outbox = desk.outbox.clone();
        async move {
            while outbox.position().acked_seq != acked {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait(603))
        .await
        .unwrap();
    desk.send(&condition("new", "p", "a")).await;
    assert_eq!(
        desk.outbox
            .welcomed(head(100, Some(other_chain()), true))
            .await
            .unwrap(),
        Welcomed::Rebased
    );
    let done = async {
        while desk.outbox.summary().await.unwrap().resending {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    let all: Vec<_> = desk.amendments_after(100).await.iter().map(short).collect();
    assert_eq!(all.len(), 1 + 602, "what was unsent, then every record");
    assert_eq!(all[0].2, "Condition/new");
    let of = |name: &str| all.iter().rev().find(|a| a.2 == name).unwrap().clone();
    assert_eq!(of("Condition/c0").1, Op::Retract);
    assert_eq!((of("Condition/c1").4, of("Condition/c1").5), (1, false));
    assert_eq!((of("Condition/c2").1, of("Condition/c2").5), (Op::Amend, true));
}

#[tokio::test]
async fn a_daemon_that_forgot_an_acknowledgement_is_followed() {
    let desk = pushed(&[10, 10]).await;
    // Acknowledged in memory only, when the daemon says that it has less.
    desk.outbox.acknowledge(2);
    let chain = desk.outbox.position().acked_chain;
    let position = desk.outbox.position();
    let welcomed = desk.outbox.welcomed(head(0, None, true)).await.unwrap();
    if position.acked_seq == 0 && welcomed == Welcomed::Continue {
        assert_eq!(desk.amendments().await.len(), 2);
        assert_eq!(desk.outbox.after(0, 1).await.unwrap()[0].chain_before, chain);
    }
}

#[tokio::test]
async fn what_a_comparison_showed_is_not_sent_again() {
    let desk = pushed(&[10, 10, 10, 10]).await;
    let asked = DaemonHead {
        agreed: None,
        ..head(9, Some(other_chain()), true)
    };
    assert_eq!(desk.outbox.welcomed(asked).await.unwrap(), Welcomed::Compare);
    let unsent = desk.outbox.unsent().await.unwrap();
    assert_eq!(unsent.from.0, 0);
    assert_eq!(
        unsent.points.iter().map(|p| p.0).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let answered = DaemonHead {
        agreed: Some(3),
        ..asked
    };
    assert_eq!(desk.outbox.welcomed(answered).await.unwrap(), Welcomed::Rebased);
    let left: Vec<_> = desk
        .amendments_after(9)
        .await
        .iter()
        .map(|a| (a.0, a.1.record.to_string()))
        .collect();
    assert_eq!(left, [(10, "Observation/3".to_owned())]);
}

#[tokio::test]
async fn many_batches_are_thinned_out_for_a_comparison() {
    let desk = Desk::open().await;
    let amendments: Vec<_> = (0..40_000).map(|id| raw(id, 1)).collect();
    desk.outbox.push_raw(amendments).await.unwrap();
    let unsent = desk.outbox.unsent().await.unwrap();
    assert!(
        (200..=1024).contains(&unsent.points.len()),
        "{}",
        unsent.points.len()
    );
    assert_eq!(unsent.points.last().unwrap().0, 40_000);
}
