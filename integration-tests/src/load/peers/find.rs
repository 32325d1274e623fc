//! Whether PostgreSQL and Redis are on this machine, and what brings them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

use super::options::Kind;
use crate::packages;

/// The Debian package of a peer that is not our own.
pub(super) fn package(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::PostgreSql => Some(packages::POSTGRESQL),
        Kind::Redis => Some(packages::REDIS),
        Kind::Handfastd | Kind::Relay => None,
    }
}

/// Whether a peer can be started.
pub(super) fn installed(kind: Kind) -> bool {
    match kind {
        Kind::PostgreSql => packages::postgresql().is_some(),
        Kind::Redis => packages::program("redis-server").is_some(),
        Kind::Handfastd | Kind::Relay => true,
    }
}

/// The folder of the newest PostgreSQL's programs.
pub(super) fn postgresql() -> anyhow::Result<PathBuf> {
    packages::postgresql().context("PostgreSQL is not installed: run `apt-get install -y postgresql`")
}

/// Redis's server.
pub(super) fn redis() -> anyhow::Result<PathBuf> {
    packages::program("redis-server").context("Redis is not installed: run `apt-get install -y redis-server`")
}

/// The first line that a program says of its version.
pub(super) async fn version(program: &Path) -> anyhow::Result<String> {
    let said = Command::new(program)
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("ask {} for its version", program.display()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}
