//! Where answers and notes go. Answers are whole or not written; notes never mix with them.

use std::io::{self, Write};

use serde_json::Value;

use super::{args::Output, error::CtlError};

/// Standard output and standard error, or what a test puts in their place.
pub(super) struct Out {
    form: Output,
    answers: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

impl Out {
    pub(super) fn new(form: Output, answers: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { form, answers, notes }
    }

    /// Whether answers are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.form == Output::Json
    }

    /// Writes one answer, in the form asked for.
    pub(super) fn answer(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), CtlError> {
        let whole = match self.form {
            Output::Table => text(),
            Output::Json => format!("{:#}", json()),
        };
        self.line(&whole)
    }

    /// Writes one of many answers: as JSON on a line of its own.
    pub(super) fn answer_line(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), CtlError> {
        let whole = match self.form {
            Output::Table => text(),
            Output::Json => json().to_string(),
        };
        self.line(&whole)
    }

    /// Writes a line among the answers as it is.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CtlError> {
        let written = writeln!(self.answers, "{}", line.trim_end()).and_then(|()| self.answers.flush());
        written.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => CtlError::ReaderGone,
            _ => CtlError::Failed(format!("write the answer: {e}")),
        })
    }

    /// Writes a note for a person beside the answers. Nobody waits for it.
    pub(super) fn note(&mut self, line: &str) {
        let _ = writeln!(self.notes, "{line}");
    }
}
