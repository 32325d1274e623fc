//! Outcomes as files.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use super::page::page;
use crate::load::{FORMAT, Outcome};

/// Bytes of a file that is read as an outcome at most; a second of a run takes some 150.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Writes an outcome as JSON.
pub fn write_json(outcome: &Outcome, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(outcome).context("write an outcome as JSON")?;
    fs::write(path, json + "\n").with_context(|| format!("write {}", path.display()))
}

/// Reads an outcome; refuses one of another format.
pub fn read(path: &Path) -> anyhow::Result<Outcome> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let name = path.display();
    let size = fs::metadata(path).with_context(|| format!("read {name}"))?.len();
    ensure!(
        size <= MAX_FILE_BYTES,
        "{name} is too large for a run's outcome ({size} bytes)"
    );
    let text = fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    let Versioned { format } = serde_json::from_str(&text)
        .with_context(|| format!("{name} is not the outcome of a run (`handfast-load run --json`)"))?;
    ensure!(
        format == FORMAT,
        "{name} is of format {format}; this program reads format {FORMAT}"
    );
    serde_json::from_str(&text).with_context(|| format!("read {name} as the outcome of a run"))
}

/// Writes an outcome as a page.
pub fn write_html(outcome: &Outcome, path: &Path) -> anyhow::Result<()> {
    fs::write(path, page(outcome)).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::page::tests::outcome;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut written = outcome();
        // Numbers of few digits: of long ones the last is not always read as it was.
        written.latency_curve = vec![[0.5, 1.25], [0.99, 5.5]];
        written.timeline.truncate(1);
        write_json(&written, &path).unwrap();
        assert_eq!(read(&path).unwrap(), written);
    }

    #[test]
    fn another_format_and_another_file_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut later = outcome();
        later.format = 2;
        write_json(&later, &path).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("format 2"));
        fs::write(&path, "{}").unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("is not the outcome")
        );
    }
}
