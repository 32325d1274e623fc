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

/// Reports until the stream has ended. Returns only an error of the inbox.
pub(super) async fn report(inbox: &Inbox, outbound: &Outbound) -> Result<(), InboxError> {
    let mut progress = inbox.progress();
    let mut news = inbox.changes();
    let mut told: HashMap<i64, (LetterState, String)> = HashMap::new();
    inbox.forget_old_letters().await?;
    let mut first = true;
    loop {
        progress.mark_unchanged();
        news.mark_unchanged();
        let confirmations = inbox.confirmations(first).await?;
        for confirmation in &confirmations {
            if !outbound.report(confirmed(*confirmation)).await {
                return Ok(());
            }
        }
        let jobs: Vec<u64> = confirmations.iter().map(|c| c.job).collect();
        if !jobs.is_empty() {
            inbox.confirmed(&jobs).await?;
        }
        for letter in inbox.letters(true).await? {
            let state = (letter.state, letter.reason.clone());
            if told.get(&letter.id) != Some(&state) {
                if !outbound.report(dead_letter(&letter)).await {
                    return Ok(());
                }
                told.insert(letter.id, state);
            }
        }
        first = false;
        sleep(REPORT_INTERVAL).await;
        tokio::select! {
            _ = progress.changed() => {}
            _ = news.changed() => {}
        }
    }
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
