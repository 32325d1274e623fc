//! The temporary folder, in which every server has its files: it is on a disk, and nothing that waits to be written to
//! that is written while a peer is measured.

use std::{env, fs::File, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use rustix::fs::{statfs, syncfs};

/// File systems by what statfs(2) calls them, as far as servers are run on them.
const FILE_SYSTEMS: &[(u32, &str)] = &[
    (0x0000_EF53, "ext2, ext3 or ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x2FC1_2FC1, "zfs"),
    (0xF2F5_2010, "f2fs"),
    (0xCA45_1A4E, "bcachefs"),
    (0x794C_7630, "overlayfs"),
    (0x0000_6969, "nfs"),
    (TMPFS, "tmpfs"),
    (RAMFS, "ramfs"),
];
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58F6;

/// How long it may take until everything is written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(120);

/// The kind of file system that the temporary folder is on; an error where that is memory.
pub(super) fn file_system() -> anyhow::Result<String> {
    let path = env::temp_dir();
    let stat = statfs(&path).with_context(|| format!("ask for the file system of {}", path.display()))?;
    // Its width and sign differ from platform to platform; the name has 32 bits.
    on_a_disk(&path, stat.f_type as u32)
}

fn on_a_disk(path: &Path, magic: u32) -> anyhow::Result<String> {
    let known = FILE_SYSTEMS.iter().find(|(of, _)| *of == magic);
    let name = known.map_or_else(|| format!("unknown ({magic:#x})"), |(_, name)| (*name).to_owned());
    ensure!(
        ![TMPFS, RAMFS].contains(&magic),
        "the temporary folder {} is on {name}, in memory, where nothing is ever synced, and the comparison would be of \
         nothing: set TMPDIR to a folder on a disk, as in TMPDIR=/var/tmp",
        path.display()
    );
    Ok(name)
}

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

    #[test]
    fn memory_is_refused_with_what_to_do() {
        for magic in [TMPFS, RAMFS] {
            let error = on_a_disk(Path::new("/dev/shm"), magic).unwrap_err().to_string();
            for part in ["/dev/shm", "in memory", "TMPDIR=/var/tmp"] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert_eq!(on_a_disk(Path::new("/x"), 0xEF53).unwrap(), "ext2, ext3 or ext4");
        assert_eq!(on_a_disk(Path::new("/x"), 0x77).unwrap(), "unknown (0x77)");
    }

    #[tokio::test]
    async fn what_waits_is_written() {
        write_out().await.unwrap();
    }
}
