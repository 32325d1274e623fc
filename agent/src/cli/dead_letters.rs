//! `handfast-agent dead-letters`: works on the inbox itself, whether the agent runs or not.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};

use super::{
    args::{DeadLettersCommand, Format, OutputFormat},
    page::{self, moment},
};
use crate::{
    app::INBOX_FILE,
    clock::SystemClock,
    store::inbox::{Inbox, InboxLimits, Letter, LetterState},
};

/// Characters of a reason.
const MAX_REASON_CHARS: usize = 200;

pub(super) async fn act(command: DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { state, all, format } => {
            let letters = open(&state.state_dir).await?.letters(all).await?;
            list(&letters, &format)
        }
        DeadLettersCommand::Show { state, id, format } => {
            let letter = open(&state.state_dir).await?.letter(id).await?;
            show(&letter.with_context(|| none(id))?, &format)
        }
        DeadLettersCommand::Retry { state, ids, all } => {
            let inbox = open(&state.state_dir).await?;
            let ids = if all {
                inbox.letters(false).await?.iter().map(|l| l.id).collect()
            } else {
                ids
            };
            retry(&inbox, &ids).await
        }
        DeadLettersCommand::Discard { state, id, reason } => {
            discard(&open(&state.state_dir).await?, id, &reason).await
        }
    }
}

/// The inbox of a state folder.
pub(super) async fn open(state_dir: &Path) -> anyhow::Result<Inbox> {
    let path = state_dir.join(INBOX_FILE);
    if !path.exists() {
        bail!(
            "{} holds no inbox yet: either the agent has never run, or --state-dir names another folder",
            state_dir.display()
        );
    }
    Ok(Inbox::open(&path, Arc::new(SystemClock), InboxLimits::default()).await?)
}

fn none(id: i64) -> String {
    format!("there is no dead letter {id}; see handfast-agent dead-letters list")
}

fn list(letters: &[Letter], format: &Format) -> anyhow::Result<()> {
    if format.output == OutputFormat::Json {
        return page::json(&letters);
    }
    if letters.is_empty() {
        return page::line("No dead letters.");
    }
    let mut table = page::table(&["id", "output", "source", "record", "state", "tries", "reason"]);
    for letter in letters {
        table.add_row([
            letter.id.to_string(),
            letter.output.clone(),
            letter.source.clone(),
            letter.record.clone(),
            state(letter).to_owned(),
            letter.attempts.to_string(),
            letter.reason.clone(),
        ]);
    }
    page::line(table)
}

fn show(letter: &Letter, format: &Format) -> anyhow::Result<()> {
    if format.output == OutputFormat::Json {
        return page::json(letter);
    }
    let mut table = page::table(&["", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("id", letter.id.to_string());
    row("output", letter.output.clone());
    row("source", letter.source.clone());
    row("record", letter.record.clone());
    row("seq", letter.seq.to_string());
    row("state", state(letter).to_owned());
    if let Some(status) = letter.status {
        row("HTTP status", status.to_string());
    }
    row("reason", letter.reason.clone());
    row("tries", letter.attempts.to_string());
    row("last tried", moment(letter.at));
    if let Some(closed) = letter.closed_at {
        row("closed", moment(closed));
    }
    page::line(table)
}

fn state(letter: &Letter) -> &'static str {
    match letter.state {
        LetterState::Waiting => "waiting, tried again by itself",
        LetterState::Refused if letter.retry_requested => "refused, to be tried again",
        LetterState::Refused => "refused",
        LetterState::Resolved => "resolved",
        LetterState::Discarded => "discarded",
    }
}

async fn retry(inbox: &Inbox, ids: &[i64]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for id in ids {
        if !inbox.request_retry(*id).await? {
            missing.push(id.to_string());
        }
    }
    page::line(format!(
        "{} to be tried again with the version still held, as soon as the agent runs.",
        ids.len() - missing.len()
    ))?;
    if !missing.is_empty() {
        bail!(
            "not open, or not there: {}; see handfast-agent dead-letters list",
            missing.join(", ")
        );
    }
    Ok(())
}

async fn discard(inbox: &Inbox, id: i64, reason: &str) -> anyhow::Result<()> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON_CHARS || reason.chars().any(char::is_control)
    {
        bail!("--reason must be 1 to {MAX_REASON_CHARS} characters on one line");
    }
    if !inbox.discard_letter(id, reason).await? {
        bail!("{}", none(id));
    }
    page::line(format!(
        "Dead letter {id} is discarded. The output goes on without this version."
    ))
}
