//! All sources and recipients of a load, each in a task of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        check::{Checker, Known, Saboteur},
        data::Stream,
        plan::{Layout, Plan, Schedule},
    },
    batches::{Batches, Pace},
    drops::Drops,
    full::{FullRecipient, FullSource, census, churn},
    pacer,
    recipient::Recipient,
    source::{Gauge, Source, window},
};
use crate::harness::{AgentProcess, SharedConnection};

/// How long all recipients may take until they are subscribed.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(60);

/// The agent of a unit.
#[derive(Debug, Clone)]
pub(in crate::load) enum Agent {
    /// A client with a certificate, and the connection of both its sides.
    Protocol(SharedConnection),
    /// The program itself.
    Full(Arc<AgentProcess>),
}

/// The agents of a load.
pub(in crate::load) struct Crowd {
    sources: JoinSet<anyhow::Result<()>>,
    recipients: JoinSet<anyhow::Result<()>>,
    gauges: Vec<Arc<Gauge>>,
    /// Whoever tells them to lose their connection, until the sources are started; then a task of its own.
    drops: Drops,
    dropping: Option<tokio::task::JoinHandle<Drops>>,
    dropped: Arc<AtomicU64>,
    /// Sources make nothing new once it is told, recipients end once they are.
    stop: CancellationToken,
    end: CancellationToken,
}

impl Crowd {
    pub(in crate::load) fn new(stop: CancellationToken) -> Self {
        Self {
            sources: JoinSet::new(),
            recipients: JoinSet::new(),
            gauges: Vec::new(),
            drops: Drops::default(),
            dropping: None,
            dropped: Arc::default(),
            stop,
            end: CancellationToken::new(),
        }
    }

    /// Starts the recipients, and waits until each is subscribed.
    pub(in crate::load) async fn receive(
        &mut self,
        agents: &[Agent],
        (plan, layout): (&Plan, &Layout),
        (known, checker): (&Arc<Known>, &Checker),
        saboteur: Option<&Arc<Saboteur>>,
    ) -> anyhow::Result<()> {
        for agent in agents {
            if let Agent::Full(agent) = agent {
                agent.run()?;
                census(agent, known)?;
                let (agent, away) = (Arc::clone(agent), self.drops.agent(plan.seed));
                self.recipients.spawn(churn(agent, away, self.end.clone()));
            }
        }
        let mut subscribed = Vec::new();
        for unit in &layout.recipients {
            let agent = agents.get(*unit as usize).context("a recipient's agent")?;
            let checked = checker.recipient(*unit).context("a recipient's checker")?;
            let shared = match agent {
                Agent::Protocol(shared) => shared.clone(),
                Agent::Full(agent) => {
                    let sources = layout
                        .joined
                        .iter()
                        .filter(|pair| pair.1 == *unit)
                        .map(|pair| pair.0);
                    let recipient = FullRecipient {
                        agent: Arc::clone(agent),
                        known: Arc::clone(known),
                        checked: Arc::clone(checked),
                        sources: sources.collect(),
                        stop: self.stop.clone(),
                        end: self.end.clone(),
                    };
                    self.recipients.spawn(recipient.run());
                    continue;
                }
            };
            let (open, is_open) = watch::channel(false);
            subscribed.push(is_open);
            let recipient = Recipient {
                shared,
                known: Arc::clone(known),
                me: *unit,
                checked: Arc::clone(checked),
                saboteur: saboteur.cloned(),
                delay: delay(plan, layout, *unit),
                hurry: self.stop.clone(),
                away: self.drops.agent(plan.seed),
                end: self.end.clone(),
                open,
            };
            self.recipients.spawn(recipient.run());
        }
        let all = async {
            for mut is_open in subscribed {
                is_open
                    .wait_for(|open| *open)
                    .await
                    .context("a recipient ended")?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(SUBSCRIBED_WITHIN, all)
            .await
            .context("not every recipient is subscribed within a minute")?
    }

    /// Starts the sources; their schedules begin now.
    pub(in crate::load) fn send(
        &mut self,
        agents: &[Agent],
        (plan, layout): (&Plan, &Layout),
        known: &Arc<Known>,
    ) -> anyhow::Result<()> {
        let start = known.begun().elapsed();
        for (place, unit) in layout.sources.iter().enumerate() {
            let agent = agents.get(*unit as usize).context("a source's agent")?;
            let stream = Stream::new(&plan.data, plan.seed, *unit)?;
            let pace = Pace::new(Schedule::new(plan, layout, place), start);
            let gauge = Arc::new(Gauge::default());
            self.gauges.push(Arc::clone(&gauge));
            let (batches, stop) = (
                Batches::new(Arc::clone(known), *unit, stream, pace),
                self.stop.clone(),
            );
            match agent {
                Agent::Protocol(shared) => self.sources.spawn(
                    Source {
                        shared: shared.clone(),
                        batches,
                        gauge,
                        away: self.drops.agent(plan.seed),
                        stop,
                        window: window(layout.sources.len()),
                    }
                    .run(),
                ),
                Agent::Full(agent) => {
                    let agent = Arc::clone(agent);
                    let source = FullSource {
                        agent,
                        batches,
                        gauge,
                        stop,
                    };
                    self.sources.spawn(source.run())
                }
            };
        }
        pacer::start(known.begun(), self.gauges.clone(), self.stop.clone());
        let drops = std::mem::take(&mut self.drops);
        let per_second = plan.changes.drops_per_second;
        let dropping = drops.run(
            plan.seed,
            per_second,
            self.stop.clone(),
            Arc::clone(&self.dropped),
        );
        self.dropping = Some(tokio::spawn(dropping));
        Ok(())
    }

    /// Amendments that are durable so far.
    pub(in crate::load) fn acked(&self) -> u64 {
        self.gauges.iter().map(|gauge| gauge.acked.load(Relaxed)).sum()
    }

    /// How many agents were dropped so far.
    pub(in crate::load) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Resolves with an error once an agent cannot go on. A source whose schedule is over is no error.
    pub(in crate::load) async fn failed(&mut self) -> anyhow::Error {
        loop {
            let ended = tokio::select! {
                Some(ended) = self.sources.join_next() => ended,
                Some(ended) = self.recipients.join_next() => ended,
                else => std::future::pending().await,
            };
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(error) => return anyhow::Error::new(error).context("an agent of the load"),
            }
        }
    }

    /// Waits until all that was sent is durable.
    pub(in crate::load) async fn drained(&mut self, within: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.sources.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(within, all).await {
            Ok(ended) => ended,
            Err(_) => bail!("what was sent did not become durable within {within:?}"),
        }
    }

    /// Ends the recipients.
    pub(in crate::load) async fn end(&mut self) {
        self.stop.cancel();
        self.end.cancel();
        self.sources.shutdown().await;
        while let Some(_ended) = self.recipients.join_next().await {}
    }
}

/// How long a recipient takes over each message: the last ones of the plan take their time.
pub(in crate::load) fn delay(plan: &Plan, layout: &Layout, unit: u32) -> Duration {
    let place = layout.recipients.iter().rev().position(|other| *other == unit);
    let slow = place.is_some_and(|place| place < plan.slow.recipients as usize);
    Duration::from_millis(if slow { u64::from(plan.slow.delay_ms) } else { 0 })
}
