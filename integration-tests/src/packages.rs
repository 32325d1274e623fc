//! The Debian packages that the tests need beside Rust and a C compiler. The list is kept short on purpose.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A program that a test runs, and the package that brings it.
const NEEDED: [(&str, &str); 4] = [
    // The full disk is a small file system on a loop device.
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("losetup", "mount"),
    // A daemon whose clock is put forward to the end of a day.
    ("faketime", "faketime"),
];

/// Installs what is missing, as root; otherwise fails saying what to install. Returns what was done.
pub fn install_missing() -> anyhow::Result<String> {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !installed(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok("every program that the tests run is installed".to_owned());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("the tests need these packages: run `sudo apt-get install {list}` and start again");
    }
    apt(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&missing);
    apt(&args)?;
    Ok(format!("installed {list}"))
}

fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
        .any(|dir| std::path::Path::new(dir).join(program).is_file())
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
