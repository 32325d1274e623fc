//! The file that a comparison is written to: opened before anything is measured, so that a path that cannot be written
//! is known before the hours are spent; what stands in it stays until there is something to replace it.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::compared::PeersReport;

/// The file, open.
pub(super) struct JsonFile {
    path: PathBuf,
    file: File,
}

impl JsonFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("open {} to write the comparison there", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(super) fn write(mut self, report: &PeersReport) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(report).context("write the comparison as JSON")? + "\n";
        let path = self.path.display();
        // A pipe or a device has no length.
        if self.file.metadata().is_ok_and(|meta| meta.is_file()) {
            self.file.set_len(0).with_context(|| format!("empty {path}"))?;
        }
        self.file
            .write_all(json.as_bytes())
            .with_context(|| format!("write {path}"))
    }
}
