//! `handfast-load` that is asked to end, by a signal to it alone or as a Ctrl-C at a terminal, leaves nothing running and
//! nothing lying about, whatever it was doing, and prints what it has by then.
//!
//! Detects: a server that outlives the run that started it, or ends at the Ctrl-C before it is let go; a measured stretch
//! that is thrown away; a signal that is taken and forgotten.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Identity, Process, Windows, connect, wait_until, wait_until_async,
};
use handfast_proto::v1::{PairStatus, StatusRequest, units_client::UnitsClient};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

const LOAD: &str = env!("CARGO_BIN_EXE_handfast-load");
/// How long something may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Deliveries that show that it measures: those of some seconds.
const SOME: u64 = 200;

async fn pairs(url: &str, operator: &Identity) -> anyhow::Result<Vec<PairStatus>> {
    let channel = connect(url, operator, Windows::default()).await?;
    let status = UnitsClient::new(channel).status(StatusRequest {}).await?;
    Ok(status.into_inner().pairs)
}

/// Whom the signal is sent to.
enum To {
    /// The program alone.
    Itself,
    /// Its process group, as a terminal does.
    Group,
}

/// What runs in a folder of its own; everything that it lays down lies in `tmp`.
struct Running {
    dir: TempDir,
    process: Process,
}

impl Running {
    fn start(args: &str) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let (tmp, json) = (dir.path().join("tmp"), dir.path().join("run.json"));
        fs::create_dir(&tmp)?;
        let json = json.to_string_lossy().into_owned();
        let args: Vec<&str> = args.split_whitespace().chain(["--json", &json]).collect();
        let environment = [("TMPDIR", tmp.as_os_str())];
        let log = dir.path().join("log");
        let process = Process::spawn_as(Path::new(LOAD), &args, &log, &environment, true)?;
        Ok(Self { dir, process })
    }

    fn said(&self) -> String {
        fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// The processes that lie in its folder by what they were told.
    fn others(&self) -> anyhow::Result<Vec<u32>> {
        self.others_named("")
    }

    /// Those of them that were told this too.
    fn others_named(&self, part: &str) -> anyhow::Result<Vec<u32>> {
        let place = self.dir.path().to_string_lossy().into_owned();
        let mut others = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // One that is gone meanwhile, or is dead and only not waited for, has no command line.
            let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let told = String::from_utf8_lossy(&told);
            if pid != self.process.pid() && told.contains(&place) && told.contains(part) {
                others.push(pid);
            }
        }
        Ok(others)
    }

    /// Asks its daemon, whose address and state are in its command line.
    async fn until_some_are_delivered(&self) -> anyhow::Result<()> {
        let daemon = *self.others_named("--listen")?.first().context("its daemon")?;
        let told = fs::read(format!("/proc/{daemon}/cmdline"))?;
        let told = String::from_utf8(told)?;
        let after = |option: &str| told.split('\0').skip_while(|arg| *arg != option).nth(1);
        let address = after("--listen").context("an address")?;
        let profile = Path::new(after("--state-dir").context("a state")?).join("operator");
        let url = format!("https://{address}");
        let operator = Identity::load(&profile)?;
        wait_until_async("some are delivered", SOON, || async {
            let pairs = pairs(&url, &operator).await.map_err(|e| format!("{e:#}"))?;
            match pairs.iter().map(|pair| pair.forwarded).sum::<u64>() {
                0..SOME => Err(self.said()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Sends it what Ctrl-C does, and waits for its end. Its exit code.
    async fn interrupt(&mut self, to: To) -> anyhow::Result<i32> {
        let before = self.others()?;
        ensure!(!before.is_empty(), "it has no daemon: {}", self.said());
        let pid = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a pid")?;
        match to {
            To::Itself => kill_process(pid, Signal::INT)?,
            To::Group => kill_process_group(pid, Signal::INT)?,
        }
        let mut ended = None;
        wait_until("it ends", SOON, || {
            ended = self.process.ended();
            ended.map(drop).ok_or_else(|| "it runs".to_owned())
        })
        .await?;
        let code = ended.and_then(|status| status.code());
        let said = self.said();
        let code = code.with_context(|| format!("it was killed by the signal: {said}"))?;
        let left = self.others()?;
        ensure!(
            left.is_empty(),
            "processes {left:?} were left of {before:?}: {said}"
        );
        let lying: Vec<_> = fs::read_dir(self.dir.path().join("tmp"))?.collect::<Result<_, _>>()?;
        ensure!(lying.is_empty(), "left lying: {lying:?}");
        Ok(code)
    }

    fn json(&self) -> anyhow::Result<Value> {
        let text = fs::read(self.dir.path().join("run.json")).with_context(|| self.said())?;
        Ok(serde_json::from_slice(&text)?)
    }

    async fn has_a_daemon(&self) -> anyhow::Result<()> {
        wait_until("it has started a daemon", SOON, || {
            match self.others_named("--listen") {
                Ok(daemons) if !daemons.is_empty() => Ok(()),
                _ => Err(self.said()),
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_run_prints_what_it_measured_until_then() -> anyhow::Result<()> {
    let mut run = Running::start(
        "run --sources 1 --recipients 1 --rate 100 --seconds 600 --warm-up-seconds 0 --patients 50 --records 50",
    )?;
    run.has_a_daemon().await?;
    run.until_some_are_delivered().await?;
    let code = run.interrupt(To::Group).await?;
    ensure!(code == 0, "exit code {code}: {}", run.said());
    let found = run.json()?;
    ensure!(found["amendments"].as_u64() > Some(0), "{found:#}");
    ensure!(found["lost"] == 0 && found["leaks"] == 0, "{found:#}");
    ensure!(run.said().contains("amendments"), "no table: {}", run.said());
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_not_ready_yet_leaves_nothing() -> anyhow::Result<()> {
    // So many units take longer to enrol than this test.
    let mut run = Running::start("run --quiet --sources 1 --recipients 900 --seconds 600")?;
    run.has_a_daemon().await?;
    let code = run.interrupt(To::Itself).await?;
    ensure!(code == 2, "exit code {code}: {}", run.said());
    ensure!(
        run.said().contains("interrupted before anything was measured"),
        "{}",
        run.said()
    );
    Ok(())
}

#[tokio::test]
async fn a_comparison_prints_the_rounds_until_then_at_a_terminal_too() -> anyhow::Result<()> {
    let mut peers = Running::start(
        "peers --quiet --against relay --agreements 0 --patients 0 --only throughput --shapes 1x1 --rounds 100 --seconds 1",
    )?;
    // Handfast is the first in the first round: once the relay is there, one has done its work.
    wait_until("the relay's turn has come", SOON, || {
        match peers.others_named("relay-server") {
            Ok(relays) if !relays.is_empty() => Ok(()),
            _ => Err(peers.said()),
        }
    })
    .await?;
    let code = peers.interrupt(To::Group).await?;
    ensure!(code == 0, "exit code {code}: {}", peers.said());
    let found = peers.json()?;
    ensure!(found["interrupted"] == true, "{found:#}");
    ensure!(
        found["runs"].as_array().is_some_and(|runs| !runs.is_empty()),
        "{found:#}"
    );
    ensure!(
        peers.said().contains("it was interrupted"),
        "no note: {}",
        peers.said()
    );
    Ok(())
}

#[tokio::test]
async fn a_comparison_that_is_not_ready_yet_leaves_nothing() -> anyhow::Result<()> {
    // 128 units take longer to enrol than this test.
    let mut peers = Running::start("peers --quiet --against relay --shapes 64x64")?;
    peers.has_a_daemon().await?;
    let code = peers.interrupt(To::Itself).await?;
    ensure!(code == 2, "exit code {code}: {}", peers.said());
    let said = peers.said();
    ensure!(
        said.contains("interrupted before anything was measured"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_measurement_of_scale_leaves_nothing() -> anyhow::Result<()> {
    let mut scale = Running::start("scale idle --agents 5 --idle 3600 --away 0")?;
    scale.has_a_daemon().await?;
    // Its daemon, and the process with the agents.
    wait_until("the agents are there", SOON, || match scale.others() {
        Ok(others) if others.len() >= 2 => Ok(()),
        _ => Err(scale.said()),
    })
    .await?;
    let code = scale.interrupt(To::Itself).await?;
    ensure!(code == 2, "exit code {code}: {}", scale.said());
    let said = scale.said();
    ensure!(
        said.contains("interrupted before anything was measured"),
        "{said}"
    );
    Ok(())
}
