//! Watching a daemon that others make busy or leave alone, and showing how far something is.

use std::{
    convert::Infallible,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinHandle;

use crate::harness::{cpu, resident_memory};

/// CPU time within [`LOOK`] below which a daemon counts as having nothing more to do.
const QUIET_CPU: Duration = Duration::from_millis(30);
/// How long the daemon's CPU time is watched at a time.
const LOOK: Duration = Duration::from_millis(500);

/// How often memory is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Bytes of a KiB and of a MiB.
pub(super) const KIB: f64 = 1024.0;
pub(super) const MIB: f64 = 1_048_576.0;

/// A bar; not shown where nobody looks on.
pub(super) fn bar(what: impl Into<std::borrow::Cow<'static, str>>, of: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} {msg} ({per_sec}, {eta} left)");
    let bar = ProgressBar::new(of as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Waits, at most `within`, until a process uses little CPU time; how long that took.
pub(super) async fn quiet(pid: u32, within: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut before = cpu(pid)?;
    while begun.elapsed() < within {
        tokio::time::sleep(LOOK).await;
        let now = cpu(pid)?;
        if now.saturating_sub(before) <= QUIET_CPU {
            break;
        }
        before = now;
    }
    Ok(begun.elapsed())
}

/// The cores that a process uses over a stretch of time.
pub(super) async fn cores(pid: u32, over: Duration) -> anyhow::Result<f64> {
    let (begun, before) = (Instant::now(), cpu(pid)?);
    tokio::time::sleep(over).await;
    Ok((cpu(pid)? - before).as_secs_f64() / begun.elapsed().as_secs_f64())
}

/// Resident memory that is the process's own, without the pages of files that the kernel keeps for it.
pub(super) fn own_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    match kib {
        Some(kib) => Ok(kib * 1024),
        None => resident_memory(pid),
    }
}

/// The most memory of its own that a process has while it is watched, and how it went.
pub(super) struct Sampled {
    task: JoinHandle<anyhow::Result<Infallible>>,
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Sampled {
    /// Begins.
    pub(super) fn begin(pid: u32) -> Self {
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let into = Arc::clone(&seen);
        Self {
            task: tokio::spawn(sample(pid, into)),
            seen,
        }
    }

    /// Ends: bytes, in order, each [`SAMPLE_EVERY`] after the one before.
    pub(super) fn end(self) -> Vec<u64> {
        self.task.abort();
        std::mem::take(&mut *self.seen.lock())
    }
}

async fn sample(pid: u32, into: Arc<Mutex<Vec<u64>>>) -> anyhow::Result<Infallible> {
    loop {
        into.lock().push(own_memory(pid)?);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}

/// Has this process, and those that it starts, take as many files as the system lets it; how many that is.
pub(super) fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
