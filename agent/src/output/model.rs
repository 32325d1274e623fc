//! What an output is to the rest of the agent.

use std::{io, time::Duration};

use handfast_proto::ids::OdsCode;

use crate::store::inbox::{About, Change, InboxError, OutputRow, Progress};

/// Why an output has stopped for now. It goes on by itself; nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What happened, to what, and what to do. Names no clinical content.
    pub why: String,
    /// Not to be tried again before this has passed.
    pub retry_after: Option<Duration>,
    /// There is no room where it writes.
    pub disk_full: bool,
}

/// What came of one step of an output.
#[derive(Debug, Default)]
pub struct Step {
    /// What was carried out and is to be entered in the inbox; `None` = nothing.
    pub progress: Option<Progress>,
    /// Why it cannot go on at once.
    pub pause: Option<Pause>,
}

/// A connector that keeps something in step with what the inbox holds. Everything it does must be safe to
/// do again: a crash may come between any effect and its entry in the inbox.
#[async_trait::async_trait]
pub trait Output: Send {
    /// Brings what was written into step with the inbox's entry. Called first, and again after a pause.
    async fn start(&mut self, row: &OutputRow) -> Result<(), Pause>;

    /// Tells clinicians how this unit stands with sources, before anything that it is about is carried out.
    /// Returns those of which it was told; the others are given again by and by. What cannot be told must
    /// not hold up records, but for what concerns both.
    ///
    /// Not cancellation-safe: after a drop `start` must come first.
    async fn tell(&mut self, abouts: &[About]) -> Result<Vec<OdsCode>, Pause>;

    /// How much time may pass before a newer `as_of` is told where nothing else changed.
    fn as_of_step(&self) -> Duration;

    /// Carries out changes in their order, or as many of the first as it can.
    ///
    /// Not cancellation-safe: after a drop `start` must come first.
    async fn apply(&mut self, group: Vec<Change>) -> Step;

    /// Called when nothing is pending, `position` being the last change carried out. A step with progress
    /// says that there is more to do.
    ///
    /// Not cancellation-safe: after a drop `start` must come first.
    async fn idle(&mut self, position: u64) -> Step;
}

impl Pause {
    /// For a reason in words.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            retry_after: None,
            disk_full: false,
        }
    }

    /// For a fault of the file system.
    pub fn io(what: &str, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let why = if full {
            format!("there is no room to {what}; make room, it goes on by itself")
        } else {
            format!("cannot {what}: {error}; it is tried again by itself")
        };
        Self {
            why,
            retry_after: None,
            disk_full: full,
        }
    }
}

impl From<InboxError> for Pause {
    fn from(error: InboxError) -> Self {
        Self {
            why: error.to_string(),
            retry_after: None,
            disk_full: error.is_disk_full(),
        }
    }
}

impl Step {
    /// Nothing was done, nothing is wrong.
    pub fn nothing() -> Self {
        Self::default()
    }
}

impl From<Pause> for Step {
    fn from(pause: Pause) -> Self {
        Self {
            progress: None,
            pause: Some(pause),
        }
    }
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        Self {
            progress: Some(progress),
            pause: None,
        }
    }
}
