//! What the service manager is told, by a socket that stands in for it: READY=1 once the program answers
//! and not before, WATCHDOG=1 as often as it was asked for, STOPPING=1 before the end.
//!
//! Detects: a program that says it is ready before it listens; one that says nothing while it lives, or of
//! its end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Deployment, Identity, NotifySocket, Process, Windows, binary, connect, free_port, http,
};
use handfast_proto::v1::{StatusRequest, units_client::UnitsClient};

const SOON: Duration = Duration::from_secs(30);
/// The watchdog of the daemon's unit, in microseconds: it looks at its store every 5 s.
const DAEMON_WATCHDOG: &str = "20000000";
/// A short one for the agent, which asks how long it is.
const AGENT_WATCHDOG: &str = "1500000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_tells_when_it_serves_lives_and_stops() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let operator = Identity::load(&deployment.operator())?;
    deployment.stop().await?;
    let systemd = NotifySocket::bind(&deployment.dir().join("notify"))?;
    let (state, listen) = (
        deployment.state_dir().display().to_string(),
        format!("127.0.0.1:{}", deployment.port()),
    );
    let mut daemon = Process::spawn_in(
        &binary("handfastd")?,
        &["serve", "--state-dir", &state, "--listen", &listen],
        &deployment.log(),
        &systemd.environment(DAEMON_WATCHDOG),
    )?;
    let ready = systemd.expect("READY=1", SOON).await?;
    ensure!(
        ready.contains(&format!("STATUS=serving on {listen}")),
        "it says {ready:?}"
    );
    // At once, without another try.
    let channel = connect(&deployment.url(), &operator, Windows::default()).await?;
    UnitsClient::new(channel).status(StatusRequest {}).await?;
    let limit = Duration::from_micros(DAEMON_WATCHDOG.parse()?);
    for _ in 0..3 {
        systemd.expect("WATCHDOG=1", limit / 2).await?;
    }
    let (ended, told) = tokio::join!(daemon.stop(), systemd.expect("STOPPING=1", SOON));
    told?;
    ensure!(ended?.success(), "a stop that was asked for is no failure");
    deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_tells_when_it_runs_lives_and_stops() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let unit = deployment.add_unit("Z00001", "gp").await?;
    let agent = deployment.agent(&unit).await?;
    let port = free_port()?;
    agent.configure(&format!(
        "[[input]]\ntype = \"fhir\"\nlisten = \"127.0.0.1:{port}\"\n"
    ))?;
    let systemd = NotifySocket::bind(&deployment.dir().join("notify"))?;
    let args = [
        "run".into(),
        "--state-dir".into(),
        agent.state(),
        "--config".into(),
        agent.config(),
    ];
    let mut process = Process::spawn_in(
        &binary("handfast-agent")?,
        &args,
        &agent.log(),
        &systemd.environment(AGENT_WATCHDOG),
    )?;
    systemd.expect("READY=1", SOON).await?;
    let answer = http(port, "GET", "/fhir/metadata", "").await;
    ensure!(
        answer.context("its input does not listen yet")?.status == 200,
        "its input does not answer"
    );
    systemd
        .expect_where("status of both streams", SOON, |line| {
            line.starts_with("STATUS=") && line.contains("uplink connected, downlink connected")
        })
        .await?;
    let limit = Duration::from_micros(AGENT_WATCHDOG.parse()?);
    systemd.expect("WATCHDOG=1", limit).await?;
    let begun = Instant::now();
    for _ in 0..6 {
        systemd.expect("WATCHDOG=1", limit).await?;
    }
    ensure!(
        begun.elapsed() > limit,
        "six in {:?}: more often than it was asked for",
        begun.elapsed()
    );
    let (ended, told) = tokio::join!(process.stop(), systemd.expect("STOPPING=1", SOON));
    told?;
    ensure!(ended?.success(), "a stop that was asked for is no failure");
    deployment.finished();
    Ok(())
}
