//! What stands in for the service manager: the socket that a process tells how it stands (sd_notify(3)).

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    net::UnixDatagram,
    time::{Instant, timeout_at},
};

/// Bytes of a datagram; sd_notify sends some words.
const MAX_DATAGRAM_BYTES: usize = 4096;

/// The socket, in a file of its own.
#[derive(Debug)]
pub struct NotifySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl NotifySocket {
    /// Listens at `path`.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::bind(path).context("listen as the service manager")?,
            path: path.to_path_buf(),
        })
    }

    /// What is in the environment of a process that is to tell; it is asked to say every so often that it
    /// is alive (`WatchdogSec=`).
    pub fn environment<'a>(&'a self, watchdog_usec: &'a str) -> [(&'static str, &'a OsStr); 2] {
        [
            ("NOTIFY_SOCKET", self.path.as_os_str()),
            ("WATCHDOG_USEC", OsStr::new(watchdog_usec)),
        ]
    }

    /// The next message with this line (`READY=1`), whatever comes before it.
    pub async fn expect(&self, line: &str, within: Duration) -> anyhow::Result<String> {
        self.expect_where(line, within, |l| l == line).await
    }

    /// The next message with a line that `wanted` takes.
    pub async fn expect_where(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let end = Instant::now() + within;
        let mut others = Vec::new();
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        loop {
            let Ok(received) = timeout_at(end, self.socket.recv(&mut buffer)).await else {
                bail!("no {what} within {within:?}, only {others:?}");
            };
            let received = received.context("receive what a process tells")?;
            let text = String::from_utf8_lossy(buffer.get(..received).unwrap_or_default()).into_owned();
            if text.lines().any(&wanted) {
                return Ok(text);
            }
            others.push(text);
        }
    }
}
