//! A daemon whose clock a test puts forward.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::deployment::Deployment;

/// What puts a daemon's clock forward, of the package libfaketime; the loader knows the machine's part of it.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

impl Deployment {
    /// Starts the daemon with a clock that [`Deployment::put_forward`] moves, by faketime, and waits until it
    /// answers the health check. The clock begins as the machine's, so that the daemon's certificate is good for
    /// its clients; monotonic time stays as it is.
    pub async fn serve_by_own_clock(&self) -> anyhow::Result<()> {
        let ahead = self.clock_file();
        self.put_forward(Duration::ZERO)?;
        let clock = [
            ("LD_PRELOAD", FAKETIME.as_ref()),
            ("FAKETIME_TIMESTAMP_FILE", ahead.as_os_str()),
            ("FAKETIME_NO_CACHE", "1".as_ref()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
        ];
        self.launch_in(&clock)?;
        self.ready().await
    }

    /// Puts the daemon's own clock ahead of the machine's, to the second.
    pub fn put_forward(&self, by: Duration) -> anyhow::Result<()> {
        let staged = self.dir().join("clock.new");
        fs::write(&staged, format!("+{}\n", by.as_secs())).context("write the clock's file")?;
        fs::rename(staged, self.clock_file()).context("rename the clock's file")
    }

    fn clock_file(&self) -> PathBuf {
        self.dir().join("clock")
    }
}
