//! A daemon whose clock a test sets.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{binaries::binary, ctl::Reply, deployment::Deployment, places::temp_dir};

/// What sets a daemon's clock, of the package libfaketime; the loader knows the machine's part of it.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// Runs a program with more in its environment.
const ENV: &str = "/usr/bin/env";

impl Deployment {
    /// Makes a deployment, with more options to `handfastd init`, and waits until it serves, all with a clock that is
    /// behind the machine's: what the daemon signs is good for its clients by both.
    pub async fn made_in_the_past(init: &[&str], behind: Duration) -> anyhow::Result<Self> {
        let dir = temp_dir()?;
        let state = dir.path().join("daemon");
        let deployment = Self::unmade(dir, state, &[])?;
        deployment.set_clock(&format!("-{}", behind.as_secs()))?;
        let mut args: Vec<OsString> = Vec::new();
        for (name, value) in deployment.clock() {
            let mut variable = OsString::from(format!("{name}="));
            variable.push(value);
            args.push(variable);
        }
        args.push(binary("handfastd")?.into());
        args.extend(deployment.init_args(init).into_iter().map(OsString::from));
        Reply::of(Path::new(ENV), &args).await?.ok()?;
        deployment.serve_as_set().await?;
        Ok(deployment)
    }

    /// Starts the daemon with a clock that [`Deployment::put_forward`] moves, by faketime, and waits until it
    /// answers the health check. The clock begins as the machine's, so that the daemon's certificate is good for
    /// its clients; monotonic time stays as it is.
    pub async fn serve_by_own_clock(&self) -> anyhow::Result<()> {
        self.put_forward(Duration::ZERO)?;
        self.serve_as_set().await
    }

    async fn serve_as_set(&self) -> anyhow::Result<()> {
        let clock = self.clock();
        let clock: Vec<(&str, &OsStr)> = clock
            .iter()
            .map(|(name, value)| (*name, value.as_os_str()))
            .collect();
        self.launch_in(&clock)?;
        self.ready().await
    }

    /// Puts the daemon's own clock ahead of the machine's, to the second.
    pub fn put_forward(&self, by: Duration) -> anyhow::Result<()> {
        self.set_clock(&format!("+{}", by.as_secs()))
    }

    fn set_clock(&self, offset: &str) -> anyhow::Result<()> {
        let staged = self.dir().join("clock.new");
        fs::write(&staged, format!("{offset}\n")).context("write the clock's file")?;
        fs::rename(staged, self.clock_file()).context("rename the clock's file")
    }

    fn clock(&self) -> [(&'static str, OsString); 4] {
        [
            ("LD_PRELOAD", FAKETIME.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.clock_file().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    fn clock_file(&self) -> PathBuf {
        self.dir().join("clock")
    }
}
