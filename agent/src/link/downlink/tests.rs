//! The downlink against a daemon of the test's own.

use handfast_proto::{
    amendment::Op::{Amend, Create, Retract},
    v1::{
        CatchUp, DeadLetter, Deliver, DeliverPiece, SubscribeWelcome, Withdraw, WithdrawalConfirmed,
        subscribe_request::Message as Said, subscribe_response::Message as Says,
    },
};

use super::testing::*;
use crate::{
    status::LinkState,
    store::inbox::{
        LetterOp, LetterState, NewLetter, Progress,
        testing::{Line, encoded, ods, open_with_output},
    },
};

#[tokio::test]
async fn what_is_durable_is_in_the_inbox_and_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, hello) = daemon.welcomed(41).await;
    assert_eq!((hello.session, hello.durable, hello.store_id.len()), (0, 0, 16));
    assert_eq!(hello.credit_bytes, 1024 * 1024);
    session
        .say(Says::CatchUp(CatchUp {
            job: 9,
            source: A.to_owned(),
            grant: 1,
            complete: false,
            ..CatchUp::default()
        }))
        .await;
    session
        .say(Says::CatchUp(CatchUp {
            job: 9,
            source: A.to_owned(),
            grant: 1,
            complete: true,
            ..CatchUp::default()
        }))
        .await;
    session
        .say(deliver(
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ))
        .await;
    let last = session
        .say(deliver(1, &[(3, Retract, "Observation/1", "")]))
        .await;
    let receipts = session.durable(last).await;
    assert!(receipts.iter().all(|r| r.arrived >= r.durable), "{receipts:?}");
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    assert_eq!(content(&agent.inbox, "Observation/1").await, None);
    assert_eq!(agent.board.snapshot().downlink.link, LinkState::Connected);
    drop(session);
    let (_session, again) = daemon.welcomed(42).await;
    assert_eq!((again.session, again.durable), (41, last));
    assert_eq!(again.store_id, hello.store_id);
}

#[tokio::test]
async fn a_store_that_is_refused_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let _agent = agent(folder.path(), &daemon).await;
    let (mut session, first) = daemon.session().await;
    session.say(Says::Welcome(SubscribeWelcome::default())).await;
    let (_session, second) = daemon.session().await;
    assert_ne!(first.store_id, second.store_id);
    assert_eq!((second.session, second.durable), (0, 0));
}

fn pieces(lines: &[Line<'_>], piece_bytes: usize) -> Vec<Says> {
    let (header, body) = encoded(lines);
    let mut header = Some(header);
    let mut found = Vec::new();
    for (place, data) in body.chunks(piece_bytes).enumerate() {
        found.push(Says::Piece(DeliverPiece {
            source: A.to_owned(),
            grant: 1,
            job: 0,
            header: header.take().unwrap_or_default(),
            offset: (place * piece_bytes) as u64,
            data: bytes::Bytes::copy_from_slice(data),
        }));
    }
    found
}

#[tokio::test]
async fn a_large_amendment_is_durable_with_its_last_piece_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let large = "x".repeat(3 * 1024 * 1024);
    let mut parts = pieces(&[(1, Create, "DocumentReference/1", &large)], 128 * 1024);
    let last = parts.pop().unwrap();
    for part in parts {
        session.say(part).await;
    }
    // Something between the pieces is committed, but does not count as durable.
    let between = session.say(deliver(2, &[(1, Create, "Patient/9", "p")])).await;
    loop {
        let Some(Said::Receipt(receipt)) = session.hears().await else {
            continue;
        };
        assert!(receipt.durable <= 1, "{receipt:?}");
        if receipt.arrived == between && content(&agent.inbox, "Patient/9").await.is_some() {
            break;
        }
    }
    assert_eq!(content(&agent.inbox, "DocumentReference/1").await, None);
    let number = session.say(last).await;
    session.durable(number).await;
    assert_eq!(
        content(&agent.inbox, "DocumentReference/1").await,
        Some(large.len())
    );
}

#[tokio::test]
async fn pieces_of_an_ended_grant_are_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let large = "x".repeat(300 * 1024);
    let mut parts = pieces(&[(1, Create, "DocumentReference/1", &large)], 128 * 1024);
    let last = parts.pop().unwrap();
    for part in parts {
        session.say(part).await;
    }
    let number = session.say(fenced(1)).await;
    session.durable(number).await;
    session.say(last).await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "DocumentReference/1").await, None);
}

#[tokio::test]
async fn a_message_after_the_fence_ends_the_connection_and_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    session.say(deliver(1, &[(1, Create, "Patient/1", "p")])).await;
    let fence = session.say(fenced(1)).await;
    session.durable(fence).await;
    session
        .say(deliver(1, &[(2, Amend, "Patient/1", "too late")]))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    // The connection is made again, and the grant is still remembered as ended.
    let (mut session, hello) = daemon.welcomed(2).await;
    assert_eq!(hello.durable, fence);
    session
        .say(deliver(1, &[(2, Amend, "Patient/1", "too late")]))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_connection_and_keeps_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let good = session.say(deliver(1, &[(1, Create, "Patient/1", "p")])).await;
    session
        .say(Says::Deliver(Deliver {
            source: A.to_owned(),
            grant: 1,
            job: 0,
            header: bytes::Bytes::from_static(b"\xff\xff"),
            body: bytes::Bytes::new(),
        }))
        .await;
    session.gone().await;
    assert_eq!(content(&agent.inbox, "Patient/1").await, Some(1));
    let (_session, hello) = daemon.welcomed(2).await;
    assert_eq!(hello.durable, good);
}

#[tokio::test]
async fn withdrawals_are_confirmed_and_confirmed_again_on_a_new_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    session
        .say(deliver(
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ))
        .await;
    session.say(fenced(1)).await;
    session
        .say(Says::Withdraw(Withdraw {
            job: 77,
            source: A.to_owned(),
            ended_grant: 1,
            patient: 0,
        }))
        .await;
    let expected = WithdrawalConfirmed {
        job: 77,
        removed: 2,
        not_removed: 0,
    };
    let confirmation = |said: Option<Said>| match said {
        Some(Said::WithdrawalConfirmed(confirmed)) => Some(confirmed),
        _ => None,
    };
    let confirmed = loop {
        if let Some(confirmed) = confirmation(session.hears().await) {
            break confirmed;
        }
    };
    assert_eq!(confirmed, expected);
    assert_eq!(content(&agent.inbox, "Patient/1").await, None);
    drop(session);
    let (mut session, _) = daemon.welcomed(2).await;
    let again = loop {
        if let Some(confirmed) = confirmation(session.hears().await) {
            break confirmed;
        }
    };
    assert_eq!(again, expected);
}

#[tokio::test]
async fn dead_letters_are_reported_and_their_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start().await;
    drop(open_with_output(folder.path(), "fhir").await);
    let agent = agent(folder.path(), &daemon).await;
    let (mut session, _) = daemon.welcomed(1).await;
    let number = session
        .say(deliver(1, &[(7, Create, "Observation/1", "o")]))
        .await;
    session.durable(number).await;
    let letter = NewLetter {
        source: ods(A),
        record: "Observation/1".parse().unwrap(),
        seq: 7,
        job: 0,
        op: LetterOp::Write,
        state: LetterState::Refused,
        status: Some(422),
        reason: "the server refuses it (422)".to_owned(),
        attempts: 1,
        next_at: 0,
    };
    let progress = Progress {
        position: 1,
        letters: vec![letter],
        ..Progress::default()
    };
    agent.inbox.commit_output("out", &progress).await.unwrap();
    let mut expected = DeadLetter {
        source: A.to_owned(),
        seq: 7,
        record: "Observation/1".to_owned(),
        reason: "the server refuses it (422)".to_owned(),
        resolved: false,
    };
    for resolved in [false, true] {
        expected.resolved = resolved;
        let reported = loop {
            if let Some(Said::DeadLetter(reported)) = session.hears().await {
                break reported;
            }
        };
        assert_eq!(reported, expected);
        let done = Progress {
            position: 1,
            written: vec![(ods(A), "Observation/1".parse().unwrap(), 7)],
            ..Progress::default()
        };
        agent.inbox.commit_output("out", &done).await.unwrap();
    }
}
