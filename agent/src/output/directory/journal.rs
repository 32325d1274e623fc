//! `changes.ndjson`: a line for each applied change, appended and fsynced a group at a time.
//!
//! Invariant: up to `len` the file is whole lines, and durable. What a crash leaves behind a
//! last newline is cut off when the file is opened.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::inbox::ChangeOp;

/// Bytes of the longest line: the longest record id and source with the numbers around them.
const MAX_LINE_BYTES: u64 = 1024;

/// Bytes looked at in one step for the last newline.
const TAIL_STEP_BYTES: u64 = 64 * 1024;

/// A line. No clinical content, so that a withdrawal leaves none behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) source: String,
    pub(super) seq: u64,
    pub(super) op: ChangeOp,
    pub(super) record: String,
    pub(super) version: u64,
    pub(super) applied_at: String,
}

/// Where the file stood when the inbox last heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    bytes: u64,
    /// A digest of the last line, to tell this file from another.
    last: String,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    len: u64,
    last: String,
}

impl Journal {
    /// Opens or makes the file and cuts off a torn last line.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let size = file.metadata()?.len();
        let len = end_of_last_line(&mut file, size)?;
        if len < size {
            tracing::info!(bytes = size - len, "cut off a torn last line of changes.ndjson");
            file.set_len(len)?;
            file.sync_all()?;
        }
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let last = digest_before(&mut file, len)?;
        Ok(Self { file, len, last })
    }

    /// Where the file stands now.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            bytes: self.len,
            last: self.last.clone(),
        }
    }

    /// Appends lines and makes them durable. After an error the file is as before, or `open` makes it so.
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(lines.len() * 160);
        let mut begin = 0;
        for line in lines {
            begin = bytes.len();
            serde_json::to_writer(&mut bytes, line).map_err(io::Error::other)?;
            bytes.push(b'\n');
        }
        let Some(last) = bytes.get(begin..).filter(|last| !last.is_empty()) else {
            return Ok(());
        };
        let last = digest(last);
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Best effort: `open` cuts off what is left.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.last = last;
        Ok(())
    }

    /// The lines after a mark. `None` where the file is not the one that the mark was taken of, or more
    /// than `max` lines follow.
    pub(super) fn after(&mut self, mark: &Mark, max: usize) -> io::Result<Option<Vec<Line>>> {
        if mark.bytes > self.len || digest_before(&mut self.file, mark.bytes)? != mark.last {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(mark.bytes))?;
        let mut lines = Vec::new();
        for raw in BufReader::new(&self.file).split(b'\n') {
            let Ok(line) = serde_json::from_slice(&raw?) else {
                return Ok(None);
            };
            lines.push(line);
            if lines.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(lines))
    }

    /// Gives every line to `take`, in order. Lines that cannot be read are passed over and counted.
    pub(super) fn scan(&mut self, mut take: impl FnMut(Line)) -> io::Result<u64> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut odd = 0;
        let mut reader = BufReader::new(&self.file);
        let mut raw = Vec::new();
        loop {
            raw.clear();
            if reader.read_until(b'\n', &mut raw)? == 0 {
                return Ok(odd);
            }
            match serde_json::from_slice(&raw) {
                Ok(line) => take(line),
                Err(_) => odd += 1,
            }
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(super) fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

fn end_of_last_line(file: &mut File, size: u64) -> io::Result<u64> {
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(TAIL_STEP_BYTES);
        let chunk = read(file, begin, end)?;
        if let Some(place) = chunk.iter().rposition(|b| *b == b'\n') {
            return Ok(begin + place as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// The digest of the line that ends at `end`, its newline included; empty at the beginning of the file.
fn digest_before(file: &mut File, end: u64) -> io::Result<String> {
    let chunk = read(file, end.saturating_sub(MAX_LINE_BYTES), end)?;
    let Some((b'\n', body)) = chunk.split_last() else {
        return Ok(String::new());
    };
    let begin = body.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    Ok(chunk.get(begin..).map_or_else(String::new, digest))
}

fn read(file: &mut File, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(begin))?;
    let mut chunk = Vec::new();
    file.take(end - begin).read_to_end(&mut chunk)?;
    Ok(chunk)
}

fn digest(line: &[u8]) -> String {
    let hash = Sha256::digest(line);
    hash.iter().take(8).fold(String::with_capacity(16), |mut hex, b| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{b:02x}");
        hex
    })
}
