//! Carries out changes on the file system: files first, then lines. Blocking; runs on a blocking thread.
//!
//! Order and crash points: files durable → lines durable → position in the inbox. A crash between the
//! first two repeats the files; one between the last two finds the lines in the file when it starts and
//! writes none of them again.

use std::{io, path::Path};

use handfast_proto::ids::OdsCode;

use super::{
    about::AboutPages,
    journal::{Journal, Line, Mark, rfc3339},
    known::{Action, Known},
    tree::{Effect, Tree},
};
use crate::store::inbox::{Change, ChangeOp, Current};

/// The open folder.
pub(super) struct Folder {
    pub(super) tree: Tree,
    pub(super) journal: Journal,
    pub(super) about: AboutPages,
    /// Up to this change the lines are in the file already.
    pub(super) written_through: u64,
    /// While everything is being compared.
    pub(super) known: Option<Known>,
}

impl Folder {
    /// Opens the folder. True with it where `current/` was not there.
    pub(super) fn open(path: &Path) -> io::Result<(Self, bool)> {
        std::fs::create_dir_all(path)?;
        let tree = Tree::new(path.join("current"));
        let fresh = tree.make()?;
        let folder = Self {
            tree,
            journal: Journal::open(&path.join("changes.ndjson"))?,
            about: AboutPages::new(path.join("about")),
            written_through: 0,
            known: None,
        };
        Ok((folder, fresh))
    }

    /// Reads the whole file, to compare everything with it. Gives the sources that were ever written of here.
    pub(super) fn begin_comparing(&mut self) -> io::Result<Vec<OdsCode>> {
        let mut known = Known::default();
        let odd = self.journal.scan(|line| known.note(&line))?;
        if odd > 0 {
            tracing::warn!(
                lines = odd,
                "changes.ndjson has lines that cannot be read; they are passed over"
            );
        }
        self.known = Some(known);
        let mut sources = self.about.sources()?;
        sources.extend(self.tree.sources()?);
        Ok(sources)
    }

    /// Carries out a group.
    pub(super) fn apply(&mut self, group: &[Change]) -> io::Result<()> {
        let mut effects = Vec::new();
        let mut lines = Vec::new();
        for change in group {
            let action = match &self.known {
                Some(known) => known.judge(change),
                None if change.number <= self.written_through => Action::File,
                None => Action::Line(change.seq, change.op),
            };
            if let Action::Line(seq, op) = action {
                let line = line_of(change, seq, op);
                // Later changes of the group are judged by this one.
                if let Some(known) = &mut self.known {
                    known.note(&line);
                }
                lines.push(line);
            }
            if action != Action::Leave {
                effects.extend(effect_of(change));
            }
        }
        self.carry_out(&effects, &lines)
    }

    /// Files, then lines.
    pub(super) fn carry_out(&mut self, effects: &[Effect], lines: &[Line]) -> io::Result<()> {
        self.tree.apply(effects)?;
        self.journal.append(lines)?;
        if let Some(known) = &mut self.known {
            lines.iter().for_each(|line| known.note(line));
        }
        Ok(())
    }

    /// The mark as the inbox keeps it.
    pub(super) fn mark(&self) -> Option<String> {
        serde_json::to_string(&self.journal.mark()).ok()
    }

    /// The lines after a mark that the inbox kept. `None` where the folder is not of the inbox's age.
    pub(super) fn after(&mut self, mark: Option<&str>, max: usize) -> io::Result<Option<Vec<Line>>> {
        let mark: Option<Mark> = mark.and_then(|text| serde_json::from_str(text).ok());
        match mark {
            Some(mark) => self.journal.after(&mark, max),
            None => Ok(None),
        }
    }
}

fn effect_of(change: &Change) -> Option<Effect> {
    let content = match &change.current {
        Current::Held(held) => Some(held.payload.clone()),
        Current::Gone => None,
        Current::Later => return None,
    };
    Some(Effect {
        source: change.source,
        record: change.record.clone(),
        content,
    })
}

fn line_of(change: &Change, seq: u64, op: ChangeOp) -> Line {
    Line {
        source: change.source.to_string(),
        seq,
        op,
        record: change.record.to_string(),
        version: change.version,
        applied_at: rfc3339(change.applied_at),
    }
}

/// Whether a line is the one that a change makes.
pub(super) fn is_line_of(line: &Line, change: &Change) -> bool {
    line.source == change.source.as_str()
        && line.record == change.record.as_str()
        && line.seq == change.seq
        && line.op == change.op
}
