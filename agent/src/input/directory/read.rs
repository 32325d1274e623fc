//! Reads a file into items, part by part: lines of NDJSON, or the resource or entries of a document.
//! Runs on a thread for blocking work, a bounded number of parts ahead of the commits.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::folder::Format;
use crate::codec::fhir::{BundleType, Change, Codec, Document, Fault};

/// Items in one part, and bytes of them, about.
const MAX_PART_ITEMS: usize = 256;
const MAX_PART_BYTES: usize = 4 * 1024 * 1024;

/// Parts read ahead of the commits.
pub(super) const PARTS_AHEAD: usize = 2;

/// White space that a line may have beside its resource, in bytes.
const LINE_SLACK_BYTES: usize = 4096;

/// Bytes of a document. A Bundle of many resources may be larger than one resource.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// A line or entry, counted from 1.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) change: Result<Change, Fault>,
}

/// Items that are taken with one commit.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    /// All or none.
    pub(super) together: bool,
    /// The items are entries of a Bundle, not lines.
    pub(super) entries: bool,
    weight: usize,
}

/// Where parts go. Nobody listens any more: the reading ends.
pub(super) type Parts = mpsc::Sender<io::Result<Part>>;

/// Reads the file to its end.
pub(super) fn read(file: File, format: Format, codec: &Arc<Codec>, parts: &Parts) {
    let result = match format {
        Format::Lines => lines(file, codec, parts),
        Format::Document => document(file, codec, parts),
    };
    if let Err(error) = result {
        let _ = parts.blocking_send(Err(error));
    }
}

fn lines(file: File, codec: &Codec, parts: &Parts) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let bound = codec.max_payload_bytes() + LINE_SLACK_BYTES;
    let mut line = Vec::new();
    let mut part = Part::default();
    for number in 1.. {
        let Some(len) = next_line(&mut reader, &mut line, bound)? else {
            break;
        };
        if len <= bound && line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if len > bound {
            let bound = codec.max_payload_bytes();
            part.push(number, Err(Fault::TooLarge { bytes: len, bound }));
        } else {
            match codec.document(&line) {
                Ok(Document::Resource(change)) => part.push(number, Ok(*change)),
                Ok(Document::Bundle(_)) => part.push(number, Err(Fault::BundleType)),
                Err(fault) => part.push(number, Err(fault)),
            }
        }
        if part.is_full() && !send(parts, std::mem::take(&mut part)) {
            return Ok(());
        }
    }
    send(parts, part);
    Ok(())
}

/// Reads a line without its end; gives its length, of which no more than `bound` bytes are kept.
fn next_line(reader: &mut BufReader<File>, line: &mut Vec<u8>, bound: usize) -> io::Result<Option<usize>> {
    line.clear();
    let mut len = 0;
    let mut any = false;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any.then_some(len));
        }
        any = true;
        let end = buffer.iter().position(|b| *b == b'\n');
        let (text, used) = match end {
            Some(at) => (buffer.get(..at).unwrap_or_default(), at + 1),
            None => (buffer, buffer.len()),
        };
        len += text.len();
        if len <= bound {
            line.extend_from_slice(text);
        } else {
            // Too long: nothing of it is kept while its end is looked for.
            line.clear();
        }
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(len));
        }
    }
}

fn document(mut file: File, codec: &Codec, parts: &Parts) -> io::Result<()> {
    let bound = MAX_DOCUMENT_BYTES.max(codec.max_payload_bytes() + LINE_SLACK_BYTES);
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut part = Part::default();
    if size > bound {
        part.push(1, Err(Fault::TooLarge { bytes: size, bound }));
        send(parts, part);
        return Ok(());
    }
    let mut raw = Vec::with_capacity(size);
    file.by_ref().take(bound as u64 + 1).read_to_end(&mut raw)?;
    let bundle = match codec.document(&raw) {
        Ok(Document::Bundle(bundle)) => bundle,
        Ok(Document::Resource(change)) => {
            part.push(1, Ok(*change));
            send(parts, part);
            return Ok(());
        }
        Err(fault) => {
            part.push(line_of(&raw, &fault), Err(fault));
            send(parts, part);
            return Ok(());
        }
    };
    drop(raw);
    part.entries = true;
    part.together = bundle.kind == BundleType::Transaction;
    for (number, entry) in (1..).zip(bundle.entries) {
        part.push(number, entry.change);
        if part.is_full() && !part.together {
            let next = Part {
                entries: true,
                ..Part::default()
            };
            if !send(parts, std::mem::replace(&mut part, next)) {
                return Ok(());
            }
        }
    }
    send(parts, part);
    Ok(())
}

/// The line of a document in which its fault lies; the last one where it ends too early.
fn line_of(raw: &[u8], fault: &Fault) -> u64 {
    let start = raw.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let end = match fault {
        Fault::Truncated => raw.trim_ascii_end().len(),
        fault => fault.at().map_or(0, |at| start.saturating_add(at)),
    };
    let before = raw.get(..end.min(raw.len())).unwrap_or_default();
    1 + before.iter().filter(|b| **b == b'\n').count() as u64
}

/// False: nobody takes it.
fn send(parts: &Parts, part: Part) -> bool {
    part.items.is_empty() || parts.blocking_send(Ok(part)).is_ok()
}

impl Part {
    fn push(&mut self, number: u64, change: Result<Change, Fault>) {
        self.weight += change.as_ref().map_or(64, Change::weight);
        self.items.push(Item { number, change });
    }

    fn is_full(&self) -> bool {
        self.items.len() >= MAX_PART_ITEMS || self.weight >= MAX_PART_BYTES
    }
}
