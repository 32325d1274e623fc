//! Takes one file: its parts into the outbox, each with a mark of how far it has come, then the file to
//! its place.
//!
//! The mark is committed with what was taken, so that a file whose taking was cut off goes on where it
//! was: a record that occurs in it twice is never taken back to its first version.

use std::{io, path::Path, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    folder::{Found, Identity, open},
    place::{self, Notes},
    read::{self, Item, PARTS_AHEAD, Part},
    report::{Faults, Progress},
};
use crate::{
    input::InputContext,
    store::outbox::{Mark, OutboxError, Outcome},
};

/// Why a file stays where it is, for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stay {
    /// The outbox takes nothing.
    #[error("{0}")]
    Outbox(#[from] OutboxError),
    /// The folder or file cannot be used.
    #[error("a file of the input folder cannot be read or moved ({0}); check the folder and its disk")]
    Io(#[from] io::Error),
    /// It was written to again: it is taken anew, and what was taken of it is a repeat then.
    #[error("the file was changed while it was taken")]
    Changed,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl Stay {
    /// Whether the folder's own disk has no room; the outbox tells of its own.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Io(e) if e.kind() == io::ErrorKind::StorageFull)
    }
}

/// Takes files of one folder.
pub(super) struct Taker<'a> {
    pub(super) ctx: &'a InputContext,
    pub(super) folder: &'a Path,
    /// Marks of files that are in their place; forgotten with the next commit.
    pub(super) spent: Vec<String>,
}

/// One file on its way.
struct Taking {
    mark: String,
    /// As it was when the taking began: what lies before it is in the outbox.
    resumed_at: u64,
    progress: Progress,
    faults: Faults,
    /// Faults that the outbox never saw.
    unread: u64,
}

impl Taker<'_> {
    /// Takes a file and puts it in its place.
    pub(super) async fn take(&mut self, file: &Found, stop: &CancellationToken) -> Result<(), Stay> {
        let mark = format!(
            "directory:{}:{}:{}",
            self.ctx.board.name(),
            file.name.to_string_lossy(),
            file.identity.text()
        );
        let before = self.ctx.outbox.mark(&mark).await?;
        let progress: Progress = before
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let mut taking = Taking {
            mark,
            resumed_at: progress.done,
            progress,
            faults: Faults::default(),
            unread: 0,
        };
        if file.regular {
            self.take_parts(file, &mut taking, stop).await?;
        } else {
            taking
                .faults
                .add_line("it is a link or no file at all; only files are taken".to_owned());
        }
        self.put_in_place(file, taking).await
    }

    async fn take_parts(
        &mut self,
        file: &Found,
        taking: &mut Taking,
        stop: &CancellationToken,
    ) -> Result<(), Stay> {
        let (sender, mut parts) = mpsc::channel(PARTS_AHEAD);
        let path = self.folder.join(&file.name);
        let (format, codec) = (file.format, Arc::clone(&self.ctx.codec));
        let open = tokio::task::spawn_blocking(move || open(&path))
            .await
            .map_err(io::Error::other)?;
        let opened = match open {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                taking
                    .faults
                    .add_line("the agent's user may not read it".to_owned());
                return Ok(());
            }
            // Whoever put it there took it back.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Stay::Changed),
            Err(e) => return Err(e.into()),
        };
        if Identity::of(&opened.metadata()?) != file.identity {
            return Err(Stay::Changed);
        }
        tokio::task::spawn_blocking(move || read::read(opened, format, &codec, &sender));
        while let Some(part) = parts.recv().await {
            if stop.is_cancelled() {
                return Err(Stay::Stopping);
            }
            self.take_part(part?, taking).await?;
        }
        Ok(())
    }

    async fn take_part(&mut self, part: Part, taking: &mut Taking) -> Result<(), Stay> {
        let what = if part.entries { "entry" } else { "line" };
        let last = part.items.last().map_or(0, |item| item.number);
        let faulty = part.items.iter().any(|item| item.change.is_err());
        let mut numbers = Vec::with_capacity(part.items.len());
        let mut changes = Vec::with_capacity(part.items.len());
        for Item { number, change } in part.items {
            match change {
                Err(fault) => {
                    taking.faults.add(what, number, &fault.to_string());
                    taking.unread += 1;
                }
                // Of a transaction with a fault nothing is taken.
                Ok(_) if part.together && faulty => {}
                Ok(change) if number > taking.resumed_at => {
                    numbers.push((number, change.record.clone()));
                    changes.push(change);
                }
                Ok(_) => {
                    let refused = taking.progress.refused().iter().find(|(n, _)| *n == number);
                    if let Some((_, why)) = refused {
                        taking.faults.add(what, number, why);
                    }
                }
            }
        }
        if last <= taking.resumed_at {
            return Ok(());
        }
        self.commit(taking, what, last, numbers, changes, part.together)
            .await
    }

    async fn commit(
        &mut self,
        taking: &mut Taking,
        what: &str,
        last: u64,
        numbers: Vec<(u64, handfast_proto::ids::RecordId)>,
        changes: Vec<crate::codec::fhir::Change>,
        together: bool,
    ) -> Result<(), Stay> {
        let mut marks: Vec<Mark> = self
            .spent
            .iter()
            .map(|name| Mark {
                name: name.clone(),
                value: None,
            })
            .collect();
        let mut progress = taking.progress.clone();
        progress.done = last;
        marks.push(taking.mark(&progress));
        let outcomes = self.ctx.take(changes, together, marks).await?;
        self.spent.clear();
        let mut told = false;
        for ((number, record), outcome) in numbers.iter().zip(&outcomes) {
            match outcome {
                Outcome::Older => {
                    progress.add_older(record.as_str());
                    told = true;
                }
                Outcome::Rejected(refusal) => {
                    let why = refusal.to_string();
                    taking.faults.add(what, *number, &why);
                    progress.add_refused(*number, &why);
                    told = true;
                }
                Outcome::Said { note: Some(note), .. } => {
                    progress.add_note(what, *number, &note.to_string());
                    told = true;
                }
                Outcome::Said { note: None, .. }
                | Outcome::Taken { .. }
                | Outcome::Unchanged { .. }
                | Outcome::Waiting(_)
                | Outcome::Echo => {}
            }
        }
        self.count(&outcomes);
        taking.progress = progress;
        if told {
            // What is to be said of it must outlive a restart as well.
            let mark = taking.mark(&taking.progress);
            self.ctx.outbox.take_marked(Vec::new(), false, vec![mark]).await?;
        }
        Ok(())
    }

    fn count(&self, outcomes: &[Outcome]) {
        let mut counts = [0_u64; 6];
        for outcome in outcomes {
            let place = match outcome {
                Outcome::Taken { .. } | Outcome::Said { .. } => 0,
                Outcome::Unchanged { .. } => 1,
                Outcome::Older => 2,
                Outcome::Waiting(_) => 3,
                Outcome::Rejected(_) => 4,
                Outcome::Echo => 5,
            };
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        }
        let names = ["taken", "unchanged", "older", "waiting", "rejected", "echoes"];
        for (name, count) in names.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.ctx.board.count(name, count);
        }
    }

    async fn put_in_place(&mut self, file: &Found, taking: Taking) -> Result<(), Stay> {
        let notes = Notes {
            reason: taking.faults.text(),
            older: taking.progress.older_text(),
            notes: taking.progress.notes_text(),
        };
        let rejected = notes.reason.is_some();
        let (folder, name) = (self.folder.to_owned(), file.name.clone());
        if Identity::of(&std::fs::symlink_metadata(folder.join(&name))?) != file.identity {
            return Err(Stay::Changed);
        }
        let moved = tokio::task::spawn_blocking(move || place::put(&folder, &name, &notes));
        moved.await.map_err(io::Error::other)??;
        self.ctx.outbox.count_rejected(taking.unread);
        self.ctx.board.count("rejected", taking.unread);
        self.spent.push(taking.mark);
        self.ctx
            .board
            .count(if rejected { "files_rejected" } else { "files_done" }, 1);
        tracing::info!(
            input = self.ctx.board.name(),
            bytes = file.identity.size(),
            faults = taking.faults.count(),
            "a file was taken"
        );
        Ok(())
    }
}

impl Taking {
    fn mark(&self, progress: &Progress) -> Mark {
        Mark {
            name: self.mark.clone(),
            value: Some(serde_json::to_string(progress).unwrap_or_default()),
        }
    }
}
