//! Start and end: long-running tasks under names, signals, and a stop in three steps: soft (nothing new is
//! taken in), grace (what is at work may finish), hard (the rest is cut).
//!
//! Invariants: a long-running task that ends before it is told to stops the daemon with an error;
//! correctness never depends on any of this, because SIGKILL is a normal way to stop.

use std::{collections::HashMap, time::Duration};

use anyhow::{anyhow, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end once everything that feeds them is gone.
const CORE_BOUND: Duration = Duration::from_secs(10);

/// When a task is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// At the beginning of the stop; it has the grace to finish.
    Edge,
    /// After the edge is gone.
    Core,
}

/// The daemon's long-running tasks.
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    running: HashMap<Id, Running>,
    grace: Duration,
}

struct Running {
    name: &'static str,
    stage: Stage,
    handle: AbortHandle,
}

impl Lifecycle {
    /// None yet.
    pub fn new(grace: Duration) -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            grace,
        }
    }

    /// Cancelled when the stop begins: take nothing new in, and end streams.
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when the edge is gone.
    pub fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Runs a task under a name until it is told to end by its stage's token.
    pub fn spawn<F>(&mut self, name: &'static str, stage: Stage, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let handle = self.tasks.spawn(task);
        self.running.insert(handle.id(), Running { name, stage, handle });
    }

    /// Runs a task that ends only by being told to, until then.
    pub fn spawn_until_stopped<F>(&mut self, name: &'static str, stage: Stage, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = match stage {
            Stage::Edge => self.soft(),
            Stage::Core => self.hard(),
        };
        self.spawn(name, stage, async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                () = task => Err(anyhow!("it ended by itself")),
            }
        });
    }

    /// Waits for a signal or a task that ends, then stops everything. The first failure is the outcome.
    pub async fn run(mut self, mut signals: Signals, stopping: impl FnOnce(&str)) -> anyhow::Result<()> {
        let mut failure = None;
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "stopping");
                stopping("stopping");
            }
            Some(ended) = self.tasks.join_next_with_id() => {
                failure = self.note(ended, true);
                stopping("a task failed, stopping");
            }
        }
        self.soft.cancel();
        let grace = sleep(self.grace);
        tokio::pin!(grace);
        while self.waits_for(Stage::Edge) {
            tokio::select! {
                () = &mut grace => break,
                name = signals.next() => {
                    tracing::warn!(signal = name, "told twice: not waiting any longer");
                    break;
                }
                Some(ended) = self.tasks.join_next_with_id() => failure = failure.or(self.note(ended, false)),
            }
        }
        self.abort(Stage::Edge);
        self.hard.cancel();
        let rest = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let noted = note(&mut self.running, ended, false);
                failure = failure.take().or(noted);
            }
        };
        if timeout(CORE_BOUND, rest).await.is_err() {
            bail!(
                "some tasks did not end within {} s of being told to",
                CORE_BOUND.as_secs()
            );
        }
        failure.map_or(Ok(()), Err)
    }

    fn waits_for(&self, stage: Stage) -> bool {
        self.running.values().any(|r| r.stage == stage)
    }

    fn abort(&self, stage: Stage) {
        for late in self.running.values().filter(|r| r.stage == stage) {
            tracing::info!(task = late.name, "the grace is over: cutting what is left");
            late.handle.abort();
        }
    }

    fn note(&mut self, ended: Ended, early: bool) -> Option<anyhow::Error> {
        note(&mut self.running, ended, early)
    }
}

type Ended = Result<(Id, anyhow::Result<()>), JoinError>;

/// What the end of a task means.
fn note(running: &mut HashMap<Id, Running>, ended: Ended, early: bool) -> Option<anyhow::Error> {
    let (id, outcome) = match ended {
        Ok((id, outcome)) => (id, outcome),
        Err(e) if e.is_cancelled() => (e.id(), Ok(())),
        Err(e) => (e.id(), Err(anyhow!("it panicked"))),
    };
    let name = running.remove(&id).map_or("unnamed", |r| r.name);
    let failure = match outcome {
        Ok(()) if early => anyhow!("it ended before it was told to"),
        Ok(()) => return None,
        Err(e) => e,
    };
    tracing::error!(task = name, error = %format!("{failure:#}"), "a task failed");
    Some(failure.context(format!("run the {name}")))
}

/// SIGTERM and SIGINT.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on they do not end the process.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one's name. Cancellation-safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_task_that_crashes_stops_the_daemon_with_its_name() {
        for panics in [true, false] {
            let mut lifecycle = Lifecycle::new(Duration::from_millis(50));
            let hard = lifecycle.hard();
            lifecycle.spawn("committer", Stage::Core, async move {
                hard.cancelled().await;
                Ok(())
            });
            lifecycle.spawn("stuck edge", Stage::Edge, pending());
            lifecycle.spawn("fence", Stage::Core, async move {
                assert!(!panics, "wanted");
                bail!("the disk is gone")
            });
            let failed = lifecycle
                .run(Signals::install().unwrap(), |_| ())
                .await
                .unwrap_err();
            assert!(format!("{failed:#}").starts_with("run the fence: "), "{failed:#}");
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_a_failure_too() {
        let mut lifecycle = Lifecycle::new(Duration::ZERO);
        lifecycle.spawn_until_stopped("pinger", Stage::Core, async {});
        let failed = lifecycle
            .run(Signals::install().unwrap(), |_| ())
            .await
            .unwrap_err();
        assert!(format!("{failed:#}").contains("ended by itself"), "{failed:#}");
    }
}
