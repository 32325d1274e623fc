//! Tells the daemon what became of withdrawals and dead letters: all of it on each new connection, since
//! nothing says whether the last report arrived, and then what changes. A repeat is harmless there.

use std::{collections::HashMap, time::Duration};

use handfast_proto::{
    limits::MAX_TEXT_CHARS,
    v1::{DeadLetter, WithdrawalConfirmed, subscribe_request::Message},
};
use tokio::time::sleep;

use super::outbound::Outbound;
use crate::store::inbox::{Confirmation, Inbox, InboxError, Letter, LetterState};

/// Reports go no more often than this.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// While the disk is full, reports are tried again this often.
const FULL_DISK_INTERVAL: Duration = Duration::from_secs(1);

/// What may be confirmed later, because something is purged first, is looked for again after this.
const AGAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Which letters the daemon was told of on this connection, and how they stood.
type Told = HashMap<i64, (LetterState, String)>;

/// Reports until the stream has ended. Returns only an error of the inbox; a full disk is waited out.
pub(super) async fn report(inbox: &Inbox, outbound: &Outbound) -> Result<(), InboxError> {
    let mut progress = inbox.progress();
    let mut news = inbox.changes();
    let mut told = Told::new();
    let mut first = true;
    loop {
        progress.mark_unchanged();
        news.mark_unchanged();
        let again = match report_once(inbox, outbound, first, &mut told).await {
            Ok(Some(again)) => {
                first = false;
                again
            }
            Ok(None) => return Ok(()),
            Err(error) if error.is_disk_full() => {
                sleep(FULL_DISK_INTERVAL).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        sleep(REPORT_INTERVAL).await;
        tokio::select! {
            _ = progress.changed() => {}
            _ = news.changed() => {}
            () = sleep(AGAIN_INTERVAL), if again => {}
        }
    }
}

/// Reports what has changed; at first also what was reported on earlier connections. Says whether there will be
/// more to confirm by and by; `None` where the stream has ended.
async fn report_once(
    inbox: &Inbox,
    outbound: &Outbound,
    first: bool,
    told: &mut Told,
) -> Result<Option<bool>, InboxError> {
    if first {
        inbox.forget_old_letters().await?;
    }
    let mut repeat = first;
    let later = loop {
        let confirmations = inbox.confirmations(repeat).await?;
        for confirmation in &confirmations.list {
            if !outbound.report(confirmed(*confirmation)).await {
                return Ok(None);
            }
        }
        let jobs: Vec<u64> = confirmations.list.iter().map(|c| c.job).collect();
        if !jobs.is_empty() {
            inbox.confirmed(&jobs).await?;
        }
        if !repeat && !confirmations.more {
            break confirmations.later;
        }
        repeat = false;
    };
    for letter in inbox.letters(true).await? {
        let state = (letter.state, letter.reason.clone());
        if told.get(&letter.id) != Some(&state) {
            if !outbound.report(dead_letter(&letter)).await {
                return Ok(None);
            }
            told.insert(letter.id, state);
        }
    }
    Ok(Some(later))
}

fn confirmed(confirmation: Confirmation) -> Message {
    Message::WithdrawalConfirmed(WithdrawalConfirmed {
        job: confirmation.job,
        removed: confirmation.removed,
        not_removed: confirmation.not_removed,
    })
}

fn dead_letter(letter: &Letter) -> Message {
    Message::DeadLetter(DeadLetter {
        source: letter.source.clone(),
        seq: letter.seq,
        record: letter.record.clone(),
        reason: letter.reason.chars().take(MAX_TEXT_CHARS).collect(),
        resolved: matches!(letter.state, LetterState::Resolved | LetterState::Discarded),
    })
}
