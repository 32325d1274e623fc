//! L1: nothing that was acknowledged is lost, and nothing has effect twice, across SIGKILL, restored,
//! re-installed and copied agents.
//!
//! Every line written is a change, so a source's last seq is the number of its lines: a line taken twice
//! shows as much as one that was lost.
//!
//! Detects: an input that forgets how far into a file it had come; an output that does not compare the tail
//! of its journal with the inbox after a start.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    AgentProcess, Chaos, Town, changes, long_mode, wait_until, wait_until_async,
};
use handfast_proto::v1::Side;
use serde_json::Value;

const UNITS: usize = 4;
/// Lines in a file.
const FILE_LINES: usize = 100;
/// How long it may take, after the last kill, until everything is where it belongs.
const QUIET: Duration = Duration::from_secs(180);

async fn kill_one(town: &Town, chaos: &mut Chaos) -> anyhow::Result<()> {
    let victim = chaos.number(0, UNITS as u64 + 2);
    match usize::try_from(victim) {
        Ok(place) if place < UNITS => town.house(place)?.agent.restart(),
        _ => town.deployment.restart().await,
    }
}

/// Writes everything while agents and the daemon are killed at random.
async fn kills(
    town: &mut Town,
    chaos: &mut Chaos,
    kills: u64,
    lines: usize,
    mut meanwhile: impl AsyncFnMut(&Town, &mut Chaos) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let files = lines / FILE_LINES;
    let mut written = 0;
    for kill in 0..kills {
        let due = files * usize::try_from(kill + 1)? / usize::try_from(kills)?;
        while written < due {
            for house in &mut town.households {
                house.write(FILE_LINES, chaos)?;
            }
            written += 1;
        }
        meanwhile(town, chaos).await?;
        chaos.pause(10, 400).await;
        kill_one(town, chaos).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_a_hundred_kills_while_twenty_thousand_amendments_flow() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 kills");
    let mut town = Town::new(UNITS).await?;
    town.join_all().await?;
    let (count, each) = if long_mode() { (500, 50_000) } else { (100, 5_000) };
    kills(&mut town, &mut chaos, count, each, async |_, _| Ok(())).await?;
    for pair in town.pairs() {
        town.tree_is_right(pair, true, QUIET).await?;
    }
    wait_until("every line of changes.ndjson is written", QUIET, || {
        town.changes_are_whole().map_err(|e| format!("{e:#}"))
    })
    .await?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_kills_while_halves_are_turned() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 kills and halves");
    let mut town = Town::new(UNITS).await?;
    town.join_all().await?;
    let (count, each) = if long_mode() { (300, 20_000) } else { (60, 2_000) };
    let mut halves: BTreeMap<(usize, usize), (bool, bool)> = BTreeMap::new();
    kills(&mut town, &mut chaos, count, each, async |town, chaos| {
        let pair = *chaos.pick(&town.pairs()).context("a pair")?;
        let (out, into) = halves.entry(pair).or_insert((true, true));
        let side = *chaos.pick(&[Side::ShareOut, Side::ShareIn]).context("a side")?;
        let half = if side == Side::ShareOut { out } else { into };
        *half = !*half;
        town.turn(side, pair.0, pair.1, *half).await?;
        Ok(())
    })
    .await?;
    for pair in town.pairs() {
        let (out, into) = halves.get(&pair).copied().unwrap_or((true, true));
        town.tree_is_right(pair, out && into, QUIET).await?;
    }
    town.deployment.finished();
    Ok(())
}

async fn all_right(town: &Town) -> anyhow::Result<()> {
    for pair in town.pairs() {
        town.tree_is_right(pair, true, QUIET).await?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .context("start cp")?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_an_agent_restored_from_an_old_copy_of_its_state() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 restored");
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    for house in &mut town.households {
        house.write(300, &mut chaos)?;
    }
    all_right(&town).await?;
    let state = town.house(0)?.agent.state();
    let old = town.deployment.dir().join("old-state");
    town.house(0)?.agent.stop().await?;
    copy(&state, &old)?;
    town.house(0)?.agent.run()?;
    for house in &mut town.households {
        house.write(300, &mut chaos)?;
    }
    all_right(&town).await?;

    town.house(0)?.agent.kill();
    fs::remove_dir_all(&state).context("remove the state")?;
    copy(&old, &state)?;
    town.house(0)?.agent.run()?;
    for house in &mut town.households {
        house.write(300, &mut chaos)?;
    }
    all_right(&town).await?;
    // The other unit never saw a seq twice; the restored one was caught up.
    let at_other = changes(&town.house(1)?.agent.output())?;
    ensure!(
        at_other.iter().filter(|c| c.op != "withdraw").count() == town.house(0)?.written.len(),
        "the other unit has {} changes of {} lines",
        at_other.len(),
        town.house(0)?.written.len()
    );
    town.changes_are_in_order()?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_a_reinstalled_agent() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 re-installed");
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    for house in &mut town.households {
        house.write(300, &mut chaos)?;
    }
    all_right(&town).await?;
    let house = town.house(0)?;
    house.agent.kill();
    for folder in [house.agent.state(), house.agent.output()] {
        fs::remove_dir_all(&folder).context("remove a folder")?;
        fs::create_dir_all(&folder).context("create a folder")?;
    }
    let profile = house.unit.admin_profile.clone();
    let token = town
        .deployment
        .ctl(&profile, &["unit", "token", &house.unit.ods])
        .await?
        .ok()?
        .token()?;
    house.agent.enrol_again(&town.deployment.url(), &token).await?;
    house.agent.run()?;
    // Its clinical system exports everything again, and goes on.
    let again: Vec<String> = house.holds()?.values().map(ToString::to_string).collect();
    town.house_mut(0)?.write_lines(again)?;
    for house in &mut town.households {
        house.write(300, &mut chaos)?;
    }
    all_right(&town).await?;
    town.changes_are_in_order()?;
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_two_agents_with_the_same_state() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 twice the same");
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    for house in &mut town.households {
        house.write(200, &mut chaos)?;
    }
    all_right(&town).await?;

    // A second one over the same folder does not start, and says why.
    let second = AgentProcess::over(&town.deployment.dir().join("Z00001"));
    second.run()?;
    wait_until(
        "the second agent ends by itself",
        Duration::from_secs(20),
        || match second.ended() {
            Some(status) if !status.success() => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await?;

    // A copy of the folder on another machine: whichever of them is connected, nothing is lost or doubled.
    let original = town.deployment.dir().join("Z00001");
    let elsewhere = town.deployment.dir().join("copy");
    town.house(0)?.agent.stop().await?;
    copy(&original, &elsewhere)?;
    let twin = AgentProcess::over(&elsewhere);
    let config = fs::read_to_string(twin.config()).context("read the configuration")?;
    let here = original.to_string_lossy().into_owned();
    twin.configure(&config.replace(&here, &elsewhere.to_string_lossy()))?;
    town.house(0)?.agent.run()?;
    twin.run()?;
    town.house_mut(0)?.write(200, &mut chaos)?;
    town.house_mut(1)?.write(200, &mut chaos)?;
    town.tree_is_right((0, 1), true, QUIET).await?;
    town.house(0)?.agent.kill();
    let file = town.house_mut(0)?.write(200, &mut chaos)?;
    let input = town.house(0)?.agent.input().join(&file);
    fs::rename(input, twin.input().join(&file)).context("give the file to the copy")?;
    town.tree_is_right((0, 1), true, QUIET).await?;
    town.changes_are_in_order()?;
    twin.kill();
    town.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_a_dead_link_is_noticed_and_resumed() -> anyhow::Result<()> {
    let mut chaos = Chaos::new("l1 dead link");
    let mut town = Town::new(2).await?;
    town.join_all().await?;
    town.house_mut(0)?.write(100, &mut chaos)?;
    all_right(&town).await?;
    // The daemon is there and answers nothing: only the keepalive can tell.
    town.deployment.freeze(true)?;
    town.house_mut(0)?.write(100, &mut chaos)?;
    wait_until_async(
        "the agent says that it is not connected",
        Duration::from_secs(40),
        || async {
            let status = town.households[0].agent.status().unwrap_or_default();
            match status.pointer("/uplink/state").and_then(Value::as_str) {
                Some("connected") | None => Err(status.to_string()),
                Some(_) => Ok(()),
            }
        },
    )
    .await?;
    town.deployment.freeze(false)?;
    all_right(&town).await?;
    town.changes_are_whole()?;
    town.deployment.finished();
    Ok(())
}
