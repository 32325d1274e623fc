//! Keeps words about another unit's Patient with the number that the Patient's source relies on: should the source
//! find that the number was another one, a permit must not stand for whoever has the old one.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{copies::numbers, take::looked_at};
use crate::store::{
    inbox::{CopyOf, Inbox, InboxError},
    outbox::{CopysWord, Outbox, OutboxError},
};

/// How often it is looked whether something was received.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Patients asked for at once.
const ASKED_AT_ONCE: usize = 500;

/// Why it could not be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Inbox(#[from] InboxError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Follows for ever. A fault is no reason to end: it is tried again, and the writers meet it.
pub async fn follow_copies(inbox: Inbox, outbox: Arc<Outbox>) {
    let mut followed = None;
    loop {
        let newest = inbox.last_change();
        if followed != Some(newest) {
            match follow(&inbox, &outbox).await {
                Ok(()) => followed = Some(newest),
                Err(error) => {
                    tracing::debug!(%error, "the numbers of received patients could not be followed; it is tried again");
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Compares once. One who is not held any more, or whom several sources name under several numbers, stays as they are.
pub(super) async fn follow(inbox: &Inbox, outbox: &Outbox) -> Result<(), FollowError> {
    let words = outbox.copys_words().await?;
    for some in words.chunks(ASKED_AT_ONCE) {
        let asked: Vec<CopyOf> = some.iter().map(|word| looked_at(&word.patient)).collect();
        let found = inbox.copies(&asked).await?;
        for (CopysWord { record, number, .. }, held) in some.iter().zip(&found) {
            if let [now] = numbers(held).as_slice()
                && now != number
            {
                outbox.follow_copy(record.clone(), *now).await?;
            }
        }
    }
    Ok(())
}
