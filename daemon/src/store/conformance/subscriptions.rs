//! Promises about inboxes and their sessions.

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, T0, VALE, WARD, assert_fails, catch_up, cursor, group, hello, join, joined, ods, pair,
        part, publish, store_id, with_units,
    },
};
use crate::{
    consent::GrantId,
    store::{
        AppendGroup, CatchUpMove, ConfirmWithdrawal, Hello, JobKind, RecipientReceipt, Store, StoreError,
        With, WithdrawalReceipt,
    },
};

/// What the inbox has receipted.
async fn receipt(store: &impl Store, session: u64, durable: u64) {
    let receipted = AppendGroup {
        receipts: vec![RecipientReceipt {
            recipient: ods(WARD),
            session,
            durable,
        }],
        ..group(Vec::new())
    };
    store.append(&receipted).await.unwrap();
}

pub(crate) async fn the_first_inbox_is_new<B: Backend>() {
    let pair = pair(HILL, WARD);
    let (backend, grant): (B, GrantId) = joined(pair).await;
    let store = backend.store();
    let (before, ..) = catch_up(store, WARD).await;
    publish(store, &mut Outbox::new(HILL), 6).await;
    let opened = hello(store, WARD, 1, 0, 0).await;
    assert!(opened.accepted && opened.anew);
    assert_eq!(opened.session, 1);
    assert_eq!(
        (opened.pairs.len(), opened.pairs[0].grant, opened.pairs[0].cursor),
        (1, grant, 6)
    );
    assert_eq!(
        opened.jobs.len(),
        1,
        "a new catch-up takes the place of the older"
    );
    assert!(opened.jobs[0].id > before);
    assert_eq!(opened.jobs[0].kind, JobKind::CatchUp { upto: 6, through: 0 });
    let nobody = Hello {
        recipient: ods("Z99999"),
        store: store_id(1),
        session: 0,
        durable: 0,
    };
    assert_fails!(store.open_subscription(&nobody, T0).await, StoreError::Missing(_));
}

pub(crate) async fn an_inbox_resumes<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let first = hello(store, WARD, 1, 0, 0).await;
    receipt(store, 1, 4).await;
    // Exactly what was receipted, and more: a receipt may have been lost on its way.
    for (session, durable, next) in [(1, 4, 2), (1, 9, 3), (3, 1, 4), (3, 1, 5)] {
        let opened = hello(store, WARD, 1, session, durable).await;
        assert!(opened.accepted && !opened.anew);
        assert_eq!(opened.session, next);
        assert_eq!(
            (&opened.pairs, &opened.jobs),
            (&first.pairs, &first.jobs),
            "as they stand"
        );
    }
    assert!(
        !hello(store, WARD, 1, 1, 9).await.accepted,
        "its own word counts as a receipt"
    );
    assert_eq!(
        hello(store, VALE, 1, 0, 0).await.session,
        1,
        "sessions are per recipient"
    );
}

pub(crate) async fn an_older_inbox_is_refused<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    hello(store, WARD, 1, 0, 0).await;
    receipt(store, 1, 4).await;
    assert_eq!(hello(store, WARD, 1, 1, 4).await.session, 2);
    receipt(store, 2, 7).await;
    let before = store.recipient_jobs(ods(WARD)).await.unwrap();
    for (session, durable) in [(2, 6), (1, 100), (1, 4), (0, 0)] {
        let opened = hello(store, WARD, 1, session, durable).await;
        assert!(!opened.accepted && !opened.anew);
    }
    assert_eq!(
        store.recipient_jobs(ods(WARD)).await.unwrap(),
        before,
        "nothing was changed"
    );
    assert_eq!(
        hello(store, WARD, 1, 2, 7).await.session,
        3,
        "no session was given out"
    );
}

pub(crate) async fn an_inbox_that_never_took_part_is_taken<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let first = hello(store, WARD, 1, 0, 0).await;
    assert!(first.anew);
    // Its welcome was lost: it knows of no session yet.
    let second = hello(store, WARD, 1, 0, 0).await;
    assert!(second.accepted && !second.anew);
    assert_eq!((second.session, second.jobs), (2, first.jobs));
}

pub(crate) async fn another_inbox_starts_anew<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    join(store, pair(VALE, WARD)).await;
    let elsewhere = join(store, pair(HILL, VALE)).await;
    let received = part(store, pair(HILL, WARD)).await;
    let regrant = join(store, pair(HILL, WARD)).await;
    let opened = hello(store, WARD, 1, 0, 0).await;
    let moves = AppendGroup {
        withdrawals_received: vec![WithdrawalReceipt {
            job: received,
            recipient: ods(WARD),
            session: 1,
        }],
        catch_ups: vec![CatchUpMove {
            job: opened.jobs.last().unwrap().id,
            through: 0,
            complete: true,
        }],
        ..group(Vec::new())
    };
    store.append(&moves).await.unwrap();
    receipt(store, 1, 30).await;
    publish(store, &mut Outbox::new(HILL), 8).await;
    publish(store, &mut Outbox::new(VALE), 3).await;

    let opened = hello(store, WARD, 2, 0, 0).await;
    assert!(opened.accepted && opened.anew);
    assert_eq!(opened.session, 2);
    let cursors: Vec<_> = opened.pairs.iter().map(|p| (p.pair, p.cursor)).collect();
    assert_eq!(cursors, [(pair(HILL, WARD), 8), (pair(VALE, WARD), 3)]);
    let kinds: Vec<_> = opened.jobs.iter().map(|job| (job.pair, job.kind)).collect();
    let expected = [
        (pair(HILL, WARD), JobKind::Withdraw { patient: None }),
        (pair(HILL, WARD), JobKind::CatchUp { upto: 8, through: 0 }),
        (pair(VALE, WARD), JobKind::CatchUp { upto: 3, through: 0 }),
    ];
    assert_eq!(
        kinds, expected,
        "the withdrawal is due again, before the catch-up of its pair"
    );
    assert_eq!((opened.jobs[0].id, opened.jobs[1].grant), (received, regrant));
    // What belongs to other recipients stands.
    assert_eq!(cursor(store, pair(HILL, VALE)).await, Some(0));
    let (_, upto, _) = catch_up(store, VALE).await;
    assert_eq!(
        (upto, store.recipient_jobs(ods(VALE)).await.unwrap().0[0].grant),
        (0, elsewhere)
    );

    // A confirmed withdrawal is not due again.
    let confirmed = ConfirmWithdrawal {
        recipient: ods(WARD),
        job: received,
        removed: 1,
        not_removed: 0,
        at: T0,
    };
    store
        .confirm_withdrawal(&confirmed, &With::nothing())
        .await
        .unwrap();
    let opened = hello(store, WARD, 3, 0, 0).await;
    assert!(
        opened.anew
            && opened
                .jobs
                .iter()
                .all(|job| job.kind != JobKind::Withdraw { patient: None })
    );
}

pub(crate) async fn an_inbox_of_the_past_is_refused<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    hello(store, WARD, 1, 0, 0).await;
    receipt(store, 1, 5).await;
    assert!(hello(store, WARD, 2, 0, 0).await.anew);
    for durable in [0, 5, 50] {
        let opened = hello(store, WARD, 1, 1, durable).await;
        assert!(!opened.accepted, "another has taken its place");
    }
    assert!(hello(store, WARD, 2, 2, 1).await.accepted, "which it still has");
    assert!(
        hello(store, WARD, 1, 0, 0).await.anew,
        "without a past it is a new one"
    );
}

pub(crate) async fn a_session_that_never_was_is_refused<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    assert!(
        !hello(store, WARD, 1, 3, 0).await.accepted,
        "this store is older than the inbox"
    );
    hello(store, WARD, 1, 0, 0).await;
    assert!(!hello(store, WARD, 1, 2, 0).await.accepted);
    assert!(!hello(store, WARD, 1, u64::MAX, 0).await.accepted);
    assert!(hello(store, WARD, 1, 1, 0).await.accepted);
}

pub(crate) async fn a_late_receipt_of_the_last_inbox_is_nothing<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    hello(store, WARD, 1, 0, 0).await;
    assert_eq!(hello(store, WARD, 2, 0, 0).await.session, 2);
    receipt(store, 1, 40).await;
    assert!(
        hello(store, WARD, 2, 0, 0).await.accepted,
        "the new inbox has receipted nothing yet"
    );
}

pub(crate) async fn jobs_can_be_asked_for<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    join(store, pair(VALE, WARD)).await;
    part(store, pair(VALE, WARD)).await;
    let opened = hello(store, WARD, 1, 0, 0).await;
    for _ in 0..2 {
        let (pairs, jobs) = store.recipient_jobs(ods(WARD)).await.unwrap();
        assert_eq!((&pairs, &jobs), (&opened.pairs, &opened.jobs));
    }
    assert_eq!(
        store.recipient_jobs(ods(HILL)).await.unwrap(),
        (Vec::new(), Vec::new())
    );
    assert_eq!(store.owed_recipients().await.unwrap(), [ods(WARD)]);
}

pub(crate) async fn sessions_are_durable<B: Backend>() {
    let backend: B = with_units().await;
    hello(backend.store(), WARD, 1, 0, 0).await;
    receipt(backend.store(), 1, 5).await;
    let backend = backend.reopen().await;
    assert!(!hello(backend.store(), WARD, 1, 1, 4).await.accepted);
    assert_eq!(hello(backend.store(), WARD, 1, 1, 5).await.session, 2);
}
