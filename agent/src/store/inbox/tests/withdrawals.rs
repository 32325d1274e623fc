//! Withdrawals in the inbox, on a real file.

use handfast_proto::amendment::Op::{Create, Remove};

use super::support::*;
use crate::store::inbox::{ChangeOp, Confirmation, Current, Progress, testing::*};

#[tokio::test]
async fn a_withdrawal_leaves_no_payload_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let secret = "an allergy that must not stay ".repeat(400);
    let messages = vec![
        live(
            A,
            1,
            &[
                (1, Create, "Patient/1", "p"),
                (2, Create, "AllergyIntolerance/1", &secret),
            ],
        ),
        live(B, 2, &[(1, Create, "Patient/1", "stays")]),
    ];
    inbox.apply(&group(1, 2, messages)).await.unwrap();
    assert!(holds(folder.path(), "an allergy that must not stay"));
    inbox.apply(&group(1, 4, vec![withdraw(A, 77, 1)])).await.unwrap();
    assert!(
        inbox.confirmations(false).await.unwrap().list.is_empty(),
        "the output has not carried it out"
    );
    let changes = inbox.pending(2).await.unwrap();
    let order: Vec<_> = changes
        .iter()
        .map(|c| (c.op, c.record.as_str(), &c.current))
        .collect();
    assert_eq!(order[1].0, ChangeOp::Withdraw);
    assert_eq!(
        order[2],
        (ChangeOp::Withdraw, "Patient/1", &Current::Gone),
        "patients go last"
    );
    let progress = Progress {
        position: inbox.last_change(),
        ..Progress::default()
    };
    inbox.commit_output("out", &progress).await.unwrap();
    let expected = Confirmation {
        job: 77,
        removed: 2,
        not_removed: 0,
    };
    assert_eq!(inbox.confirmations(false).await.unwrap().list, [expected]);
    assert!(!holds(folder.path(), "an allergy that must not stay"));
    inbox.confirmed(&[77]).await.unwrap();
    assert!(inbox.confirmations(false).await.unwrap().list.is_empty());
    assert_eq!(inbox.confirmations(true).await.unwrap().list, [expected]);
    assert_eq!(content(&inbox, B, "Patient/1").await.as_deref(), Some("stays"));
}

#[tokio::test]
async fn a_withdrawal_overtakes_what_no_output_has_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_with_output(folder.path(), "directory").await;
    let messages = vec![
        live(
            A,
            1,
            &[(1, Create, "Patient/1", "p"), (2, Create, "Observation/1", "o")],
        ),
        live(B, 2, &[(1, Create, "Patient/1", "stays")]),
    ];
    inbox.apply(&group(1, 2, messages)).await.unwrap();
    inbox.apply(&group(1, 4, vec![withdraw(A, 77, 1)])).await.unwrap();
    let ops: Vec<ChangeOp> = lines(&inbox).await.into_iter().map(|line| line.1).collect();
    assert_eq!(
        ops,
        [ChangeOp::Create, ChangeOp::Withdraw, ChangeOp::Withdraw],
        "only the other source's is still to come"
    );
}

fn holds(folder: &std::path::Path, needle: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
    })
}

/// Fails where a confirmation does not look at how far the outputs are: what went before by the live feed is still
/// there.
#[tokio::test]
async fn a_withdrawal_that_finds_nothing_waits_for_what_outputs_are_behind_with() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![live(A, 1, &[(1, Create, "Observation/1", "o")])];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    carry_out(&inbox).await;
    let messages = vec![
        live(A, 1, &[(2, Remove, "Observation/1", "")]),
        fenced(A, 1),
        withdraw(A, 7, 1),
    ];
    inbox.apply(&group(1, 2, messages)).await.unwrap();
    assert!(held(&inbox, A).await.is_empty());
    assert!(
        confirmable(&inbox).await.is_empty(),
        "the output has not removed it"
    );
    carry_out(&inbox).await;
    assert_eq!(confirmable(&inbox).await, [(7, 0, 0)]);
}
