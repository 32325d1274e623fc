//! What a file's taking leaves for people: faults by line, and resources set aside as older. No content:
//! line numbers, record ids and reasons.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Faults and older records that are named; the others are counted.
const MAX_NAMED: usize = 1000;

/// What is at fault in a file.
#[derive(Debug, Default)]
pub(super) struct Faults {
    lines: Vec<String>,
    more: u64,
}

/// How far a file was taken; kept in the outbox with what was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The last item that was taken or found at fault.
    pub(super) done: u64,
    /// Refused by the outbox, which will not say so again.
    refused: Vec<(u64, String)>,
    older: Vec<String>,
    older_more: u64,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    notes_more: u64,
}

impl Faults {
    /// A fault of an item; `what` is `line` or `entry`.
    pub(super) fn add(&mut self, what: &str, number: u64, why: &str) {
        self.add_line(format!("{what} {number}: {why}"));
    }

    /// A fault of the file as a whole.
    pub(super) fn add_line(&mut self, line: String) {
        if self.lines.len() < MAX_NAMED {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.lines.len() as u64 + self.more
    }

    /// The text of the `.reason` file; `None` where nothing is at fault.
    pub(super) fn text(&self) -> Option<String> {
        text_of(&self.lines, self.more)
    }
}

impl Progress {
    /// Set aside as older than what is held.
    pub(super) fn add_older(&mut self, record: &str) {
        if self.older.len() < MAX_NAMED {
            self.older.push(record.to_owned());
        } else {
            self.older_more += 1;
        }
    }

    /// How an item is read; `what` is `line` or `entry`.
    pub(super) fn add_note(&mut self, what: &str, number: u64, note: &str) {
        if self.notes.len() < MAX_NAMED {
            self.notes.push(format!("{what} {number}: {note}"));
        } else {
            self.notes_more += 1;
        }
    }

    /// Refused by the outbox.
    pub(super) fn add_refused(&mut self, number: u64, why: &str) {
        if self.refused.len() < MAX_NAMED {
            self.refused.push((number, why.to_owned()));
        }
    }

    /// What the outbox refused before a restart.
    pub(super) fn refused(&self) -> &[(u64, String)] {
        &self.refused
    }

    /// The text of the `.older` file; `None` where nothing was older.
    pub(super) fn older_text(&self) -> Option<String> {
        text_of(&self.older, self.older_more)
    }

    /// The text of the `.notes` file; `None` where there is nothing to say.
    pub(super) fn notes_text(&self) -> Option<String> {
        text_of(&self.notes, self.notes_more)
    }
}

fn text_of(lines: &[String], more: u64) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let mut text = lines.join("\n");
    text.push('\n');
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_faults_are_counted_and_a_thousand_named() {
        let mut faults = Faults::default();
        assert_eq!(faults.text(), None);
        for number in 1..=10_000 {
            faults.add("line", number, "the JSON ends too early");
        }
        let text = faults.text().unwrap();
        assert_eq!(text.lines().count(), 1001);
        assert!(text.starts_with("line 1: the JSON ends too early\n"));
        assert!(text.ends_with("and 9000 more\n"));
        assert_eq!(faults.count(), 10_000);
    }
}
