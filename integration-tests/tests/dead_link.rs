//! A link that is dead, of which neither end is told, is noticed within 30 s by both; the agent comes back
//! by itself, and nothing is lost in either direction.
//!
//! Detects: an agent that sends no pings, or a daemon that sends none.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    AgentProcess, Deployment, WireTap, expected, nhs_number, observation_line, patient_line, tree_differs,
    wait_until,
};
use handfast_proto::v1::Side;

const SOON: Duration = Duration::from_secs(60);
/// How long a dead link may go unnoticed.
const NOTICED: Duration = Duration::from_secs(30);
/// How late a busy machine may act on it.
const SLACK: Duration = Duration::from_secs(3);

/// A unit with an agent, and what it has written.
struct Unit {
    ods: String,
    agent: AgentProcess,
    lines: Vec<String>,
}

impl Unit {
    fn write(&mut self, name: &str, lines: Vec<String>) -> anyhow::Result<()> {
        self.agent.drop_lines(name, lines.iter().map(String::as_str))?;
        self.lines.extend(lines);
        Ok(())
    }

    async fn is_held_by(&self, other: &Self) -> anyhow::Result<()> {
        let want = expected(self.lines.iter().map(String::as_str))?;
        wait_until(&format!("{} holds all of {}", other.ods, self.ods), SOON, || {
            tree_differs(&other.agent.output(), &self.ods, &want)
        })
        .await
    }
}

/// Two units that share both ways; the second reaches the daemon through the tap.
async fn two(deployment: &Deployment, tap: &WireTap) -> anyhow::Result<[Unit; 2]> {
    let (first, second) = (
        deployment.add_unit("Z00001", "gp").await?,
        deployment.add_unit("Z00002", "gp").await?,
    );
    for (source, recipient) in [(&first, &second), (&second, &first)] {
        let (from, to) = (&source.ods, &recipient.ods);
        source.admin.set(Side::ShareOut, from, to, true).await?;
        recipient.admin.set(Side::ShareIn, from, to, true).await?;
    }
    let far = deployment.dir().join(&second.ods);
    let agents = [
        deployment.agent(&first).await?,
        AgentProcess::enrol(&far, &tap.url(), &second.token).await?,
    ];
    for agent in &agents {
        agent.run()?;
    }
    let [near, far] = agents;
    let unit = |ods, agent| Unit {
        ods,
        agent,
        lines: Vec::new(),
    };
    Ok([unit(first.ods, near), unit(second.ods, far)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_link_is_noticed_by_both_ends_within_30_s() -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let tap = WireTap::start(deployment.port()).await?;
    let [mut near, mut far] = two(&deployment, &tap).await?;
    for (n, unit) in (1..).zip([&mut near, &mut far]) {
        unit.write(
            "a.ndjson",
            vec![
                patient_line("p1", nhs_number(n)?, "Synthetic"),
                observation_line("o1", "p1", n),
            ],
        )?;
    }
    near.is_held_by(&far).await?;
    far.is_held_by(&near).await?;

    ensure!(
        tap.attended() > 0 && tap.open() > 0,
        "the agent is not connected through the tap"
    );
    tap.die(true);
    let died = Instant::now();
    let gone = |ends: u64| match ends {
        0 => Ok(()),
        n => Err(format!("{n} connections are open")),
    };
    wait_until("the agent gives its connections up", NOTICED + SLACK, || {
        gone(tap.attended())
    })
    .await?;
    println!("the agent noticed after {:.1} s", died.elapsed().as_secs_f64());
    let left = (NOTICED + SLACK)
        .checked_sub(died.elapsed())
        .context("some time is left")?;
    wait_until("the daemon gives its connections up", left, || gone(tap.open())).await?;
    println!("both noticed after {:.1} s", died.elapsed().as_secs_f64());

    // What is written while there is no link goes once there is one.
    near.write("b.ndjson", vec![observation_line("o2", "p1", 2)])?;
    far.write("b.ndjson", vec![observation_line("o2", "p1", 3)])?;
    tap.die(false);
    near.is_held_by(&far).await?;
    far.is_held_by(&near).await?;
    deployment.finished();
    Ok(())
}
