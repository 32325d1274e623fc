//! Agents that lose their connection and come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::plan::SplitMix64;

/// How long an agent stays away: at least, and at most that much longer.
const AWAY_AT_LEAST: Duration = Duration::from_millis(100);
const AWAY_LONGER_MS: u32 = 900;
/// What the seed is drawn for.
const PURPOSE: u64 = 20;

/// An agent's ear for being told to go.
#[derive(Debug, Clone)]
pub(super) struct Away {
    told: watch::Receiver<u64>,
    random: SplitMix64,
}

impl Away {
    /// Resolves once it is told. Cancellation-safe.
    pub(super) async fn told(&mut self) {
        if self.told.changed().await.is_err() {
            // Nobody is there any more to tell it.
            std::future::pending::<()>().await;
        }
    }

    /// Stays away for a while.
    pub(super) async fn stay(&mut self) {
        let longer = self.random.below(AWAY_LONGER_MS);
        tokio::time::sleep(AWAY_AT_LEAST + Duration::from_millis(u64::from(longer))).await;
    }
}

/// Whoever tells agents to go.
#[derive(Debug, Default)]
pub(super) struct Drops {
    agents: Vec<watch::Sender<u64>>,
}

impl Drops {
    /// One more agent that may be told.
    pub(super) fn agent(&mut self, seed: u64) -> Away {
        let (tell, told) = watch::channel(0);
        self.agents.push(tell);
        Away {
            told,
            random: SplitMix64::of(seed, PURPOSE, self.agents.len() as u64),
        }
    }

    /// Tells one after the other, so many a second, until `stop`. To be kept until agents need not hear any more.
    pub(super) async fn run(
        self,
        seed: u64,
        per_second: f64,
        stop: CancellationToken,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        if per_second <= 0.0 || self.agents.is_empty() {
            return self;
        }
        let mut random = SplitMix64::of(seed, PURPOSE, 0);
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return self,
                _ = ticks.tick() => {}
            }
            let place = random.below(u32::try_from(self.agents.len()).unwrap_or(u32::MAX));
            if let Some(agent) = self.agents.get(place as usize) {
                agent.send_modify(|times| *times += 1);
                dropped.fetch_add(1, Relaxed);
            }
        }
    }
}
