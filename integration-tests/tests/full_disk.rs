//! A full disk on either side loses nothing, is reported, and clears by itself when there is room.
//!
//! The disk is a small file system of the test's own on a loop device, which needs root.
//!
//! Detects: an agent that lets go of what its inbox, or its outbox, had no room for; a status that does not
//! name a store without room; in one run of four, an agent whose stores' own logs fill the disk; a daemon
//! that acknowledges what it could not keep, or that does not take up again.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    AgentProcess, Chaos, Deployment, Pace, Rig, SmallDisk, Town, amendment, wait_until,
};
use serde_json::Value;

/// How long filling, noticing and clearing may take.
const SOON: Duration = Duration::from_secs(180);
/// Mebibytes of the daemon's disk.
const DAEMON_DISK: u64 = 64;
/// Mebibytes of an agent's: room for what it holds, and not for all that its stores would like to write
/// before they take it into their files.
const AGENT_DISK: u64 = 32;
/// An agent's stores, as its status names them.
const STORES: [&str; 2] = ["outbox", "inbox"];

fn temp_dir() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("handfast-disk-")
        .tempdir()
        .context("make a temporary folder")
}

/// Whether a log tells of it, in words a person can act on.
fn reported(log: &str) -> Result<(), String> {
    let log = log.to_lowercase();
    [
        "disk is full",
        "database or disk is full",
        "no space left",
        "no room",
    ]
    .iter()
    .any(|words| log.contains(words))
    .then_some(())
    .ok_or_else(|| "the log does not say so".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_of_the_daemon_loses_nothing() -> anyhow::Result<()> {
    let dir = temp_dir()?;
    let disk = SmallDisk::new(dir.path(), DAEMON_DISK)?;
    let deployment = Deployment::in_state_dir(temp_dir()?, disk.path().join("daemon"), &[]).await?;
    let rig = Rig::over(deployment, 3).await?;
    rig.join(0, 1).await?;
    let recipient = rig.subscriber(1, Pace::Fast)?;
    let publisher = rig.publisher(0)?;
    let some = |from: u64| {
        (from..from + 200)
            .map(move |n| amendment(n, 0, 1024))
            .collect::<Result<Vec<_>, _>>()
    };
    publisher.offer(some(0)?).await?;
    publisher.wait_acked(200, SOON).await?;

    disk.fill()?;
    // What SQLite has room for in its files still goes; then nothing is acknowledged any more.
    let (mut made, begun) = (200, Instant::now());
    // Other files of the store may run full first, and be reported: what counts here is a commit.
    let refused = || rig.deployment.logged().contains("a commit failed");
    while made < 40_000 && begun.elapsed() < SOON && !refused() {
        // The source's own bound on what is unacknowledged holds it up here.
        if tokio::time::timeout(Duration::from_millis(200), publisher.offer(some(made)?))
            .await
            .is_ok()
        {
            made += 200;
        }
    }
    wait_until("the daemon says that its disk is full", SOON, || {
        reported(&rig.deployment.logged())
    })
    .await?;
    ensure!(
        publisher.acked() < made,
        "everything was acknowledged on a full disk"
    );

    disk.free()?;
    publisher.wait_acked(made, SOON).await?;
    wait_until("everything arrives", SOON, || {
        match recipient.look(|j| j.highest_seq("Z00001")) {
            n if n == made => Ok(()),
            n => Err(format!("up to {n} of {made}")),
        }
    })
    .await?;
    let seqs = recipient.look(|j| j.live_seqs("Z00001"));
    ensure!(
        seqs.windows(2).all(|w| w[0] < w[1]) && seqs.len() as u64 == made,
        "{} seqs arrived, of {made}, or not in order",
        seqs.len()
    );
    // What was acknowledged is on the disk: another daemon process has it all for another recipient.
    rig.deployment.restart().await?;
    rig.join(0, 2).await?;
    let later = rig.subscriber(2, Pace::Fast)?;
    wait_until("each record comes from the log", SOON, || {
        match later.look(|j| j.count("Z00001")) as u64 {
            n if n == made => Ok(()),
            n => Err(format!("{n} of {made}")),
        }
    })
    .await?;
    rig.deployment.finished();
    Ok(())
}

/// Two units, one of whose agents keeps its state on a small disk.
async fn town_on(disk: &SmallDisk) -> anyhow::Result<Town> {
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    let house = town.house_mut(0)?;
    house.agent.stop().await?;
    let moved = disk.path().join("state");
    let state = house.agent.state();
    let status = std::process::Command::new("mv")
        .arg(&state)
        .arg(&moved)
        .status()?;
    ensure!(status.success(), "mv ended with {status}");
    std::os::unix::fs::symlink(&moved, &state).context("link the state")?;
    house.agent.run()?;
    Ok(town)
}

/// Which of its stores an agent says cannot be written to.
fn full_stores(agent: &AgentProcess) -> BTreeSet<String> {
    let status = agent.status();
    let full = status.as_ref().and_then(|s| s.get("disk_full")?.as_array());
    let names = full.into_iter().flatten().filter_map(Value::as_str);
    names
        .filter(|name| STORES.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Whether the agent tells of both its stores, in its status and in its log.
fn says_so_of_both(agent: &AgentProcess) -> Result<(), String> {
    let log = fs::read_to_string(agent.log()).map_err(|e| e.to_string())?;
    for (part, words) in [
        ("store::outbox", "the outbox's disk is full"),
        ("link::downlink", "the disk that holds the inbox is full"),
    ] {
        if !log
            .lines()
            .any(|line| line.contains(part) && line.contains(words))
        {
            return Err(format!("no line of {part} says: {words}"));
        }
    }
    match full_stores(agent) {
        both if both.len() == STORES.len() => Ok(()),
        some => Err(format!("its status says so of {some:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_of_an_agent_loses_nothing() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("full disk of an agent");
    let dir = temp_dir()?;
    let disk = SmallDisk::new(dir.path(), AGENT_DISK)?;
    let mut town = town_on(&disk).await?;
    for place in 0..2 {
        town.house_mut(place)?.write(200, &mut chaos)?;
    }
    for pair in [(0, 1), (1, 0)] {
        town.tree_is_right(pair, true, SOON).await?;
    }
    disk.fill()?;
    // Both what it sends and what it receives meet the full disk; what one store gives back is not to be
    // the other's room.
    for _ in 0..25 {
        for place in 0..2 {
            town.house_mut(place)?.write(200, &mut chaos)?;
        }
    }
    wait_until("the agent says so of both its stores", SOON, || {
        disk.fill().map_err(|e| format!("{e:#}"))?;
        says_so_of_both(&town.households[0].agent)
    })
    .await?;
    disk.free()?;
    for pair in [(0, 1), (1, 0)] {
        town.tree_is_right(pair, true, SOON).await?;
    }
    wait_until("every line of changes.ndjson is written", SOON, || {
        town.changes_are_whole().map_err(|e| format!("{e:#}"))
    })
    .await?;
    wait_until("the agent says that there is room", SOON, || {
        match full_stores(&town.households[0].agent) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("its status says that there is none for {some:?}")),
        }
    })
    .await?;
    for house in &town.households {
        ensure!(house.agent.ended().is_none(), "an agent ended");
        house.agent.kill();
    }
    town.deployment.finished();
    Ok(())
}
