//! An agent that is connected and idle costs the daemon little memory: thousands of them fit on one machine.
//!
//! Measured as what the daemon's own memory grows by from one crowd of agents to the next, so that what it needs without
//! any does not count. The bound is for a build without optimisation, and for few agents.
//!
//! Detects: buffers of the size of a large message for every stream; queues whose slots hold whole messages; a second
//! connection for each agent.

use anyhow::ensure;
use handfast_integration_tests::harness::{
    Deployment, IDLE_OPTIONS, IdleAgent, connect_idle, idle_units, memory_at_rest,
};

/// Agents that are there first: what a first crowd needs beside itself is not counted.
const FIRST: usize = 50;
/// Agents that are counted.
const AGENTS: usize = 200;
/// What each may cost, in KiB: 52 were measured in a build without optimisation, and 60 are the aim for thousands.
const MAX_KIB: f64 = 64.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent_costs_little_memory() -> anyhow::Result<()> {
    let deployment = Deployment::with_options(&IDLE_OPTIONS).await?;
    let units = idle_units(&deployment, FIRST + AGENTS).await?;
    let (first, others) = units.split_at(FIRST);
    let (url, pid) = (deployment.url(), deployment.pid()?);
    let mut agents = connect_idle(&url, first).await?;
    let before = memory_at_rest(pid).await?;
    agents.extend(connect_idle(&url, others).await?);
    let after = memory_at_rest(pid).await?;
    ensure!(agents.iter().all(IdleAgent::stands), "an agent has lost a stream");
    #[expect(clippy::cast_precision_loss, reason = "some MiB")]
    let each = after.saturating_sub(before) as f64 / 1024.0 / AGENTS as f64;
    println!("{each:.1} KiB an agent, from {before} to {after} bytes");
    ensure!(
        each <= MAX_KIB,
        "an idle agent costs the daemon {each:.1} KiB, more than {MAX_KIB}"
    );
    deployment.finished();
    Ok(())
}
