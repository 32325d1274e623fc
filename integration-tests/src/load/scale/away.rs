//! A recipient that was away for what amounts to a week, and returns: what the others have of that.
//!
//! The others receive from the same source all the while. At first everything of the week is published as fast as it
//! goes, with the one recipient away; then so many amendments a second, at times that are due whatever happens. These
//! are measured twice: with the one still away, and from its return until it holds all that was there when it
//! returned.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use handfast_proto::v1::Side;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    recipient::{Late, Recipient, late},
    source::{Content, MAX_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES, Source, whole},
    verdict::{Aim, Circumstances, Shown},
    watch::{bar, quiet},
};
use crate::harness::{Deployment, UnitAtTest, cpu, nhs_numbers};

/// Patients of the source.
const PATIENTS: usize = 10_000;
/// How long others may take for a week of it, and the one that returns.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(900);
/// How long the daemon may be at work before it is measured all the same.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How long the steady flow runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Of the rate at which others received before the return, at least so much beside it.
const RATE_AIM: f64 = 0.98;
/// What the return may add to the others' latency: to the median, and to the 99th percentile.
const MEDIAN_AIM_MS: f64 = 10.0;
const TAIL_AIM_MS: f64 = 50.0;

/// How much, and beside what.
#[derive(Debug, Clone, Args)]
pub struct AwayOptions {
    /// Amendments of the week: an acute trust's, 100,000 a day.
    #[arg(long, default_value_t = 700_000, value_parser = clap::value_parser!(u64).range(64..=20_000_000))]
    pub week: u64,
    /// Recipients that are there all the while.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub others: u32,
    /// Amendments a second while it is measured.
    #[arg(long, default_value_t = 1_000.0, value_name = "RATE", value_parser = rate)]
    pub per_second: f64,
    /// How long it is measured before the return.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Bytes of each amendment.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(i64::from(MIN_PAYLOAD_BYTES)..=i64::from(MAX_PAYLOAD_BYTES)))]
    pub payload_bytes: u32,
}

/// Amendments a second that a flow may have.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 1 to 100000".to_owned()),
    }
}

/// What the others had of it.
#[derive(Debug, Clone, Serialize)]
pub struct AwayFigures {
    /// Amendments that waited for the one that was away.
    pub week: u64,
    /// Recipients that were there.
    pub others: u32,
    /// Amendments a second that were due while it was measured.
    pub per_second: f64,
    /// Bytes of each amendment.
    pub payload_bytes: u32,
    /// With the one away.
    pub before: Stretch,
    /// From its return until it held all that was there then.
    pub during: Stretch,
    /// What the one that returned received a second.
    pub returned_per_second: f64,
    /// What was aimed at.
    pub aims: Vec<Aim>,
    /// Where and when.
    pub circumstances: Circumstances,
}

/// What the others received in a stretch of time.
#[derive(Debug, Clone, Serialize)]
pub struct Stretch {
    /// How long it was.
    pub seconds: f64,
    /// Amendments that one of them received in a second.
    pub per_second_each: f64,
    /// From when it was due to receipt, in milliseconds: the median.
    pub p50_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// The most.
    pub max_ms: f64,
    /// The daemon's CPU time over the time.
    pub daemon_cores: f64,
}

/// Everyone who takes part, once the week is published: the others have it, and the one that is away has not.
struct Cast {
    deployment: Deployment,
    source: Source,
    returning: Recipient,
    others: Vec<Recipient>,
}

/// Fills, measures, lets the one return and measures again.
pub async fn away(options: &AwayOptions) -> anyhow::Result<AwayFigures> {
    let circumstances = Circumstances::now();
    let week = whole(options.week);
    let Cast {
        deployment,
        source,
        mut returning,
        mut others,
    } = gather(options, week).await?;
    let pid = deployment.pid()?;
    quiet(pid, QUIET_WITHIN).await?;
    let (stop, acked) = (CancellationToken::new(), source.acked());
    let flow = tokio::spawn(source.flow(options.per_second, stop.clone()));
    tokio::time::sleep(WARM_UP).await;
    let measuring = Measuring::begin(pid, &others)?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let before = measuring.end(&others)?;

    let (there, had) = (acked.load(Ordering::Relaxed), returning.seen().amendments);
    let measuring = Measuring::begin(pid, &others)?;
    returning.come().await?;
    comes_back(&mut returning, had, there).await?;
    let during = measuring.end(&others)?;
    stop.cancel();
    let sent = flow.await.context("the source")??;
    all_have(&mut others, sent).await?;
    comes_back(&mut returning, had, sent).await?;
    deployment.finished();
    let mut figures = AwayFigures {
        week,
        others: options.others,
        per_second: options.per_second,
        payload_bytes: options.payload_bytes,
        returned_per_second: (there - had) as f64 / during.seconds,
        before,
        during,
        aims: Vec::new(),
        circumstances,
    };
    figures.aims = aims(&figures);
    Ok(figures)
}

async fn gather(options: &AwayOptions, week: u64) -> anyhow::Result<Cast> {
    let bytes = options.payload_bytes;
    let deployment = Deployment::start().await?;
    let unit = deployment.add_unit("Z00001", "acute").await?;
    let content = Content {
        patients: nhs_numbers().take(PATIENTS).collect(),
        payload_bytes: bytes,
    };
    let identity = deployment.enrol(&unit).await?;
    let mut source = Source::open(&deployment.url(), &identity, content).await?;
    let mut returning = join(&deployment, &unit, 2, bytes).await?;
    returning.leave();
    let mut others = Vec::new();
    for n in 0..options.others {
        others.push(join(&deployment, &unit, n + 3, bytes).await?);
    }
    source.fill(week, "amendments of a week").await?;
    all_have(&mut others, week).await?;
    Ok(Cast {
        deployment,
        source,
        returning,
        others,
    })
}

/// Unit `n`, with an agreement to which the source is the source, subscribed.
async fn join(deployment: &Deployment, source: &UnitAtTest, n: u32, bytes: u32) -> anyhow::Result<Recipient> {
    let unit = deployment.add_unit(&format!("Z{n:05}"), "gp").await?;
    let (from, to) = (&source.ods, &unit.ods);
    source.admin.set(Side::ShareOut, from, to, true).await?;
    unit.admin.set(Side::ShareIn, from, to, true).await?;
    Recipient::start(&deployment.url(), &deployment.enrol(&unit).await?, bytes).await
}

/// Waits until each has received exactly so many.
async fn all_have(others: &mut [Recipient], amendments: u64) -> anyhow::Result<()> {
    for other in others {
        let within = tokio::time::timeout(
            CAUGHT_UP_WITHIN,
            other.until(|seen| seen.amendments >= amendments),
        );
        let seen = within
            .await
            .with_context(|| format!("amendments took longer than {CAUGHT_UP_WITHIN:?}"))??;
        ensure!(
            seen.amendments == amendments,
            "{} came of {amendments}",
            seen.amendments
        );
    }
    Ok(())
}

async fn comes_back(returning: &mut Recipient, had: u64, there: u64) -> anyhow::Result<()> {
    let progress = bar(
        "amendments received by the one that returned",
        usize::try_from(there - had)?,
    );
    let all = returning.until(|seen| {
        progress.set_position(seen.amendments - had);
        seen.amendments >= there
    });
    let caught_up = tokio::time::timeout(CAUGHT_UP_WITHIN, all).await;
    caught_up.with_context(|| format!("the return took longer than {CAUGHT_UP_WITHIN:?}"))??;
    progress.finish_and_clear();
    Ok(())
}

struct Measuring {
    pid: u32,
    begun: Instant,
    cpu: Duration,
    received: u64,
}

impl Measuring {
    fn begin(pid: u32, others: &[Recipient]) -> anyhow::Result<Self> {
        for other in others {
            other.take_late()?;
        }
        Ok(Self {
            pid,
            begun: Instant::now(),
            cpu: cpu(pid)?,
            received: received(others),
        })
    }

    fn end(self, others: &[Recipient]) -> anyhow::Result<Stretch> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let came = received(others) - self.received;
        let mut all: Late = late()?;
        for other in others {
            all.add(other.take_late()?)?;
        }
        let ms = |ns: u64| ns as f64 / 1e6;
        Ok(Stretch {
            seconds,
            per_second_each: came as f64 / seconds / others.len() as f64,
            p50_ms: ms(all.value_at_quantile(0.5)),
            p99_ms: ms(all.value_at_quantile(0.99)),
            max_ms: ms(all.max()),
            daemon_cores: cpu(self.pid)?.saturating_sub(self.cpu).as_secs_f64() / seconds,
        })
    }
}

fn received(others: &[Recipient]) -> u64 {
    others.iter().map(|other| other.seen().amendments).sum()
}

fn aims(figures: &AwayFigures) -> Vec<Aim> {
    let (before, during) = (&figures.before, &figures.during);
    vec![
        Aim::at_least(
            "what the others received beside it, of before",
            during.per_second_each / before.per_second_each,
            RATE_AIM,
            "",
        ),
        Aim::at_most(
            "what it added to the others' median latency",
            during.p50_ms - before.p50_ms,
            MEDIAN_AIM_MS,
            "ms",
        ),
        Aim::at_most(
            "what it added to their 99th percentile",
            during.p99_ms - before.p99_ms,
            TAIL_AIM_MS,
            "ms",
        ),
    ]
}

impl Shown for AwayFigures {
    fn title(&self) -> &'static str {
        "A recipient that was away for a week, and returns"
    }

    fn rows(&self) -> Vec<(String, String)> {
        let stretch = |what: &str, of: &Stretch| {
            let much = format!(
                "{:.1} s: {:.0}/s, {:.2}, {:.2}, {:.2} ms, {:.2} cores",
                of.seconds, of.per_second_each, of.p50_ms, of.p99_ms, of.max_ms, of.daemon_cores
            );
            (what.to_owned(), much)
        };
        vec![
            (
                "waiting for it; others, due".to_owned(),
                format!(
                    "{} of {} B; {}, {:.0}/s",
                    self.week, self.payload_bytes, self.others, self.per_second
                ),
            ),
            stretch("others before: each, p50, p99, most, daemon", &self.before),
            stretch("others beside its return", &self.during),
            (
                "the one that returned received".to_owned(),
                format!("{:.0}/s", self.returned_per_second),
            ),
        ]
    }

    fn aims(&self) -> &[Aim] {
        &self.aims
    }

    fn circumstances(&self) -> &Circumstances {
        &self.circumstances
    }
}
