//! The Debian packages that the tests need beside Rust and a C compiler. The list is kept short on purpose.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// The package of PostgreSQL, whichever version Debian has.
pub const POSTGRESQL: &str = "postgresql";
/// The package of Redis's server.
pub const REDIS: &str = "redis-server";
/// Where Debian keeps each version of PostgreSQL.
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";
/// Where programs are looked for beside PATH.
const DIRS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A program that a test runs, and the package that brings it.
const NEEDED: [(&str, &str); 5] = [
    // The full disk is a small file system on a loop device.
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("losetup", "mount"),
    // A daemon whose clock is put forward to the end of a day.
    ("faketime", "faketime"),
    // Who the load generator compares with.
    ("redis-server", REDIS),
];

/// Installs what is missing, as root; otherwise fails saying what to install. Returns what was done.
pub fn install_missing() -> anyhow::Result<String> {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(name, _)| program(name).is_none())
        .map(|(_, package)| *package)
        .collect();
    if postgresql().is_none() {
        missing.push(POSTGRESQL);
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok("every program that the tests run is installed".to_owned());
    }
    install(&missing)?;
    Ok(format!("installed {}", missing.join(" ")))
}

/// Installs packages with apt-get, as root; otherwise fails saying what to install.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("only root installs packages: run `sudo apt-get install {list}` and start again");
    }
    apt(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}

/// Where a program is.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(DIRS)
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}

/// The folder of the newest PostgreSQL's programs; Debian has them beside PATH.
pub fn postgresql() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRESQL_VERSIONS).ok()?.flatten();
    versions
        .filter_map(|e| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin)
}

fn apt(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("start apt-get; is this a Debian system?")?;
    if !status.success() {
        bail!("apt-get {} ended with {status}", args.join(" "));
    }
    Ok(())
}
