//! CPU time of a server that is several processes, from /proc (proc(5)).

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::ensure;

/// The unit of CPU time in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time within [`LOOK`] below which a server counts as having nothing to do.
const QUIET: Duration = Duration::from_millis(20);
/// How long its CPU time is watched.
const LOOK: Duration = Duration::from_millis(500);
/// How long it may be at work before that is given up.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// Waits until a server has nothing to do; false where it still had after a time.
pub(super) async fn settled(pid: u32) -> anyhow::Result<bool> {
    settled_within(pid, SETTLES_WITHIN).await
}

async fn settled_within(pid: u32, within: Duration) -> anyhow::Result<bool> {
    let end = tokio::time::Instant::now() + within;
    let mut before = cpu_of_tree(pid)?;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        let now = cpu_of_tree(pid)?;
        if now.saturating_sub(before) <= QUIET {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// CPU time of a process and its descendants, user and system, and of those of them that have ended and were
/// waited for.
pub(super) fn cpu_of_tree(root: u32) -> anyhow::Result<Duration> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the listing and the reading.
        if let Some(stat) = fs::read_to_string(entry.path().join("stat"))
            .ok()
            .and_then(|s| parse(&s))
        {
            processes.insert(pid, stat);
        }
    }
    ensure!(
        processes.contains_key(&root),
        "the server (process {root}) is gone"
    );
    let belongs = |pid: u32| {
        let up = std::iter::successors(Some(pid), |pid| processes.get(pid).map(|stat| stat.parent));
        up.take(processes.len()).any(|ancestor| ancestor == root)
    };
    let ticks: u32 = processes
        .iter()
        .filter(|(pid, _)| belongs(**pid))
        .map(|(_, stat)| stat.ticks)
        .sum();
    Ok(TICK * ticks)
}

struct Stat {
    parent: u32,
    ticks: u32,
}

fn parse(stat: &str) -> Option<Stat> {
    // The name, in brackets, may hold spaces; field 4 of the line follows it as 2, fields 14 to 17 as 12 to 15.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields
        .get(11..15)?
        .iter()
        .filter_map(|f| f.parse::<u32>().ok())
        .sum();
    Some(Stat { parent, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_parent_and_time_whatever_the_name() {
        let line = "7 (a (b) c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99 0 0";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
    }

    #[tokio::test]
    async fn who_is_at_work_is_not_at_rest() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let at_rest = settled_within(child.id(), LOOK).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!at_rest.unwrap());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let at_rest = settled(child.id()).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(at_rest.unwrap());
    }

    #[test]
    fn the_time_of_a_child_counts() {
        let me = std::process::id();
        let before = cpu_of_tree(me).unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        child.wait().unwrap();
        assert!(cpu_of_tree(me).unwrap() > before);
    }
}
