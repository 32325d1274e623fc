//! What goes to standard output.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Serialize;

/// Columns of a table where the terminal does not say.
const WIDTH_COLUMNS: u16 = 110;

/// Writes bytes. A reader that has gone away is no error.
pub(super) fn put(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to standard output"),
    }
}

/// Writes a line.
pub(super) fn line(line: impl Display) -> anyhow::Result<()> {
    put(format!("{line}\n").as_bytes())
}

/// Writes JSON, for programs and legible for people.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value).context("write as JSON")?)
}

/// A table with these headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH_COLUMNS)
        .set_header(headings);
    table
}

/// A moment: `2026-11-23T06:45:00Z`.
pub(super) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000)).map_or_else(|_| format!("{ms} ms"), |t| t.to_string())
}

/// A length of time, roughly: `12 s`, `5 min`, `3 h`, `40 days`.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
