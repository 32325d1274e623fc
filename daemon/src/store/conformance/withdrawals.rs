//! Promises about withdrawals and dead letters.

use super::{
    backend::Backend,
    kit::{
        HILL, T0, VALE, WARD, assert_fails, group, hello, jobs, join, joined, ods, pair, part, with_units,
    },
};
use crate::{
    consent::GrantId,
    store::{
        AppendGroup, ConfirmWithdrawal, DeadLetterRow, JobId, Store, StoreError, With, WithdrawalReceipt,
        WithdrawalRow, WithdrawalState,
    },
};

async fn newest(store: &impl Store) -> WithdrawalRow {
    let agreements = store.agreements(Some(ods(WARD))).await.unwrap();
    agreements
        .iter()
        .find(|a| a.pair == pair(HILL, WARD))
        .unwrap()
        .withdrawal
        .unwrap()
}

/// [`WARD`]'s inbox has it, in a session.
async fn receive(store: &impl Store, session: u64, jobs: &[JobId]) {
    let receipt = |job: &JobId| WithdrawalReceipt {
        job: *job,
        recipient: ods(WARD),
        session,
    };
    let received = AppendGroup {
        withdrawals_received: jobs.iter().map(receipt).collect(),
        ..group(Vec::new())
    };
    store.append(&received).await.unwrap();
}

fn confirmation(recipient: &str, job: JobId, removed: u64) -> ConfirmWithdrawal {
    ConfirmWithdrawal {
        recipient: ods(recipient),
        job,
        removed,
        not_removed: 2,
        at: T0 + 8,
    }
}

pub(crate) async fn a_withdrawal_goes_its_way<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let job = part(store, pair(HILL, WARD)).await;
    assert_eq!(newest(store).await.state, WithdrawalState::Pending);
    assert_eq!(hello(store, WARD, 1, 0, 0).await.jobs.len(), 1);
    assert_eq!(store.owed_recipients().await.unwrap(), [ods(WARD)]);

    for _ in 0..2 {
        receive(store, 1, &[job, JobId(999)]).await;
        assert_eq!(newest(store).await.state, WithdrawalState::Received);
        assert!(jobs(store, WARD).await.is_empty(), "it is over for the feed");
        assert_eq!(store.owed_recipients().await.unwrap(), []);
    }
    let awaited = store.unconfirmed(ods(WARD), job).await.unwrap().unwrap();
    assert_eq!((awaited.id, awaited.pair), (job, pair(HILL, WARD)));
    assert_eq!(
        store.unconfirmed(ods(HILL), job).await.unwrap(),
        None,
        "not its own"
    );
    store
        .confirm_withdrawal(&confirmation(WARD, job, 40), &With::nothing())
        .await
        .unwrap();
    assert_eq!(store.unconfirmed(ods(WARD), job).await.unwrap(), None);
    let backend = backend.reopen().await;
    let confirmed = newest(backend.store()).await;
    assert_eq!(
        (confirmed.state, confirmed.confirmed_at),
        (WithdrawalState::Confirmed, Some(T0 + 8))
    );
    assert_eq!((confirmed.removed, confirmed.not_removed), (40, 2));

    // The newest is the one that shows.
    let grant = join(backend.store(), pair(HILL, WARD)).await;
    assert_eq!(newest(backend.store()).await, confirmed);
    let next = part(backend.store(), pair(HILL, WARD)).await;
    let shown = newest(backend.store()).await;
    assert_eq!(
        (shown.job, shown.ended_grant, shown.state),
        (next, grant, WithdrawalState::Pending)
    );
}

pub(crate) async fn a_confirmation_may_come_first_and_again<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let job = part(store, pair(HILL, WARD)).await;
    store
        .confirm_withdrawal(&confirmation(WARD, job, 40), &With::nothing())
        .await
        .unwrap();
    let confirmed = newest(store).await;
    assert!(jobs(store, WARD).await.is_empty());
    receive(store, 1, &[job]).await;
    store
        .confirm_withdrawal(&confirmation(WARD, job, 0), &With::nothing())
        .await
        .unwrap();
    assert_eq!(newest(store).await, confirmed, "the first word stands");
    assert!(hello(store, WARD, 1, 0, 0).await.jobs.is_empty());
}

pub(crate) async fn only_its_recipient_confirms<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let job = part(store, pair(HILL, WARD)).await;
    join(store, pair(HILL, WARD)).await;
    let before = hello(store, WARD, 1, 0, 0).await.jobs;
    for recipient in [HILL, VALE, "Z99999"] {
        store
            .confirm_withdrawal(&confirmation(recipient, job, 40), &With::nothing())
            .await
            .unwrap();
    }
    store
        .confirm_withdrawal(&confirmation(WARD, JobId(999), 40), &With::nothing())
        .await
        .unwrap();
    // A catch-up is no withdrawal.
    let catch_up = before.last().unwrap().id;
    store
        .confirm_withdrawal(&confirmation(WARD, catch_up, 40), &With::nothing())
        .await
        .unwrap();
    receive(store, 1, &[catch_up]).await;
    assert_eq!(newest(store).await.state, WithdrawalState::Pending);
    assert_eq!(jobs(store, WARD).await, before);
}

pub(crate) async fn what_a_former_inbox_received_is_sent_again<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    let job = part(store, pair(HILL, WARD)).await;
    let owed = async || !jobs(store, WARD).await.is_empty();
    hello(store, WARD, 1, 0, 0).await;
    hello(store, WARD, 1, 1, 0).await;
    receive(store, 1, &[job]).await;
    assert!(!owed().await, "a session before, of the same inbox");

    assert_eq!(hello(store, WARD, 2, 0, 0).await.jobs.len(), 1);
    // What the last inbox said of it comes only now.
    receive(store, 2, &[job]).await;
    assert!(owed().await, "the new inbox knows nothing of it");
    receive(store, 4, &[job]).await;
    assert!(owed().await, "there was no such session");
    assert_eq!(newest(store).await.state, WithdrawalState::Pending);
    receive(store, 3, &[job]).await;
    assert_eq!(newest(store).await.state, WithdrawalState::Received);
    assert!(!owed().await);

    let received = WithdrawalReceipt {
        job: part_of_another(store).await,
        recipient: ods(WARD),
        session: 3,
    };
    let received = AppendGroup {
        withdrawals_received: vec![received],
        ..group(Vec::new())
    };
    store.append(&received).await.unwrap();
    assert_eq!(jobs(store, VALE).await.len(), 1, "it is not this recipient's");
}

/// A withdrawal that [`VALE`] is owed.
async fn part_of_another(store: &impl Store) -> JobId {
    join(store, pair(HILL, VALE)).await;
    part(store, pair(HILL, VALE)).await
}

fn letter(source: &str, seq: u64, resolved: bool) -> DeadLetterRow {
    DeadLetterRow {
        pair: pair(source, WARD),
        seq,
        record: format!("Observation/{seq}").parse().unwrap(),
        reason: "the server refuses it: 422".to_owned(),
        resolved,
    }
}

pub(crate) async fn dead_letters_are_counted<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    assert!(store.dead_letters().await.unwrap().is_empty());
    for (source, seq, resolved) in [
        (VALE, 1, false),
        (HILL, 1, false),
        (HILL, 2, false),
        (HILL, 2, false),
        (HILL, 3, false),
        (HILL, 3, true),
        (HILL, 4, true),
    ] {
        store
            .record_dead_letter(&letter(source, seq, resolved), T0)
            .await
            .unwrap();
    }
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(
        store.dead_letters().await.unwrap(),
        [(pair(HILL, WARD), 2), (pair(VALE, WARD), 1)]
    );
    for (seq, resolved) in [(1, true), (2, true), (3, false)] {
        store
            .record_dead_letter(&letter(HILL, seq, resolved), T0)
            .await
            .unwrap();
    }
    store
        .record_dead_letter(&letter(VALE, 1, true), T0)
        .await
        .unwrap();
    assert_eq!(
        store.dead_letters().await.unwrap(),
        [(pair(HILL, WARD), 1)],
        "the last word counts"
    );
}

pub(crate) async fn dead_letters_need_units<B: Backend>() {
    let backend: B = with_units().await;
    let result = backend
        .store()
        .record_dead_letter(&letter("Z99999", 1, false), T0)
        .await;
    assert_fails!(result, StoreError::Missing(_));
}
