//! What a process has used, from /proc (proc(5)).

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// The unit of CPU time in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time within [`LOOK`] below which a process counts as having nothing more to do.
const REST: Duration = Duration::from_millis(20);
/// How long a process's CPU time is watched at a time.
const LOOK: Duration = Duration::from_millis(500);
/// How long it is waited for that it has nothing more to do.
const AT_REST_WITHIN: Duration = Duration::from_secs(60);

/// CPU time of a process, user and system.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the process's stat")?;
    // The name, in brackets, may hold spaces; fields 14 and 15 of the line follow it as 12 and 13.
    let rest = stat.rsplit_once(')').context("a stat line")?.1;
    let ticks: u32 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|f| f.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// The most memory that a process had resident since it began, or since [`forget_peak`], in bytes.
pub fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// The memory that a process has resident, in bytes.
pub fn resident_memory(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// Of the memory that a process has resident, what is its own and no file's, in bytes.
pub fn own_memory(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "RssAnon:")
}

/// [`own_memory`] of a process that was left alone until it had nothing more to do, or for a minute.
pub async fn memory_at_rest(pid: u32) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut before = cpu(pid)?;
    while begun.elapsed() < AT_REST_WITHIN {
        tokio::time::sleep(LOOK).await;
        let now = cpu(pid)?;
        if now.saturating_sub(before) <= REST {
            break;
        }
        before = now;
    }
    own_memory(pid)
}

/// Has [`peak_memory`] count from what is resident now.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    // proc(5), /proc/PID/clear_refs: 5 resets the peak.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the process's peak memory")
}

fn status_bytes(pid: u32, key: &'static str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    let kib: u64 = line
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .with_context(|| format!("the process's {key}"))?;
    Ok(kib * 1024)
}
