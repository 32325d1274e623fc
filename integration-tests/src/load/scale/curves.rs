//! What an amendment costs the daemon for each of its recipients, beside more and more units that are idle, and with
//! more and more recipients.
//!
//! The same flow, at times that are due whatever happens, beside idle units that are enrolled, joined each with the
//! next and connected as agents are; and then one flow to more and more recipients. What the idle ones cost by
//! themselves is measured before each flow and taken out of what the flow costs. Each run checks what arrives.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::Side;
use serde::Serialize;

use super::{
    away::rate,
    crowd::Crowd,
    enrol::{self, Enrolled},
    fit::bend,
    idle::until,
    verdict::{Aim, Circumstances, Shown},
    watch::{cores, quiet},
};
use crate::{
    harness::{Admin, Deployment, Identity},
    load::{
        Given, Machine, Options, Outcome,
        plan::{Data, Payload, Plan, Rate, Topology},
        run,
    },
};

/// Streams of an agent.
const STREAMS: usize = 2;
/// Idle agents in a process of their own.
const AGENTS_A_PROCESS: usize = 2_500;
/// Halves turned at one time.
const JOINED_AT_ONCE: usize = 16;
/// How long idle units may take to connect.
const CONNECTED_WITHIN: Duration = Duration::from_secs(300);
/// How long the daemon may be at work before it is measured all the same.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// How long what the idle units cost by themselves is measured at most, in seconds.
const IDLE_SECONDS: u32 = 5;
/// How long each flow runs before it is measured, in seconds.
const WARM_UP_SECONDS: u32 = 1;
/// Bytes of each amendment.
const PAYLOAD_BYTES: u32 = 1024;
/// Recipients beside idle units.
const RECIPIENTS_BESIDE: u32 = 2;

/// What one delivery may cost beside the most idle units, of what it costs beside the fewest.
const FLAT_AIM: f64 = 1.25;
/// Of what one delivery costs with the fewest recipients, at most so much with the most.
const EACH_AIM: f64 = 1.1;
/// How far the daemon's CPU time for an amendment may be from a straight line over its recipients, of what the line says.
const BEND_AIM: f64 = 0.15;
/// Points without which nothing can be said of a line, and of two ends.
const LINE_POINTS: usize = 3;
/// The same of two ends.
const ENDS: usize = 2;

/// Which points, and how long.
#[derive(Debug, Clone, Args)]
pub struct CurvesOptions {
    /// Units that are idle beside the flow, rising.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000], value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub units: Vec<u32>,
    /// Recipients of the flow, rising.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16], value_parser = clap::value_parser!(u32).range(1..=64))]
    pub recipients: Vec<u32>,
    /// Amendments a second of the flow.
    #[arg(long, default_value_t = 2_000.0, value_name = "RATE", value_parser = rate)]
    pub per_second: f64,
    /// How long each point is measured.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
}

/// What it cost.
#[derive(Debug, Clone, Serialize)]
pub struct CurvesFigures {
    /// Amendments a second that were due.
    pub per_second: f64,
    /// Beside more and more idle units.
    pub by_idle_units: Vec<Point>,
    /// With more and more recipients.
    pub by_recipients: Vec<Point>,
    /// What was aimed at.
    pub aims: Vec<Aim>,
    /// Where and when.
    pub circumstances: Circumstances,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Units that are connected and idle, each with an agreement with the next.
    pub idle_units: u32,
    /// Recipients of the flow.
    pub recipients: u32,
    /// Amendments that were durable in the measured time.
    pub amendments: u64,
    /// Those received, all recipients together.
    pub deliveries: u64,
    /// Cores that the daemon kept busy before the flow began.
    pub idle_cores: f64,
    /// The daemon's CPU time in the measured time.
    pub cpu_s: f64,
    /// The same without what the idle ones cost by themselves, in microseconds for each delivery.
    pub us_a_delivery: f64,
    /// Latency: the median.
    pub p50_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// Whether nothing leaked, was lost, came twice, out of order or forged.
    pub sound: bool,
}

/// Measures both curves, with one daemon.
pub async fn curves(options: &CurvesOptions) -> anyhow::Result<CurvesFigures> {
    let circumstances = Circumstances::now();
    let (units, recipients) = (rising(&options.units), rising(&options.recipients));
    ensure!(
        units.len() >= ENDS && recipients.len() >= LINE_POINTS,
        "give at least {ENDS} numbers of --units and {LINE_POINTS} of --recipients: of fewer points nothing can be said"
    );
    let deployment = Deployment::made_with(&["--operator-sets-halves"], &enrol::OPTIONS).await?;
    let (mut by_recipients, mut by_idle_units) = (Vec::new(), Vec::new());
    for recipients in recipients {
        by_recipients.push(point(&deployment, options, (0, recipients)).await?);
    }
    let mut idle = Idle::default();
    for units in units {
        idle.grow(&deployment, units).await?;
        by_idle_units.push(point(&deployment, options, (units, RECIPIENTS_BESIDE)).await?);
    }
    drop(idle);
    deployment.finished();
    let aims = aims(&by_idle_units, &by_recipients);
    Ok(CurvesFigures {
        per_second: options.per_second,
        by_idle_units,
        by_recipients,
        aims,
        circumstances,
    })
}

fn rising(of: &[u32]) -> Vec<u32> {
    let mut rising = of.to_vec();
    rising.sort_unstable();
    rising.dedup();
    rising
}

async fn point(
    deployment: &Deployment,
    options: &CurvesOptions,
    (idle_units, recipients): (u32, u32),
) -> anyhow::Result<Point> {
    let pid = deployment.pid()?;
    quiet(pid, QUIET_WITHIN).await?;
    let idle_cores = cores(pid, Duration::from_secs(options.seconds.min(IDLE_SECONDS).into())).await?;
    let plan = Plan {
        name: format!("{idle_units} idle units and {recipients} recipients"),
        seconds: options.seconds,
        warm_up_seconds: WARM_UP_SECONDS,
        topology: Topology::Bipartite {
            sources: 1,
            recipients,
        },
        rate: Rate::Constant {
            per_second: options.per_second,
        },
        data: Data {
            payload: Payload::Fixed(PAYLOAD_BYTES),
            ..Data::default()
        },
        ..Plan::default()
    };
    let given = Given {
        url: deployment.url(),
        profile: deployment.operator(),
        process: Some((pid, deployment.state_dir().to_owned())),
    };
    let options = Options {
        daemon: Some(given),
        progress: true,
        machine: Machine::look(),
    };
    let outcome = Box::pin(run(&plan, &options));
    let outcome = outcome.await.with_context(|| format!("measure {}", plan.name))?;
    as_point((idle_units, recipients), idle_cores, &outcome)
}

fn as_point((idle_units, recipients): (u32, u32), idle_cores: f64, of: &Outcome) -> anyhow::Result<Point> {
    let cpu_s = of.daemon.context("what the daemon used")?.cpu_s;
    let latency = of.latency_ms.context("nothing arrived")?;
    let of_the_flow = (cpu_s - idle_cores * of.seconds).max(0.0);
    Ok(Point {
        idle_units,
        recipients,
        amendments: of.amendments,
        deliveries: of.deliveries,
        idle_cores,
        cpu_s,
        us_a_delivery: of_the_flow * 1e6 / of.deliveries as f64,
        p50_ms: latency.p50,
        p99_ms: latency.p99,
        sound: of.sound(),
    })
}

/// Units that do nothing, each with an agreement with the next, and their agents' links.
#[derive(Default)]
struct Idle {
    units: u32,
    crowds: Vec<Crowd>,
}

impl Idle {
    /// Brings them to so many.
    async fn grow(&mut self, deployment: &Deployment, to: u32) -> anyhow::Result<()> {
        let (from, more) = (self.units, usize::try_from(to.saturating_sub(self.units))?);
        if more == 0 {
            return Ok(());
        }
        let (units, _) = enrol::enrol(deployment, usize::try_from(from)?, more).await?;
        join(deployment, &units).await?;
        let dir = deployment.dir().join(format!("idle-{from}"));
        std::fs::create_dir(&dir).context("make a folder for idle agents")?;
        let daemon = SocketAddr::from(([127, 0, 0, 1], deployment.port()));
        let mut crowd = Crowd::start(&dir, daemon, &units, (from, AGENTS_A_PROCESS))?;
        until(
            &mut crowd,
            more * STREAMS,
            CONNECTED_WITHIN,
            "idle units' streams stand",
        )
        .await?;
        self.crowds.push(crowd);
        self.units = to;
        Ok(())
    }
}

/// Joins each with the next.
async fn join(deployment: &Deployment, units: &[Enrolled]) -> anyhow::Result<()> {
    let operator = Admin::new(&deployment.url(), Identity::load(&deployment.operator())?);
    let operator = &operator;
    stream::iter(units.windows(2))
        .map(|pair| async move {
            let [from, to] = pair else { return Ok(()) };
            operator.set(Side::ShareOut, &from.ods, &to.ods, true).await?;
            operator.set(Side::ShareIn, &from.ods, &to.ods, true).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(JOINED_AT_ONCE)
        .try_collect()
        .await
}

fn aims(by_idle_units: &[Point], by_recipients: &[Point]) -> Vec<Aim> {
    let ratio = |points: &[Point]| match points {
        [first, .., last] => last.us_a_delivery / first.us_a_delivery,
        _ => f64::INFINITY,
    };
    let line: Vec<(f64, f64)> = by_recipients
        .iter()
        .map(|point| (f64::from(point.recipients), point.cpu_s / point.amendments as f64))
        .collect();
    let unsound = by_idle_units
        .iter()
        .chain(by_recipients)
        .filter(|point| !point.sound)
        .count();
    vec![
        Aim::at_most(
            "a delivery beside the most idle units, of one beside the fewest",
            ratio(by_idle_units),
            FLAT_AIM,
            "",
        ),
        Aim::at_most(
            "a delivery to the most recipients, of one to the fewest",
            ratio(by_recipients),
            EACH_AIM,
            "",
        ),
        Aim::at_most(
            "how far an amendment's cost is from a straight line over its recipients",
            bend(&line).unwrap_or(f64::INFINITY),
            BEND_AIM,
            "",
        ),
        Aim::at_most("runs that were not sound", unsound as f64, 0.0, ""),
    ]
}

impl Shown for CurvesFigures {
    fn title(&self) -> &'static str {
        "What a delivery costs the daemon, by idle units and by recipients"
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |point: &Point| {
            let what = format!(
                "{} idle units and {} recipients",
                point.idle_units, point.recipients
            );
            let much = format!(
                "{:.1} us a delivery ({} in {:.2} s of CPU), idle {:.3} cores, p50 {:.1}, p99 {:.1} ms",
                point.us_a_delivery,
                point.deliveries,
                point.cpu_s,
                point.idle_cores,
                point.p50_ms,
                point.p99_ms
            );
            (what, much)
        };
        let all = self.by_idle_units.iter().chain(&self.by_recipients);
        std::iter::once(("amendments due".to_owned(), format!("{:.0}/s", self.per_second)))
            .chain(all.map(row))
            .collect()
    }

    fn aims(&self) -> &[Aim] {
        &self.aims
    }

    fn circumstances(&self) -> &Circumstances {
        &self.circumstances
    }
}
