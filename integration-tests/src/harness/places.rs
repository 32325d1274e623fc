//! Where a test's processes live: folders and ports of its own.

use std::net::TcpListener;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Ports below those that the system hands out to outgoing connections: a daemon that is restarted finds
/// its port free, and a client that is trying to reconnect does not meet itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A temporary folder for a deployment.
pub(super) fn temp_dir() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("handfast-")
        .tempdir()
        .context("make a temporary folder")
}

/// A port that nothing listens on, of those that the tests use.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", PORTS.start, PORTS.end)
}
