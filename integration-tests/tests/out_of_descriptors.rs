//! A daemon that has no file descriptors left serves those who are in, burns no core over those who are
//! not, says what to do, and takes new ones in again as soon as some are free.
//!
//! Detects: an accept loop that tries again at once; one that ends.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{Rig, Windows, connect, cpu, wait_until, wait_until_async};
use handfast_proto::v1::{StatusRequest, units_client::UnitsClient};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::{net::TcpStream, time::timeout};
use tonic::transport::Channel;

const SOON: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Descriptors that the daemon may open beside those it has.
const SPARE: usize = 16;
/// Connections that ask to be taken in: far more than there is room for.
const ASKING: usize = 100;
/// How long it is watched what the shortage costs. Shorter than a silent connection may stay.
const WATCHED: Duration = Duration::from_secs(2);
/// The part of one core that it may cost.
const MAX_SHARE: f64 = 0.2;
/// Tries to accept in that time. A daemon that spins on a busy machine has not much of a core, and makes
/// thousands.
const MAX_TRIES: u64 = 100;

async fn status(channel: Channel) -> Result<(), String> {
    let answer = UnitsClient::new(channel).status(StatusRequest {}).await;
    answer.map(drop).map_err(|status| status.to_string())
}

/// Leaves the daemon so many descriptors more than it has open.
fn leave(pid: u32, spare: usize) -> anyhow::Result<()> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .context("count the daemon's descriptors")?
        .count();
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some((open + spare) as u64),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(pid.context("a pid")?), Resource::Nofile, limit)
        .context("limit the daemon's descriptors")?;
    Ok(())
}

/// Tries to accept that failed: each line of the log, and what it says was held back before it.
fn tries(log: &str) -> u64 {
    let lines = log
        .lines()
        .filter(|line| line.contains("cannot accept connections"));
    let held_back = |line: &str| line.rsplit_once("held_back=")?.1.parse::<u64>().ok();
    lines.map(|line| 1 + held_back(line).unwrap_or_default()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_the_daemon_waits_quietly_and_goes_on() -> anyhow::Result<()> {
    let rig = Rig::new(1).await?;
    let (url, identity) = (rig.deployment.url(), &rig.member(0)?.identity);
    let inside = connect(&url, identity, Windows::default()).await?;
    status(inside.clone()).await.map_err(anyhow::Error::msg)?;
    let pid = rig.deployment.pid()?;
    leave(pid, SPARE)?;

    let mut asking = Vec::new();
    for _ in 0..ASKING {
        asking.push(TcpStream::connect(("127.0.0.1", rig.deployment.port())).await?);
    }
    wait_until("the daemon says what it lacks, and what to do", SOON, || {
        let log = rig.deployment.logged();
        (tries(&log) > 0 && log.contains("LimitNOFILE"))
            .then_some(())
            .ok_or_else(|| "no such line".to_owned())
    })
    .await?;
    let (before, tried_before) = (cpu(pid)?, tries(&rig.deployment.logged()));
    tokio::time::sleep(WATCHED).await;
    let tried = tries(&rig.deployment.logged()) - tried_before;
    ensure!(
        tried <= MAX_TRIES,
        "it tried {tried} times to accept in {WATCHED:?}"
    );
    let share = (cpu(pid)? - before).as_secs_f64() / WATCHED.as_secs_f64();
    println!(
        "the shortage cost {:.0} % of a core, {tried} tries to accept",
        share * 100.0
    );
    ensure!(share < MAX_SHARE, "it cost {:.0} % of a core", share * 100.0);
    status(inside).await.map_err(anyhow::Error::msg)?;

    drop(asking);
    wait_until_async("new connections are taken in again", SOON, || async {
        let asked = async {
            let channel = connect(&url, identity, Windows::default()).await;
            status(channel.map_err(|e| format!("{e:#}"))?).await
        };
        let answer = timeout(ANSWER, asked).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?}")))
    })
    .await?;
    rig.deployment.finished();
    Ok(())
}
