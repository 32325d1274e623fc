//! What the tests of the inbox share.

use crate::store::inbox::{ChangeOp, Confirmation, Inbox, Progress, testing::*};

pub(super) const A: &str = "Z00101";
pub(super) const B: &str = "Z00102";

pub(super) async fn lines(inbox: &Inbox) -> Vec<(u64, ChangeOp, String, u64)> {
    inbox
        .pending(0)
        .await
        .unwrap()
        .into_iter()
        .map(|c| (c.seq, c.op, c.record.to_string(), c.version))
        .collect()
}

pub(super) async fn content(inbox: &Inbox, source: &str, record: &str) -> Option<String> {
    let held = inbox.held(ods(source), &record.parse().unwrap()).await.unwrap()?;
    Some(String::from_utf8(held.payload.to_vec()).unwrap())
}

/// What is held of a source, in order.
pub(super) async fn held(inbox: &Inbox, source: &str) -> Vec<String> {
    let (_, heads) = inbox.held_page(ods(source), "", 1000).await.unwrap();
    heads.iter().map(|h| h.record.to_string()).collect()
}

/// The output carries out everything.
pub(super) async fn carry_out(inbox: &Inbox) {
    let progress = Progress {
        position: inbox.last_change(),
        ..Progress::default()
    };
    inbox.commit_output("out", &progress).await.unwrap();
}

/// An inbox of which the output has nothing to compare any more.
pub(super) async fn open_in_step(folder: &std::path::Path) -> Inbox {
    let inbox = open_with_output(folder, "directory").await;
    carry_out(&inbox).await;
    inbox
}

/// What may be confirmed: job, removed, not removed.
pub(super) async fn confirmable(inbox: &Inbox) -> Vec<(u64, u64, u64)> {
    let list = inbox.confirmations(false).await.unwrap().list;
    let of = |c: &Confirmation| (c.job, c.removed, c.not_removed);
    list.iter().map(of).collect()
}
