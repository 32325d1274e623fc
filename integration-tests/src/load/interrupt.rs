//! Being asked to end: by Ctrl-C, or as a service is.
//!
//! Invariants: no signal is lost once this listens, also where it comes while nobody waits for it; whoever is told drops
//! what it was doing, and with it every process that it started.

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a command says that is asked to end before it has anything to show.
pub(super) const NOTHING_MEASURED: &str = "interrupted before anything was measured";

/// Listens for Ctrl-C and SIGTERM, which end nothing by themselves from then on.
#[derive(Debug)]
pub(super) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// To be called before anything is started that would outlive this process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    /// Resolves where this process was asked to end since this was last told.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// What work comes to; nothing where this process is asked to end before. Then the work is dropped.
    pub(super) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.asked() => None,
            done = work => Some(done),
        }
    }

    /// The same; where it is asked to end before, `instead` is the error.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
        instead: &str,
    ) -> anyhow::Result<T> {
        match self.or(work).await {
            Some(done) => done,
            None => bail!("{instead}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal as Sent, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_while_nobody_waits_is_told_once() {
        let mut interrupt = Interrupt::listen().unwrap();
        kill_process(getpid(), Sent::INT).unwrap();
        // Time in which a signal that is not kept would be lost.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(interrupt.or(std::future::ready(1)).await, None);
        assert_eq!(interrupt.or(std::future::ready(1)).await, Some(1));
        kill_process(getpid(), Sent::TERM).unwrap();
        let never = std::future::pending::<anyhow::Result<()>>();
        let error = interrupt.unless(never, "stopped").await.unwrap_err();
        assert_eq!(error.to_string(), "stopped");
    }
}
