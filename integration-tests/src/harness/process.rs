//! One process of a test: its output goes to a file, and it is killed by its pid when dropped.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// A process that runs until it is killed or dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output is appended to `log`.
    pub fn spawn<A: AsRef<OsStr>>(program: &Path, args: &[A], log: &Path) -> anyhow::Result<Self> {
        Self::spawn_in(program, args, log, &[])
    }

    /// The same with more in its environment.
    pub fn spawn_in<A: AsRef<OsStr>>(
        program: &Path,
        args: &[A],
        log: &Path,
        environment: &[(&str, &OsStr)],
    ) -> anyhow::Result<Self> {
        Self::spawn_as(program, args, log, environment, false)
    }

    /// The same; `apart`: in a process group of its own, so that a Ctrl-C at the terminal is not for it.
    pub fn spawn_as<A: AsRef<OsStr>>(
        program: &Path,
        args: &[A],
        log: &Path,
        environment: &[(&str, &OsStr)],
        apart: bool,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        // What this process was told is not for that one, unless it is given.
        command
            .args(args)
            .env_remove("NOTIFY_SOCKET")
            .envs(environment.iter().copied());
        if apart {
            command.process_group(0);
        }
        let out = append(log)?;
        let err = out.try_clone().context("open the log a second time")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }

    /// SIGSTOP: the process is there and does nothing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, and waits for a clean end; kills it after 20 s.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let end = tokio::time::Instant::now() + GRACE;
        while tokio::time::Instant::now() < end {
            if let Some(status) = self.child.try_wait().context("ask for the process")? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill();
        anyhow::bail!("process {} did not end within {GRACE:?} of SIGTERM", self.pid())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a pid")?, signal).context("signal the process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn append(log: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))
}
