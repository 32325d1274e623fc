//! Sets a deployment up for each scenario, lets it run, and measures a stretch of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    agents,
    flood::{self, Templates},
    latency,
    report::{Figures, Report},
    sink::{self, Counted},
    stage::Stage,
    toggle::{self, Toggle},
};
use crate::harness::{cpu, peak_memory};

/// How long a scenario runs before it is measured.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);
/// The open loop's rate, amendments a second.
const OPEN_LOOP_RATE: u64 = 2_000;
/// What comes in the first second of the open loop is left out: connections are being made.
const SETTLE: Duration = Duration::from_secs(1);

/// The scenario that turns halves.
const TOGGLE: &str = "toggle";

/// Which scenarios, and for how long each is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Measured seconds of each.
    pub seconds: u64,
    /// Only scenarios whose name contains this.
    pub only: Option<String>,
    /// Whether agreements and patients' words are loaded before the measured stretch.
    pub loaded: bool,
    /// Current records behind the halves that are turned.
    pub records: u64,
    /// How often they are turned off at rest, and as often in the middle of a catch-up.
    pub turns: u32,
}

impl Plan {
    fn has(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

/// Runs the scenarios one after the other.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let scenarios = streams(plan).await?;
    let toggle = Toggle {
        records: plan.records,
        turns: plan.turns,
        loaded: plan.loaded,
    };
    let toggle = if plan.has(TOGGLE) {
        Some(toggle::run(toggle).await?)
    } else {
        None
    };
    Ok(Report { scenarios, toggle })
}

/// Runs those in which amendments flow.
pub(super) async fn streams(plan: &Plan) -> anyhow::Result<Vec<Figures>> {
    let templates = Templates::new()?;
    let mut out = Vec::new();
    for (name, sources, recipients) in [("clients 1 to 1", 1, 1), ("clients 16 to 4", 16, 4)] {
        if plan.has(name) {
            let stage = Stage::joined(sources, recipients, plan.loaded).await?;
            out.push(saturated(name, stage, plan.seconds, &templates).await?);
        }
    }
    for (name, sources, recipients) in [("agents 1 to 1", 1, 1), ("agents 16 to 4", 16, 4)] {
        if plan.has(name) {
            let stage = Stage::joined(sources, recipients, plan.loaded).await?;
            out.push(agents::saturated(name, stage, plan.seconds).await?);
        }
    }
    let name = "clients 1 to 1, open loop 2,000/s";
    if plan.has(name) {
        let stage = Stage::joined(1, 1, plan.loaded).await?;
        out.push(open_loop(name, stage, plan.seconds).await?);
    }
    Ok(out)
}

/// What is counted over a stretch of time.
pub(super) struct Stretch {
    begun: Instant,
    cpu: Duration,
    durable: u64,
    delivered: u64,
}

impl Stretch {
    pub(super) fn begin(pid: u32, durable: u64, delivered: u64) -> anyhow::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            cpu: cpu(pid)?,
            durable,
            delivered,
        })
    }

    pub(super) fn end(
        &self,
        pid: u32,
        scenario: &str,
        stage: &Stage,
        durable: u64,
        delivered: u64,
    ) -> anyhow::Result<Figures> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu = (cpu(pid)? - self.cpu).as_secs_f64();
        let (durable, delivered) = (
            (durable - self.durable) as f64,
            (delivered - self.delivered) as f64,
        );
        Ok(Figures {
            scenario: scenario.to_owned(),
            sources: stage.sources.len(),
            recipients: stage.recipients.len(),
            seconds,
            durable_per_second: durable / seconds,
            delivered_per_second: delivered / seconds,
            daemon_cpu_seconds: cpu,
            daemon_cpu_seconds_per_million: cpu * 1e6 / durable.max(1.0),
            daemon_peak_mib: peak_memory(pid)? as f64 / 1_048_576.0,
            latency_ms: None,
            load: stage.load.clone(),
        })
    }
}

async fn saturated(
    name: &str,
    stage: Stage,
    seconds: u64,
    templates: &Arc<Templates>,
) -> anyhow::Result<Figures> {
    let (url, pid) = (stage.deployment.url(), stage.deployment.pid()?);
    let counted = Counted {
        delivered: Arc::default(),
        latency: None,
    };
    let mut clients = JoinSet::new();
    for (_, identity) in &stage.recipients {
        clients.spawn(joined(sink::start(&url, identity, counted.clone())));
    }
    let mut acks = Vec::new();
    for (_, identity) in &stage.sources {
        let acked = Arc::new(AtomicU64::new(0));
        acks.push(acked.clone());
        clients.spawn(joined(flood::start(&url, identity, templates.clone(), acked)));
    }
    let durable = || acks.iter().map(|a| a.load(Ordering::Relaxed)).sum();
    let delivered = || counted.delivered.load(Ordering::Relaxed);
    running(&mut clients, WARM_UP).await?;
    let stretch = Stretch::begin(pid, durable(), delivered())?;
    running(&mut clients, Duration::from_secs(seconds)).await?;
    let figures = stretch.end(pid, name, &stage, durable(), delivered())?;
    clients.abort_all();
    stage.deployment.finished();
    Ok(figures)
}

async fn open_loop(name: &str, stage: Stage, seconds: u64) -> anyhow::Result<Figures> {
    let (url, pid) = (stage.deployment.url(), stage.deployment.pid()?);
    let base = Instant::now();
    let histogram = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?));
    let counted = Counted {
        delivered: Arc::default(),
        latency: Some((base, histogram.clone())),
    };
    let (_, recipient) = stage.recipients.first().context("a recipient")?;
    let (_, source) = stage.sources.first().context("a source")?;
    let sink = sink::start(&url, recipient, counted.clone());
    // The subscription is there before the first amendment is due.
    tokio::time::sleep(SETTLE).await;
    let lasting = Duration::from_secs(seconds) + SETTLE;
    let delivered = || counted.delivered.load(Ordering::Relaxed);
    let clear = async {
        tokio::time::sleep(SETTLE).await;
        histogram.lock().reset();
        Stretch::begin(pid, OPEN_LOOP_RATE * SETTLE.as_secs(), delivered())
    };
    let (driven, stretch) = tokio::join!(latency::drive(&url, source, base, OPEN_LOOP_RATE, lasting), clear);
    driven?;
    let total = OPEN_LOOP_RATE * lasting.as_secs();
    let mut figures = stretch?.end(pid, name, &stage, total, delivered())?;
    sink.abort();
    let histogram = histogram.lock();
    let ms = |q| histogram.value_at_quantile(q) as f64 / 1_000.0;
    figures.latency_ms = Some([ms(0.5), ms(0.99), ms(0.999), histogram.max() as f64 / 1_000.0]);
    stage.deployment.finished();
    Ok(figures)
}

async fn joined(task: tokio::task::JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    struct Abort(tokio::task::AbortHandle);
    impl Drop for Abort {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let _abort = Abort(task.abort_handle());
    task.await.context("a client")?
}

/// Lets the clients run for a time; fails where one of them ends.
pub(super) async fn running(
    clients: &mut JoinSet<anyhow::Result<()>>,
    lasting: Duration,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = clients.join_next() => {
            ended.context("there are no clients")?.context("a client")??;
            anyhow::bail!("a client ended by itself")
        }
        () = tokio::time::sleep(lasting) => Ok(()),
    }
}
