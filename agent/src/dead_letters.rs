//! What `handfast-agent dead-letters` does: looks at and decides about what an output could not carry out.
//! Works on the inbox's file, beside a running agent, which looks for requests once a second.

use std::{path::Path, sync::Arc};

use handfast_proto::limits::MAX_TEXT_CHARS;
use serde::Serialize;

use crate::{
    clock::SystemClock,
    store::inbox::{Inbox, InboxError, InboxLimits, Letter, LetterOp},
};

/// Why a request about dead letters failed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// There is no inbox.
    #[error("there is no inbox at {0}; check --state-dir (the agent makes the inbox when it first runs)")]
    NoInbox(String),
    /// No letter has this number.
    #[error("there is no dead letter {0}; 'handfast-agent dead-letters list' shows those that are open")]
    NotFound(i64),
    /// It is resolved or discarded already.
    #[error("dead letter {0} is closed already; 'handfast-agent dead-letters show {0}' tells how")]
    Closed(i64),
    /// A reason is needed.
    #[error("say why with --reason: 1 to {MAX_TEXT_CHARS} characters, no clinical content")]
    Reason,
    /// The inbox cannot be read or written.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

/// A dead letter, with what stands around it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LetterDetail {
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// The seq of the version that is held now; `None` where the record is not held any more.
    pub held_seq: Option<u64>,
    /// What a retry would do.
    pub retry_would: RetryWould,
}

/// What a retry of a letter would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWould {
    /// Write the version that is held now.
    Write,
    /// Delete the record.
    Delete,
    /// Nothing: the record is not held any more, and the letter is closed.
    Close,
}

/// Open letters, oldest first; with `all` also those closed in the last days.
pub async fn list(state_dir: &Path, all: bool) -> Result<Vec<Letter>, DeadLetterError> {
    Ok(open(state_dir).await?.letters(all).await?)
}

/// One letter.
pub async fn show(state_dir: &Path, id: i64) -> Result<LetterDetail, DeadLetterError> {
    let inbox = open(state_dir).await?;
    let letter = inbox.letter(id).await?.ok_or(DeadLetterError::NotFound(id))?;
    let held = match (letter.source.parse(), letter.record.parse()) {
        (Ok(source), Ok(record)) => inbox.held(source, &record).await?,
        _ => None,
    };
    let retry_would = match (&held, letter.op) {
        (Some(_), _) => RetryWould::Write,
        (None, LetterOp::Delete) => RetryWould::Delete,
        (None, LetterOp::Write) => RetryWould::Close,
    };
    Ok(LetterDetail {
        held_seq: held.map(|h| h.seq),
        letter,
        retry_would,
    })
}

/// Asks the agent to try a letter again, now or when it next runs. Only the version that is still held
/// then is written.
pub async fn request_retry(state_dir: &Path, id: i64) -> Result<Letter, DeadLetterError> {
    let inbox = open(state_dir).await?;
    let asked = inbox.request_retry(id).await?;
    outcome(&inbox, id, asked).await
}

/// Sets a letter aside for good, with a reason. The record's next version is tried as any other.
pub async fn discard(state_dir: &Path, id: i64, reason: &str) -> Result<Letter, DeadLetterError> {
    let reason = reason.trim();
    let fits = !reason.is_empty()
        && reason.chars().count() <= MAX_TEXT_CHARS
        && !reason.chars().any(char::is_control);
    if !fits {
        return Err(DeadLetterError::Reason);
    }
    let inbox = open(state_dir).await?;
    let discarded = inbox.discard_letter(id, reason).await?;
    outcome(&inbox, id, discarded).await
}

async fn outcome(inbox: &Inbox, id: i64, done: bool) -> Result<Letter, DeadLetterError> {
    let letter = inbox.letter(id).await?.ok_or(DeadLetterError::NotFound(id))?;
    if done {
        Ok(letter)
    } else {
        Err(DeadLetterError::Closed(id))
    }
}

/// Never makes an inbox where there is none.
async fn open(state_dir: &Path) -> Result<Inbox, DeadLetterError> {
    let path = state_dir.join("inbox.db");
    if !path.is_file() {
        return Err(DeadLetterError::NoInbox(path.display().to_string()));
    }
    Ok(Inbox::open(&path, Arc::new(SystemClock), InboxLimits::default()).await?)
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::Op::Create;

    use super::*;
    use crate::store::inbox::{LetterState, NewLetter, Progress, testing};

    #[tokio::test]
    async fn letters_are_shown_retried_and_discarded_beside_a_running_agent() {
        let folder = tempfile::tempdir().unwrap();
        let missing = list(folder.path(), false).await;
        assert!(matches!(missing, Err(DeadLetterError::NoInbox(_))));
        let inbox = testing::open_with_output(folder.path(), "fhir").await;
        let lines = [(4, Create, "Observation/1", "o")];
        let contents = vec![testing::live("Z00101", 1, &lines)];
        inbox.apply(&testing::group(1, 2, contents)).await.unwrap();
        let letter = NewLetter {
            source: testing::ods("Z00101"),
            record: "Observation/1".parse().unwrap(),
            seq: 4,
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
        inbox.commit_output("out", &progress).await.unwrap();
        let id = list(folder.path(), false).await.unwrap()[0].id;
        let detail = show(folder.path(), id).await.unwrap();
        assert_eq!(
            (detail.held_seq, detail.retry_would),
            (Some(4), RetryWould::Write)
        );
        assert!(request_retry(folder.path(), id).await.unwrap().retry_requested);
        assert_eq!(inbox.due_letters("out", 5).await.unwrap().len(), 1);
        assert!(matches!(
            discard(folder.path(), id, " ").await,
            Err(DeadLetterError::Reason)
        ));
        let discarded = discard(folder.path(), id, "entered by hand").await.unwrap();
        assert_eq!(discarded.state, LetterState::Discarded);
        assert!(discarded.reason.ends_with("discarded: entered by hand"));
        assert!(matches!(
            request_retry(folder.path(), id).await,
            Err(DeadLetterError::Closed(_))
        ));
        assert!(matches!(
            show(folder.path(), 99).await,
            Err(DeadLetterError::NotFound(99))
        ));
        assert!(list(folder.path(), false).await.unwrap().is_empty());
        assert_eq!(list(folder.path(), true).await.unwrap().len(), 1);
    }
}
