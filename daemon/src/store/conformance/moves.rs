//! Promises of the moves that a commit carries: cursors, catch-ups, receipts.

use super::{
    backend::Backend,
    kit::{
        HILL, Outbox, VALE, WARD, catch_up, cursor, group, head, hello, jobs, join, joined, ods, pair, part,
        publish, register, with_units,
    },
};
use crate::{
    consent::{GrantId, Pair},
    store::{AppendGroup, CatchUpMove, CursorMove, JobId, ReachMove, RecipientReceipt, Store},
};

fn cursor_move(pair: Pair, grant: GrantId, seq: u64) -> AppendGroup {
    AppendGroup {
        cursors: vec![CursorMove { pair, grant, seq }],
        ..group(Vec::new())
    }
}

fn catch_up_move(job: JobId, through: u64, complete: bool) -> AppendGroup {
    AppendGroup {
        catch_ups: vec![CatchUpMove {
            job,
            through,
            complete,
        }],
        ..group(Vec::new())
    }
}

fn receipt(session: u64, durable: u64) -> AppendGroup {
    AppendGroup {
        receipts: vec![RecipientReceipt {
            recipient: ods(WARD),
            session,
            durable,
        }],
        ..group(Vec::new())
    }
}

pub(crate) async fn a_cursor_goes_forward_only<B: Backend>() {
    let pair = pair(HILL, WARD);
    let (backend, grant): (B, GrantId) = joined(pair).await;
    let store = backend.store();
    publish(store, &mut Outbox::new(HILL), 50).await;
    for (seq, stands) in [(10, 10), (9, 10), (10, 10), (0, 10), (42, 42), (41, 42)] {
        store.append(&cursor_move(pair, grant, seq)).await.unwrap();
        assert_eq!(cursor(store, pair).await, Some(stands));
    }
    let backend = backend.reopen().await;
    assert_eq!(cursor(backend.store(), pair).await, Some(42));
}

pub(crate) async fn a_cursor_of_another_grant_stays<B: Backend>() {
    let ours = pair(HILL, WARD);
    let (backend, ended): (B, GrantId) = joined(ours).await;
    let store = backend.store();
    let theirs = join(store, pair(VALE, WARD)).await;
    part(store, ours).await;
    store.append(&cursor_move(ours, ended, 7)).await.unwrap();
    let grant = join(store, ours).await;
    for (pair, grant) in [
        (ours, ended),
        (ours, theirs),
        (pair(VALE, WARD), grant),
        (pair(WARD, HILL), grant),
    ] {
        store.append(&cursor_move(pair, grant, 9)).await.unwrap();
    }
    store.append(&cursor_move(ours, GrantId(999), 9)).await.unwrap();
    assert_eq!(cursor(store, ours).await, Some(0));
    assert_eq!(cursor(store, pair(VALE, WARD)).await, Some(0));
}

pub(crate) async fn a_catch_up_goes_forward_only<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    publish(store, &mut Outbox::new(HILL), 40).await;
    join(store, pair(HILL, WARD)).await;
    let (job, upto, through) = catch_up(store, WARD).await;
    assert_eq!((upto, through), (40, 0));
    for (seq, stands) in [(5, 5), (4, 5), (30, 30), (5, 30)] {
        store.append(&catch_up_move(job, seq, false)).await.unwrap();
        assert_eq!(catch_up(store, WARD).await, (job, 40, stands));
    }
    let backend = backend.reopen().await;
    assert_eq!(catch_up(backend.store(), WARD).await, (job, 40, 30));
}

pub(crate) async fn a_complete_catch_up_is_over<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    publish(store, &mut Outbox::new(HILL), 40).await;
    join(store, pair(HILL, WARD)).await;
    let (job, ..) = catch_up(store, WARD).await;
    store.append(&catch_up_move(job, 30, false)).await.unwrap();
    store.append(&catch_up_move(job, 20, true)).await.unwrap();
    assert_eq!(
        catch_up(store, WARD).await,
        (job, 40, 30),
        "it would have gone back"
    );
    store.append(&catch_up_move(job, 40, true)).await.unwrap();
    assert!(jobs(store, WARD).await.is_empty());
    store.append(&catch_up_move(job, 40, true)).await.unwrap();
    store.append(&catch_up_move(job, 41, false)).await.unwrap();
    assert!(jobs(store, WARD).await.is_empty(), "what is over stays over");

    // One with nothing to send, and a job that is no catch-up.
    join(store, pair(VALE, WARD)).await;
    let (empty, upto, _) = catch_up(store, WARD).await;
    assert_eq!(upto, 0);
    store.append(&catch_up_move(empty, 0, true)).await.unwrap();
    let withdrawal = part(store, pair(VALE, WARD)).await;
    store.append(&catch_up_move(withdrawal, 0, true)).await.unwrap();
    assert_eq!(jobs(store, WARD).await[0].id, withdrawal);
}

pub(crate) async fn a_reach_goes_forward_only<B: Backend>() {
    let ours = pair(HILL, WARD);
    let (backend, grant): (B, GrantId) = joined(ours).await;
    let store = backend.store();
    let theirs = join(store, pair(HILL, VALE)).await;
    let (job, ..) = catch_up(store, WARD).await;
    let reach_from = |from, job, upto| ReachMove {
        grant,
        job,
        from,
        upto,
    };
    let reach = |job, upto| reach_from(0, job, upto);
    let streams = [None, Some(job)];
    let reaches = streams.map(|job| reach(job, 0));
    assert_eq!(store.reaches(ods(WARD)).await.unwrap(), reaches);
    let of_others = store.reaches(ods(VALE)).await.unwrap();
    assert!(
        of_others
            .iter()
            .all(|reach| (reach.grant, reach.upto) == (theirs, 0))
    );
    for (live, behind, stands) in [
        (10, 5, (10, 5)),
        (9, 6, (10, 6)),
        (70, 6, (70, 6)),
        (0, 0, (70, 6)),
    ] {
        let moved = AppendGroup {
            reaches: vec![
                reach(None, live),
                reach(Some(job), behind),
                reach(Some(JobId(999)), 1_000),
            ],
            ..group(Vec::new())
        };
        store.append(&moved).await.unwrap();
        let reaches = [reach(None, stands.0), reach(Some(job), stands.1)];
        assert_eq!(store.reaches(ods(WARD)).await.unwrap(), reaches);
    }
    assert_eq!(store.reaches(ods(VALE)).await.unwrap(), of_others);
    // A later subscription begins where it begins.
    for from in [40, 7] {
        let moved = AppendGroup {
            reaches: vec![reach_from(from, Some(job), 3)],
            ..group(Vec::new())
        };
        store.append(&moved).await.unwrap();
        assert_eq!(
            store.reaches(ods(WARD)).await.unwrap()[1],
            reach_from(from, Some(job), 6)
        );
    }
    let backend = backend.reopen().await;
    let reaches = [reach(None, 70), reach_from(7, Some(job), 6)];
    assert_eq!(backend.store().reaches(ods(WARD)).await.unwrap(), reaches);
}

pub(crate) async fn a_receipt_goes_forward_only<B: Backend>() {
    let backend: B = with_units().await;
    let store = backend.store();
    assert_eq!(hello(store, WARD, 1, 0, 0).await.session, 1);
    store.append(&receipt(1, 5)).await.unwrap();
    store.append(&receipt(1, 3)).await.unwrap();
    // A session that was never opened, and a recipient that has no inbox.
    store.append(&receipt(2, 100)).await.unwrap();
    let mut none = receipt(1, 1);
    none.receipts[0].recipient = ods(VALE);
    store.append(&none).await.unwrap();
    assert!(!hello(store, WARD, 1, 1, 4).await.accepted, "5 was receipted");
    assert_eq!(hello(store, WARD, 1, 1, 5).await.session, 2);
    store.append(&receipt(2, 1)).await.unwrap();
    store.append(&receipt(1, 90)).await.unwrap();
    assert!(
        !hello(store, WARD, 1, 1, 90).await.accepted,
        "a message of session 2 was receipted"
    );
    assert!(hello(store, WARD, 1, 2, 1).await.accepted);
}

pub(crate) async fn many_moves_go_in_one_group<B: Backend>() {
    const UNITS: usize = 40;
    let backend: B = with_units().await;
    let store = backend.store();
    let mut hill = Outbox::new(HILL);
    publish(store, &mut hill, 20).await;
    let mut moves = group(vec![hill.batch(1, 10)]);
    let codes: Vec<String> = (0..UNITS).map(|n| format!("Y{n:05}")).collect();
    for code in &codes {
        register(store, code).await.unwrap();
        let pair = pair(HILL, code);
        let grant = join(store, pair).await;
        let (job, ..) = catch_up(store, code).await;
        assert_eq!(hello(store, code, 1, 0, 0).await.session, 1);
        let (again, ..) = catch_up(store, code).await;
        assert_ne!(job, again, "a new inbox has a new catch-up");
        moves.cursors.push(CursorMove { pair, grant, seq: 21 });
        let complete = code.ends_with('0');
        moves.catch_ups.push(CatchUpMove {
            job: again,
            through: 20,
            complete,
        });
        moves.receipts.push(RecipientReceipt {
            recipient: ods(code),
            session: 1,
            durable: 9,
        });
    }
    store.append(&moves).await.unwrap();
    assert_eq!(head(store, HILL).await, 21);
    for code in &codes {
        assert_eq!(cursor(store, pair(HILL, code)).await, Some(21));
        assert_eq!(jobs(store, code).await.is_empty(), code.ends_with('0'));
        assert!(!hello(store, code, 1, 1, 8).await.accepted);
    }
}
