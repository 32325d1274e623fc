//! Watches over the agent's tasks. A task that ends by itself, well or badly, ends the agent: half an
//! agent that looks healthy is worse than one that the service manager starts anew. Nothing depends on a
//! clean end; the grace only saves work.

use std::{collections::HashMap, future::Future, io, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{Id, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end when asked, before they are dropped where they stand.
pub const GRACE: Duration = Duration::from_secs(8);

/// The agent's tasks.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every task to end. To be handed to the tasks.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task; `name` stands in messages. It must end soon after `stop` and not before.
    pub fn spawn<F>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Waits until `end` completes or a task ends; then asks all to end, waits for [`GRACE`] at most,
    /// and drops what is left. An error where a task ended by itself, or failed while it was ending.
    pub async fn run_until(mut self, end: impl Future<Output = ()>) -> anyhow::Result<()> {
        let first = tokio::select! {
            () = end => Ok(()),
            (name, result) = self.next_end() => match result {
                Ok(()) => Err(anyhow!("{name} ended by itself, which it never should")),
                Err(error) => Err(error.context(format!("{name} failed"))),
            },
        };
        self.stop.cancel();
        super::Notifier.stopping(GRACE);
        let ended = timeout(GRACE, async {
            let mut result = Ok(());
            while !self.tasks.is_empty() {
                if let (name, Err(error)) = self.next_end().await {
                    result = result.and(Err(error.context(format!("{name} failed while it was ending"))));
                }
            }
            result
        })
        .await;
        let ended = ended.unwrap_or_else(|_| {
            let left: Vec<&str> = self.names.values().map(String::as_str).collect();
            tracing::warn!(tasks = ?left, "these did not end in time and are dropped; nothing is lost by it");
            Ok(())
        });
        self.tasks.abort_all();
        first.and(ended)
    }

    async fn next_end(&mut self) -> (String, anyhow::Result<()>) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            // The panic's text went to standard error with its place.
            Err(crash) => (crash.id(), Err(anyhow!("it crashed ({crash})"))),
        };
        (self.names.remove(&id).unwrap_or_default(), result)
    }
}

/// Completes when the process is asked to end (SIGTERM or SIGINT). The handlers are in place when this
/// returns. A second signal ends the process without grace.
pub fn termination() -> anyhow::Result<impl Future<Output = ()>> {
    let watch = |kind| signal(kind).context("watch for signals");
    let (mut term, mut int) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    Ok(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to end");
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::warn!("asked to end again: ending at once");
            kill_self();
        });
    })
}

/// Correctness never depends on a clean end, so the hard one is the system's own.
fn kill_self() {
    let me = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(me, rustix::process::Signal::KILL) {
        tracing::error!(error = %io::Error::from(error), "could not end at once");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use anyhow::bail;

    use super::*;

    #[tokio::test]
    async fn asked_to_end_tasks_end_and_that_is_no_error() {
        let mut supervisor = Supervisor::new();
        let stop = supervisor.stop();
        supervisor.spawn("a task", async move {
            stop.cancelled().await;
            Ok(())
        });
        supervisor.run_until(async {}).await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_fails_crashes_or_ends_ends_the_agent_with_its_name() {
        type Task = fn() -> anyhow::Result<()>;
        let failing: [(&str, Task); 3] = [
            ("failed: no room", || bail!("no room")),
            ("failed: it crashed", || panic!("a crash")),
            ("ended by itself", || Ok(())),
        ];
        for (text, task) in failing {
            let mut supervisor = Supervisor::new();
            let stop = supervisor.stop();
            supervisor.spawn("the other", async move {
                stop.cancelled().await;
                Ok(())
            });
            supervisor.spawn("the uplink", async move { task() });
            let error = format!("{:#}", supervisor.run_until(pending()).await.unwrap_err());
            assert!(error.contains("the uplink") && error.contains(text), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_dropped_after_the_grace() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("stuck", pending());
        let begun = tokio::time::Instant::now();
        supervisor.run_until(async {}).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    }
}
