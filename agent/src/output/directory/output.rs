//! The output: runs the blocking work, and finds out at the start whether folder and inbox are of one age.

use std::{path::PathBuf, time::Duration};

use handfast_proto::ids::OdsCode;

use super::{
    effect::{Folder, is_line_of},
    sweep::Sweep,
};
use crate::{
    output::{Output, Pause, Step},
    store::inbox::{About, Change, Inbox, OutputRow, Progress},
};

/// Lines behind the inbox's mark that a crash can leave: a group's, and some to spare.
const MAX_TAIL_LINES: usize = 4096;

/// How old `as_of` may be in `about/` while nothing else changes.
const AS_OF_STEP: Duration = Duration::from_secs(60);

/// Keeps a folder in step with the inbox.
pub struct DirectoryOutput {
    name: String,
    path: PathBuf,
    inbox: Inbox,
    folder: Option<Folder>,
    sweep: Option<Sweep>,
}

impl DirectoryOutput {
    /// An output of this name, as the inbox knows it, into the folder `path`.
    pub fn new(name: impl Into<String>, path: PathBuf, inbox: Inbox) -> Self {
        Self {
            name: name.into(),
            path,
            inbox,
            folder: None,
            sweep: None,
        }
    }

    /// Does blocking work with the folder. Without it again if the work is dropped or fails.
    async fn with_folder<T: Send + 'static>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Folder) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Pause> {
        let Some(mut folder) = self.folder.take() else {
            return Err(Pause::because("the folder is opened again"));
        };
        let joined = tokio::task::spawn_blocking(move || {
            let result = work(&mut folder);
            (folder, result)
        });
        let (folder, result) = joined.await.map_err(|_| {
            Pause::because(format!(
                "cannot {what}: the work failed; it is tried again by itself"
            ))
        })?;
        let done = result.map_err(|e| Pause::io(&format!("{what} in {}", self.path.display()), &e))?;
        self.folder = Some(folder);
        Ok(done)
    }

    fn progress(&self, position: u64) -> Progress {
        Progress {
            position,
            mark: self.folder.as_ref().and_then(Folder::mark),
            resync: self.sweep.is_some(),
            ..Progress::default()
        }
    }

    /// Whether the lines behind the mark are those of the changes behind the position: then up to which
    /// change they are written. `None` where folder and inbox are not of one age.
    async fn written_through(&mut self, row: &OutputRow) -> Result<Option<u64>, Pause> {
        let mark = row.mark.clone();
        let tail = self
            .with_folder("read changes.ndjson", move |folder| {
                folder.after(mark.as_deref(), MAX_TAIL_LINES)
            })
            .await?;
        let Some(tail) = tail else { return Ok(None) };
        let mut position = row.position;
        let mut rest = tail.as_slice();
        while !rest.is_empty() {
            let changes = self.inbox.pending(position).await?;
            if changes.is_empty() {
                return Ok(None);
            }
            for (line, change) in rest.iter().zip(&changes) {
                if !is_line_of(line, change) {
                    return Ok(None);
                }
                position = change.number;
            }
            rest = rest.get(changes.len()..).unwrap_or_default();
        }
        Ok(Some(position))
    }

    async fn begin(&mut self, row: &OutputRow) -> Result<(), Pause> {
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || Folder::open(&path))
            .await
            .map_err(|_| Pause::because("cannot open the output folder; it is tried again by itself"))?;
        let (folder, fresh) = opened.map_err(|e| Pause::io(&format!("open {}", self.path.display()), &e))?;
        let lost = fresh && row.mark.is_some();
        self.folder = Some(folder);
        let in_step = match row.resync || lost {
            true => None,
            false => self.written_through(row).await?,
        };
        if let Some(through) = in_step {
            if let Some(folder) = &mut self.folder {
                folder.written_through = through;
            }
            self.sweep = None;
            return Ok(());
        }
        tracing::info!(output = self.name, "comparing the folder with all that is held");
        let sources = self
            .with_folder("read changes.ndjson", Folder::begin_comparing)
            .await?;
        self.inbox.note_sources(&sources, false).await?;
        self.sweep = Some(Sweep::default());
        // Durable before anything else: no withdrawal is confirmed until the comparison is done.
        let progress = self.progress(row.position);
        self.inbox.commit_output(&self.name, &progress).await?;
        Ok(())
    }

    async fn carry_out(&mut self, group: Vec<Change>) -> Result<Progress, Pause> {
        let position = group.last().map_or(0, |c| c.number);
        self.with_folder("write", move |folder| folder.apply(&group))
            .await?;
        Ok(self.progress(position))
    }

    async fn compare(&mut self, position: u64) -> Result<Option<Progress>, Pause> {
        let Some(mut sweep) = self.sweep.take() else {
            return Ok(None);
        };
        let Some(work) = sweep.next(&self.inbox, position).await? else {
            self.sweep = Some(sweep);
            return Ok(None);
        };
        // Told before any of it is taken away, in a later step.
        let untold = sweep.put_back_untold(&work);
        if !untold.is_empty() {
            self.inbox.note_sources(&untold, true).await?;
            self.sweep = Some(sweep);
            return Ok(Some(self.progress(position)));
        }
        let done = work.is_last();
        self.with_folder("compare", move |folder| work.carry_out(folder))
            .await?;
        if !done {
            self.sweep = Some(sweep);
            return Ok(Some(self.progress(position)));
        }
        if let Some(folder) = &mut self.folder {
            folder.known = None;
        }
        tracing::info!(output = self.name, "the folder is in step with all that is held");
        Ok(Some(self.progress(position)))
    }
}

#[async_trait::async_trait]
impl Output for DirectoryOutput {
    async fn start(&mut self, row: &OutputRow) -> Result<(), Pause> {
        self.begin(row).await
    }

    async fn tell(&mut self, abouts: &[About]) -> Result<Vec<OdsCode>, Pause> {
        let pages = abouts.to_vec();
        self.with_folder("write about/", move |folder| folder.about.write(&pages))
            .await?;
        Ok(abouts.iter().map(|about| about.source).collect())
    }

    fn as_of_step(&self) -> Duration {
        AS_OF_STEP
    }

    async fn apply(&mut self, group: Vec<Change>) -> Step {
        match self.carry_out(group).await {
            Ok(progress) => progress.into(),
            Err(pause) => pause.into(),
        }
    }

    async fn idle(&mut self, position: u64) -> Step {
        match self.compare(position).await {
            Ok(Some(progress)) => progress.into(),
            Ok(None) => Step::nothing(),
            Err(pause) => pause.into(),
        }
    }
}
