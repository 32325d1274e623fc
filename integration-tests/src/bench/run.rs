//! Sets a deployment up for each scenario, lets it run, and measures a stretch of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use handfast_proto::v1::Side;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    agents,
    flood::{self, Templates},
    latency,
    report::Figures,
    sink::{self, Counted},
};
use crate::harness::{Deployment, Identity, UnitAtTest, cpu, peak_memory};

/// How long a scenario runs before it is measured.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);
/// The open loop's rate, amendments a second.
const OPEN_LOOP_RATE: u64 = 2_000;
/// What comes in the first second of the open loop is left out: connections are being made.
const SETTLE: Duration = Duration::from_secs(1);

/// Which scenarios, and for how long each is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Measured seconds of each.
    pub seconds: u64,
    /// Only scenarios whose name contains this.
    pub only: Option<String>,
}

/// Runs the scenarios one after the other.
pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Figures>> {
    let templates = Templates::new()?;
    let mut out = Vec::new();
    for (name, sources, recipients) in [("clients 1 to 1", 1, 1), ("clients 16 to 4", 16, 4)] {
        if wanted(plan, name) {
            out.push(saturated(name, sources, recipients, plan.seconds, &templates).await?);
        }
    }
    for (name, sources, recipients) in [("agents 1 to 1", 1, 1), ("agents 16 to 4", 16, 4)] {
        if wanted(plan, name) {
            out.push(agents::saturated(name, sources, recipients, plan.seconds).await?);
        }
    }
    let name = "clients 1 to 1, open loop 2,000/s";
    if wanted(plan, name) {
        out.push(open_loop(name, plan.seconds).await?);
    }
    Ok(out)
}

fn wanted(plan: &Plan, name: &str) -> bool {
    plan.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
}

/// A deployment whose sources all share with all recipients.
pub(super) struct Stage {
    pub(super) deployment: Deployment,
    pub(super) sources: Vec<(UnitAtTest, Identity)>,
    pub(super) recipients: Vec<(UnitAtTest, Identity)>,
}

pub(super) async fn stage(sources: usize, recipients: usize) -> anyhow::Result<Stage> {
    let deployment = Deployment::start().await?;
    let mut units = Vec::new();
    for n in 0..sources + recipients {
        let unit = deployment.add_unit(&format!("Z{n:05}"), "gp").await?;
        let identity = deployment.enrol(&unit).await?;
        units.push((unit, identity));
    }
    let recipients = units.split_off(sources);
    for (source, _) in &units {
        for (recipient, _) in &recipients {
            source
                .admin
                .set(Side::ShareOut, &source.ods, &recipient.ods, true)
                .await?;
            recipient
                .admin
                .set(Side::ShareIn, &source.ods, &recipient.ods, true)
                .await?;
        }
    }
    Ok(Stage {
        deployment,
        sources: units,
        recipients,
    })
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
        (sources, recipients): (usize, usize),
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
            sources,
            recipients,
            seconds,
            durable_per_second: durable / seconds,
            delivered_per_second: delivered / seconds,
            daemon_cpu_seconds: cpu,
            daemon_cpu_seconds_per_million: cpu * 1e6 / durable.max(1.0),
            daemon_peak_mib: peak_memory(pid)? as f64 / 1_048_576.0,
            latency_ms: None,
        })
    }
}

async fn saturated(
    name: &str,
    sources: usize,
    recipients: usize,
    seconds: u64,
    templates: &Arc<Templates>,
) -> anyhow::Result<Figures> {
    let stage = stage(sources, recipients).await?;
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
    let figures = stretch.end(pid, name, (sources, recipients), durable(), delivered())?;
    clients.abort_all();
    stage.deployment.finished();
    Ok(figures)
}

async fn open_loop(name: &str, seconds: u64) -> anyhow::Result<Figures> {
    let stage = stage(1, 1).await?;
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
    let mut figures = stretch?.end(pid, name, (1, 1), total, delivered())?;
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
