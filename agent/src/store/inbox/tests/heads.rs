//! The head of the audit log that is kept, and its alarm.

use super::support::*;
use crate::store::inbox::{HeadStanding, KeptHead, testing::NOON};

fn head(size: u64) -> KeptHead {
    KeptHead {
        size,
        root: [7; 32],
        signed_at: NOON,
        signature: [8; 64],
        public_key: [9; 32],
    }
}

#[tokio::test]
async fn a_head_is_kept_and_an_alarm_stays_until_it_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open_in_step(folder.path()).await;
    assert_eq!(inbox.head_standing().await.unwrap(), HeadStanding::default());
    assert_eq!(inbox.clear_alarm().await.unwrap(), None);
    inbox.keep_head(&head(3)).await.unwrap();
    inbox.keep_head(&head(5)).await.unwrap();
    assert_eq!(inbox.kept_head().await.unwrap(), Some(head(5)));
    assert!(inbox.raise_alarm("entries are gone", vec![1]).await.unwrap());
    assert!(!inbox.raise_alarm("and again", vec![2]).await.unwrap());
    drop(inbox);
    let inbox = crate::store::inbox::testing::open(folder.path()).await;
    let standing = inbox.summary().await.unwrap().audit_log;
    assert_eq!((standing.size, standing.signed_at), (5, Some(NOON)));
    let alarm = standing.alarm.unwrap();
    assert_eq!(
        (alarm.why.as_str(), alarm.heads, alarm.at),
        ("entries are gone", 2, NOON)
    );
    assert_eq!(inbox.clear_alarm().await.unwrap(), Some(alarm));
    assert_eq!(inbox.head_standing().await.unwrap(), HeadStanding::default());
    assert_eq!(
        inbox.kept_head().await.unwrap(),
        None,
        "the next head is taken as the first"
    );
}
