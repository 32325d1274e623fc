//! Removals of what is not held, and an older version that comes after one. The daemon keeps the order of one grant;
//! two grants of a pair go each at its own pace, and a catch-up that was not receipted is sent once more, while the
//! live feed's seqs that are durable here are passed over.
//!
//! Seen to fail: with removals of what is not held passed over, and the third with a later removal of what was removed
//! passed over.

use handfast_proto::amendment::Op::{Amend, Create, Remove, Retract};

use super::support::*;
use crate::store::inbox::{Inbox, Incoming, testing::*};

const G: u64 = 1;
const E: u64 = 2;
const ALLERGY: &str = "AllergyIntolerance/1";

async fn tombstones(inbox: &Inbox) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM tombstone")
        .fetch_one(inbox.readers())
        .await
        .unwrap()
}

/// The agreement's catch-up chose the allergy before it was retracted, and gets to it after the emergency's live feed
/// said so.
#[tokio::test]
async fn what_an_emergencys_feed_said_is_gone_is_not_brought_by_a_catch_up_that_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![
        welcome(true, &[]),
        begins(A, G, 1),
        in_job(A, G, 1, &[(1, Create, "Patient/1", "p")]),
        Incoming::Stands(emergency(A, E, PATIENT)),
        live(A, E, &[(95, Retract, ALLERGY, "")]),
        in_job(A, G, 1, &[(10, Create, ALLERGY, "entered in error")]),
        complete(A, G, 1, 90),
        live(A, G, &[(95, Retract, ALLERGY, "")]),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    let written: Vec<_> = lines(&inbox).await.into_iter().map(|(_, _, r, _)| r).collect();
    assert_eq!(written, ["Patient/1"], "no output ever saw it");
}

/// The daemon lost power before the catch-up's receipt was committed, and its projection with what it held of the
/// retraction.
#[tokio::test]
async fn a_catch_up_that_is_sent_once_more_does_not_bring_what_the_live_feed_said_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![
        welcome(true, &[]),
        begins(A, G, 1),
        complete(A, G, 1, 90),
        live(A, G, &[(95, Retract, ALLERGY, "")]),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    drop(inbox);
    let inbox = open(folder.path()).await;
    let again = vec![
        welcome(false, &[(A, G)]),
        begins(A, G, 1),
        in_job(A, G, 1, &[(10, Create, ALLERGY, "entered in error")]),
        complete(A, G, 1, 90),
        // Durable here: passed over.
        live(A, G, &[(95, Retract, ALLERGY, "")]),
    ];
    inbox.apply(&group(2, 1, again)).await.unwrap();
    assert!(held(&inbox, A).await.is_empty());
    // A newer version is welcome.
    let newer = vec![live(A, G, &[(97, Create, ALLERGY, "again")])];
    inbox.apply(&group(2, 6, newer)).await.unwrap();
    assert_eq!(held(&inbox, A).await, [ALLERGY]);
    assert_eq!(tombstones(&inbox).await, 0);
}

#[tokio::test]
async fn a_later_removal_of_what_was_removed_counts_and_leaves_that_version_to_another_grant() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![
        welcome(true, &[(A, G)]),
        Incoming::Stands(emergency(A, E, PATIENT)),
        live(A, G, &[(1, Create, ALLERGY, "1"), (2, Remove, ALLERGY, "")]),
        live(A, E, &[(6, Remove, ALLERGY, "")]),
        live(A, G, &[(4, Amend, ALLERGY, "4")]),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    assert!(held(&inbox, A).await.is_empty());
    let same = vec![live(A, G, &[(6, Amend, ALLERGY, "6")])];
    inbox.apply(&group(1, 6, same)).await.unwrap();
    assert_eq!(content(&inbox, A, ALLERGY).await.as_deref(), Some("6"));
}

#[tokio::test]
async fn what_is_remembered_of_them_goes_with_its_grant() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    let messages = vec![
        welcome(true, &[(A, G)]),
        live(A, G, &[(1, Retract, ALLERGY, ""), (2, Remove, ALLERGY, "")]),
        live(A, G, &[(3, Retract, "Observation/1", "")]),
    ];
    inbox.apply(&group(1, 1, messages)).await.unwrap();
    assert_eq!(tombstones(&inbox).await, 2, "one a record");
    assert!(lines(&inbox).await.is_empty(), "nothing is told to outputs");
    inbox
        .apply(&group(1, 4, vec![fenced(A, G), withdraw(A, 7, G)]))
        .await
        .unwrap();
    assert_eq!(tombstones(&inbox).await, 0);
    assert_eq!(confirmable(&inbox).await, [(7, 0, 0)]);
}
