//! Where the programs and the sample records are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The path of `handfastd`, `handfastctl` or `handfast-agent`: beside this program, as cargo lays them, or
/// in `HANDFAST_BIN_DIR`.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let dir = match std::env::var_os("HANDFAST_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => beside_this_program()?,
    };
    let path = dir.join(name);
    if !path.is_file() {
        bail!(
            "{} is not built: run `cargo build --workspace --bins` (with --release where this is a release \
             build)",
            path.display()
        );
    }
    Ok(path)
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let dir = exe.parent().context("find this program's folder")?;
    // Tests lie in `deps`, one below the programs.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_path_buf())
}

/// The sample records that ship with the tests.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Whether the long modes were asked for (`cargo verify --long`).
pub fn long_mode() -> bool {
    std::env::var_os("HANDFAST_LONG").is_some()
}
