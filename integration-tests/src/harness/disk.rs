//! A small disk of a test's own: an ext4 file system in a file, loop-mounted. It can be filled, and emptied
//! again. Needs root, for `mount`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// How much is written at once where the disk is filled.
const CHUNK: usize = 64 * 1024;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Makes and mounts a file system of `mebibytes` at `dir/disk`.
    pub fn new(dir: &Path, mebibytes: u64) -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("this test mounts a small disk: run it as root (sudo -E cargo verify)");
        }
        let image = dir.join("disk.img");
        let file = fs::File::create(&image).context("create the disk's image")?;
        file.set_len(mebibytes * 1024 * 1024)
            .context("size the disk's image")?;
        let mounted_at = dir.join("disk");
        fs::create_dir(&mounted_at).context("create the mount point")?;
        command("mkfs.ext4", &["-q", "-m", "0"], &[&image])?;
        command("mount", &["-o", "loop"], &[&image, &mounted_at])?;
        Ok(Self { mounted_at })
    }

    /// Its top folder.
    pub fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// Writes until nothing more fits. Again: takes what has become free since.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())
            .context("open the filler")?;
        let mut size = CHUNK;
        while size > 0 {
            if file
                .write_all(&vec![1; size])
                .and_then(|()| file.sync_data())
                .is_err()
            {
                size /= 2;
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn free(&self) -> anyhow::Result<()> {
        fs::remove_file(self.filler()).context("remove the filler")
    }

    fn filler(&self) -> PathBuf {
        self.mounted_at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still hold a file of it.
        let _ = command("umount", &["-l"], &[&self.mounted_at]);
    }
}

fn command(program: &str, options: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(options)
        .args(paths)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
