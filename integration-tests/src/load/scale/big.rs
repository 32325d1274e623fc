//! A million current records and a million words of patients: how long the daemon takes to be there again after it
//! was killed, what memory it needs then, and what a new agreement over all of it costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use handfast_proto::{ids::NhsNumber, v1::Side};
use serde::Serialize;

use super::{
    enrol::OPTIONS,
    recipient::Recipient,
    source::{Content, MAX_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES, Source, whole},
    verdict::{Aim, Circumstances, Shown},
    watch::{MIB, Sampled, own_memory, quiet},
    words::{SIDES, record},
};
use crate::harness::{Deployment, UnitAtTest, cpu, nhs_numbers, peak_memory, resident_memory};

/// Units at which words are recorded; the first is the source, the second the recipient.
const UNITS: usize = 4;
/// Nothing goes without a patient's word then: what comes after the start proves that words were read.
const ONLY_WITH_A_YES: [&str; 2] = ["--policy", "explicit"];
/// How long the daemon may be at work after a change before it is measured all the same.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How long a catch-up may take.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);

/// Samples of memory that the result keeps.
const SHOWN_SAMPLES: usize = 100;

/// From the start of the program until it answers.
const START_AIM_SECONDS: f64 = 5.0;
/// The daemon's own memory after a start, for each record and word that it has.
const MEMORY_AIM_BYTES: f64 = 256.0;
/// What a catch-up may add to it at most, whatever it is over.
const GROWTH_AIM_MIB: f64 = 64.0;

/// How much.
#[derive(Debug, Clone, Args)]
pub struct BigOptions {
    /// Current records of the source.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(64..=20_000_000))]
    pub records: u64,
    /// Words of patients in force, at four units together.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(800..=6_000_000))]
    pub words: u32,
    /// Bytes of each record.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(i64::from(MIN_PAYLOAD_BYTES)..=i64::from(MAX_PAYLOAD_BYTES)))]
    pub payload_bytes: u32,
}

/// What it cost.
#[derive(Debug, Clone, Serialize)]
pub struct BigFigures {
    /// Current records of the source.
    pub records: u64,
    /// Words in force.
    pub words: usize,
    /// Bytes of each record.
    pub payload_bytes: u32,
    /// Words recorded in a second.
    pub words_per_second: f64,
    /// Records published in a second.
    pub records_per_second: f64,
    /// The daemon's own memory after filling.
    pub memory_filled_mib: f64,
    /// From SIGKILL and a new start until the daemon answered.
    pub start_seconds: f64,
    /// CPU time of the start.
    pub start_cpu_seconds: f64,
    /// The daemon's own memory once it had started and was quiet, and all that is resident.
    pub memory_started_mib: f64,
    /// The same with the pages of files.
    pub resident_started_mib: f64,
    /// The most that was resident until then.
    pub start_peak_mib: f64,
    /// From the call that turned the second half on until everything had come.
    pub caught_up_seconds: f64,
    /// CPU time of the daemon for it.
    pub caught_up_cpu_seconds: f64,
    /// The daemon's own memory while it went on, sampled; at most [`SHOWN_SAMPLES`], evenly spread.
    pub caught_up_memory_mib: Vec<f64>,
    /// How far the most of all samples was above what it had before.
    pub caught_up_growth_mib: f64,
    /// What was aimed at.
    pub aims: Vec<Aim>,
    /// Where and when.
    pub circumstances: Circumstances,
}

struct CatchUp {
    took: Duration,
    cpu: Duration,
    before: u64,
    /// Its own memory, sampled.
    memory: Vec<u64>,
}

impl CatchUp {
    fn growth(&self) -> u64 {
        let most = self.memory.iter().copied().max().unwrap_or(0);
        most.saturating_sub(self.before)
    }
}

fn shown(samples: &[u64]) -> Vec<f64> {
    let every = samples.len().div_ceil(SHOWN_SAMPLES).max(1);
    samples
        .iter()
        .step_by(every)
        .map(|bytes| *bytes as f64 / MIB)
        .collect()
}

/// Fills, kills, starts and joins.
pub async fn big(options: &BigOptions) -> anyhow::Result<BigFigures> {
    let circumstances = Circumstances::now();
    let deployment = Deployment::made_with(&ONLY_WITH_A_YES, &OPTIONS).await?;
    let mut units = Vec::new();
    for n in 0..UNITS {
        units.push(deployment.add_unit(&format!("Z{n:05}"), "gp").await?);
    }
    let patients: Vec<NhsNumber> = nhs_numbers()
        .take(usize::try_from(options.words)? / UNITS / SIDES)
        .collect();
    let words = patients.len() * UNITS * SIDES;
    let url = deployment.url();
    let recorded = record(&url, &units, &patients).await?;
    let source = units.first().context("a source")?;
    let records = whole(options.records);
    let content = Content {
        patients: patients.into(),
        payload_bytes: options.payload_bytes,
    };
    let mut publishing = Source::open(&url, &deployment.enrol(source).await?, content).await?;
    let filled = publishing.fill(records, "records published").await?;
    drop(publishing);
    quiet(deployment.pid()?, QUIET_WITHIN).await?;
    let memory_filled = own_memory(deployment.pid()?)?;

    deployment.kill();
    let begun = Instant::now();
    deployment.serve().await?;
    let start = begun.elapsed();
    let pid = deployment.pid()?;
    let start_cpu = cpu(pid)?;
    quiet(pid, QUIET_WITHIN).await?;
    let (memory, resident, peak) = (own_memory(pid)?, resident_memory(pid)?, peak_memory(pid)?);
    let caught_up = catch_up(&deployment, &units, records, options.payload_bytes).await?;
    deployment.finished();
    let mut figures = BigFigures {
        records,
        words,
        payload_bytes: options.payload_bytes,
        words_per_second: words as f64 / recorded.as_secs_f64(),
        records_per_second: records as f64 / filled.as_secs_f64(),
        memory_filled_mib: memory_filled as f64 / MIB,
        start_seconds: start.as_secs_f64(),
        start_cpu_seconds: start_cpu.as_secs_f64(),
        memory_started_mib: memory as f64 / MIB,
        resident_started_mib: resident as f64 / MIB,
        start_peak_mib: peak as f64 / MIB,
        caught_up_seconds: caught_up.took.as_secs_f64(),
        caught_up_cpu_seconds: caught_up.cpu.as_secs_f64(),
        caught_up_memory_mib: shown(&caught_up.memory),
        caught_up_growth_mib: caught_up.growth() as f64 / MIB,
        aims: Vec::new(),
        circumstances,
    };
    figures.aims = aims(&figures);
    Ok(figures)
}

/// A new agreement over everything.
async fn catch_up(
    deployment: &Deployment,
    units: &[UnitAtTest],
    records: u64,
    payload_bytes: u32,
) -> anyhow::Result<CatchUp> {
    let [source, recipient, ..] = units else {
        anyhow::bail!("a source and a recipient")
    };
    let identity = deployment.enrol(recipient).await?;
    let mut receiving = Recipient::start(&deployment.url(), &identity, payload_bytes).await?;
    let (from, to) = (&source.ods, &recipient.ods);
    source.admin.set(Side::ShareOut, from, to, true).await?;
    let pid = deployment.pid()?;
    quiet(pid, QUIET_WITHIN).await?;
    let (before, cpu_before, begun) = (own_memory(pid)?, cpu(pid)?, Instant::now());
    let memory = Sampled::begin(pid);
    recipient.admin.set(Side::ShareIn, from, to, true).await?;
    let seen = tokio::time::timeout(CAUGHT_UP_WITHIN, receiving.until(|seen| seen.caught_up)).await;
    let seen = seen.with_context(|| format!("a catch-up took longer than {CAUGHT_UP_WITHIN:?}"))??;
    let took = begun.elapsed();
    ensure!(
        seen.amendments == records,
        "{} records came of {records}",
        seen.amendments
    );
    Ok(CatchUp {
        took,
        cpu: cpu(pid)? - cpu_before,
        before,
        memory: memory.end(),
    })
}

fn aims(figures: &BigFigures) -> Vec<Aim> {
    let each = figures.memory_started_mib * MIB / (figures.records as f64 + figures.words as f64);
    vec![
        Aim::at_most(
            "from a start until it answers",
            figures.start_seconds,
            START_AIM_SECONDS,
            "s",
        ),
        Aim::at_most(
            "own memory after a start, a record or word",
            each,
            MEMORY_AIM_BYTES,
            "bytes",
        ),
        Aim::at_most(
            "memory that a catch-up adds",
            figures.caught_up_growth_mib,
            GROWTH_AIM_MIB,
            "MiB",
        ),
    ]
}

impl Shown for BigFigures {
    fn title(&self) -> &'static str {
        "Many records and many words of patients"
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |what: &str, much: String| (what.to_owned(), much);
        vec![
            row(
                "records, words",
                format!(
                    "{} of {} B at {:.0}/s, {} at {:.0}/s",
                    self.records,
                    self.payload_bytes,
                    self.records_per_second,
                    self.words,
                    self.words_per_second
                ),
            ),
            row(
                "killed; answers again after, CPU time",
                format!("{:.2} s, {:.2} s", self.start_seconds, self.start_cpu_seconds),
            ),
            row(
                "own memory filled, started; resident, most",
                format!(
                    "{:.0}, {:.0}; {:.0}, {:.0} MiB",
                    self.memory_filled_mib,
                    self.memory_started_mib,
                    self.resident_started_mib,
                    self.start_peak_mib
                ),
            ),
            row(
                "catch-up over all, CPU time, memory added",
                format!(
                    "{:.1} s, {:.1} s, {:.0} MiB",
                    self.caught_up_seconds, self.caught_up_cpu_seconds, self.caught_up_growth_mib
                ),
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
