//! What is wrong with the settings, told so that a person finds the place and knows what to write there.

use std::{fmt, io, ops::Range, path::PathBuf};

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the settings in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says cannot be in force. All faults that were found, in the order of the file.
    #[error("{}", Lines(.0))]
    Faults(Vec<Fault>),
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the flag.
    pub file: String,
    /// From 1; `None` where the fault is in a flag.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// The key, with its table: `path in [[input]] number 2`. May be empty where the text is not TOML.
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if self.key.is_empty() {
            write!(f, ": {}", self.problem)
        } else {
            write!(f, ": {}: {}", self.key, self.problem)
        }
    }
}

struct Lines<'a>(&'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// The text that faults point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A fault at a place of the text, with a key that is known.
    pub(super) fn fault(&self, span: &Range<usize>, key: String, problem: String) -> Fault {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Fault {
            file: self.file.to_owned(),
            line: Some(before.matches('\n').count() + 1),
            column: Some(before.get(line_start..).unwrap_or_default().chars().count() + 1),
            key,
            problem,
        }
    }

    /// A fault that the TOML reader found.
    pub(super) fn toml_fault(&self, error: &toml::de::Error) -> Fault {
        let span = error.span().unwrap_or(0..0);
        let problem = error
            .message()
            .trim()
            .replace('\n', "; ")
            .replace("expected i64", "expected a whole number");
        self.fault(&span, self.key_at(span.start), problem)
    }

    /// The key on the line of a place, and the table that it stands in.
    fn key_at(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = self
            .text
            .get(line_start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let Some((key, _)) = line.split_once('=') else {
            return String::new();
        };
        let headers: Vec<&str> = before
            .lines()
            .map(str::trim)
            .filter(|l| l.starts_with('['))
            .collect();
        let Some(header) = headers.last() else {
            return key.trim().to_owned();
        };
        let number = headers.iter().filter(|h| *h == header).count();
        format!("{} in {header} number {number}", key.trim())
    }
}
