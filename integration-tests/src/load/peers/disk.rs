//! The temporary folder, in which every server has its files: nothing that waits to be written to its disk is written
//! while a peer is measured.

use std::{env, fs::File, time::Duration};

use anyhow::Context as _;
use rustix::fs::syncfs;

/// How long it may take until everything is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(120);

/// Has everything written that waits, whoever left it.
pub(super) async fn write_out() -> anyhow::Result<()> {
    let writing = tokio::task::spawn_blocking(|| {
        let path = env::temp_dir();
        let folder = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        syncfs(&folder).with_context(|| format!("write out what waits for the disk of {}", path.display()))
    });
    tokio::time::timeout(WRITTEN_WITHIN, writing)
        .await
        .with_context(|| format!("what waits for the disk is not written within {WRITTEN_WITHIN:?}"))?
        .context("write out what waits for the disk")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_written() {
        write_out().await.unwrap();
    }
}
