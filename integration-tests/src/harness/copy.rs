//! A deployment that begins where another one was stopped.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use super::{deployment::Deployment, places::temp_dir};

impl Deployment {
    /// Starts a daemon over a copy of this one's state, in a folder of its own, and waits until it serves. This one
    /// must be stopped: what a daemon is writing cannot be copied.
    pub async fn copied(&self) -> anyhow::Result<Self> {
        ensure!(
            self.pid().is_err(),
            "the deployment that is to be copied is running"
        );
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        copy_all(self.state_dir(), &state)?;
        let mut copy = Self::unmade(dir, state, &[])?;
        copy.apart = self.apart;
        copy.serve().await?;
        Ok(copy)
    }
}

/// Copies a folder with its permissions. A daemon's state has folders and plain files alone.
fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).with_context(|| format!("copy to {}", target.display()))?;
        }
    }
    let permissions = fs::metadata(from)?.permissions();
    fs::set_permissions(to, permissions).with_context(|| format!("set who may read {}", to.display()))
}
