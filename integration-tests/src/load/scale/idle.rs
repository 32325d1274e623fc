//! Many agents with nothing to say, and all of them coming back at once.
//!
//! Each keeps open what an agent keeps open: one connection with a Publish stream and a Subscribe stream.
//! The daemon is started again between the enrolment and the first measurement, so that memory which enrolling
//! left behind does not hide what connections cost.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use super::{
    crowd::{Counts, Crowd},
    enrol::{self, Enrolled},
    verdict::{Aim, Circumstances, Shown},
    watch::{KIB, MIB, bar, cores, open_files, own_memory, quiet},
};
use crate::harness::{Deployment, cpu, peak_memory};

/// Streams of an agent over its one connection: one to publish, one to subscribe.
const STREAMS: usize = 2;
/// Files that a daemon has open beside its connections, with room.
const OTHER_FILES: usize = 200;
/// Agents in a process of their own.
const AGENTS_A_PROCESS: usize = 2_500;
/// How long all of them may take to connect for the first time, and to come back.
const CONNECTED_WITHIN: Duration = Duration::from_secs(900);
const BACK_WITHIN: Duration = Duration::from_secs(300);
/// How long the daemon may be at work after a change before it is measured all the same.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked how many are back.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The daemon's memory for each agent, in KiB.
const MEMORY_AIM_KIB: f64 = 60.0;
/// Of a core, for keepalives alone.
const CPU_AIM_CORES: f64 = 0.05;
/// Tries that reached the daemon or waited for it in vain, of all agents: one that waits inside the daemon until
/// it is turned away is part of a cascade as much as one that its agent gives up.
const IN_VAIN_AIM: f64 = 0.01;
/// Tries of an agent to connect from the moment the daemon is there again.
const TRIES_AIM: f64 = 3.0;

/// How many agents, and for how long.
#[derive(Debug, Clone, Args)]
pub struct IdleOptions {
    /// Agents, each with its connection; as many as files may be open where that is fewer.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub agents: u32,
    /// How long they are idle while the daemon's CPU time is measured.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub idle: u64,
    /// How long the daemon is away before all of them come back.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub away: u64,
    /// An option more for the daemon; may be given again.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub daemon_option: Vec<String>,
    /// Keeps the daemon's log here.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// What they cost.
#[derive(Debug, Clone, Serialize)]
pub struct IdleFigures {
    /// Agents that were asked for, and that were connected.
    pub agents_asked: usize,
    /// The same, as many as files may be open.
    pub agents: usize,
    /// How long enrolling them took.
    pub enrolled_seconds: f64,
    /// How long connecting them for the first time took.
    pub connected_seconds: f64,
    /// The daemon's own memory before the first connected, and with all of them idle.
    pub memory_before_mib: f64,
    /// With all of them idle.
    pub memory_idle_mib: f64,
    /// The difference for each agent.
    pub memory_per_agent_kib: f64,
    /// The most resident while they connected.
    pub memory_peak_mib: f64,
    /// Of a core, while they are idle.
    pub idle_cores: f64,
    /// Coming back.
    pub storm: Storm,
    /// What was aimed at.
    pub aims: Vec<Aim>,
    /// Where and when.
    pub circumstances: Circumstances,
}

/// How they came back after the daemon was killed.
#[derive(Debug, Clone, Serialize)]
pub struct Storm {
    /// How long the daemon was away.
    pub away_seconds: f64,
    /// From the start of the daemon until so many of the streams stood again.
    pub half_seconds: f64,
    /// Of 99 of 100.
    pub nearly_all_seconds: f64,
    /// Of all.
    pub all_seconds: f64,
    /// Tries from the start of the daemon on.
    pub attempts: u64,
    /// Those on which no connection was made.
    pub refused: u64,
    /// Those whose connection stood and whose stream the daemon did not open.
    pub turned_away: u64,
    /// Those that the agent gave up waiting for.
    pub timeouts: u64,
    /// The daemon's CPU time until all were back.
    pub cpu_seconds: f64,
    /// Its most resident memory until then.
    pub memory_peak_mib: f64,
}

/// Enrols, connects, measures, kills the daemon and measures again.
pub async fn idle(options: &IdleOptions) -> anyhow::Result<IdleFigures> {
    let circumstances = Circumstances::now();
    let agents_asked = usize::try_from(options.agents)?;
    let files = open_files();
    let agents = agents_asked.min(files.saturating_sub(OTHER_FILES));
    ensure!(
        agents > 0,
        "{files} open files are too few for any agent: raise the limit ({})",
        how_to_raise(agents_asked)
    );
    if agents < agents_asked {
        tell_of_files(agents_asked, agents, files);
    }
    let deployment = deployment(agents, &options.daemon_option).await?;
    let measured = measure(&deployment, agents, options).await;
    if let Some(log) = &options.log {
        std::fs::copy(deployment.log(), log).context("keep the daemon's log")?;
    }
    let mut figures = measured?;
    deployment.finished();
    figures.agents_asked = agents_asked;
    figures.circumstances = circumstances;
    figures.aims = aims(&figures);
    Ok(figures)
}

/// What lets a daemon have the connections of so many agents.
fn how_to_raise(agents: usize) -> String {
    format!(
        "`ulimit -n {}` as root in this shell, LimitNOFILE= of a service, or nofile in limits.conf(5)",
        agents + OTHER_FILES
    )
}

#[expect(clippy::print_stderr, reason = "what was asked for cannot be measured here")]
fn tell_of_files(asked: usize, agents: usize, files: usize) {
    eprintln!(
        "handfast-load: the daemon needs a file an agent and {OTHER_FILES} more; a process may have {files} open \
         here, so {agents} agents are measured and not {asked}. To measure them all raise that limit: {}",
        how_to_raise(asked)
    );
}

async fn deployment(agents: usize, more: &[String]) -> anyhow::Result<Deployment> {
    let connections = (agents + OTHER_FILES).to_string();
    let mut options: Vec<&str> = enrol::OPTIONS.to_vec();
    options.extend(["--max-connections", &connections]);
    options.extend(more.iter().map(String::as_str));
    Deployment::with_options(&options).await
}

async fn measure(
    deployment: &Deployment,
    agents: usize,
    options: &IdleOptions,
) -> anyhow::Result<IdleFigures> {
    let (units, enrolled) = enrol::enrol(deployment, 0, agents).await?;
    deployment.restart().await?;
    let pid = deployment.pid()?;
    quiet(pid, QUIET_WITHIN).await?;
    let before = own_memory(pid)?;
    let begun = Instant::now();
    let mut crowd = connect(deployment, &units).await?;
    until(&mut crowd, agents * STREAMS, CONNECTED_WITHIN, "streams stand").await?;
    let connected = begun.elapsed();
    quiet(pid, QUIET_WITHIN).await?;
    let idle_cores = cores(pid, Duration::from_secs(options.idle)).await?;
    let with = own_memory(pid)?;
    let stand = crowd.counts()?;
    ensure!(
        stand.up() == (agents * STREAMS) as u64,
        "of {} streams {} stand after the idle time",
        agents * STREAMS,
        stand.up()
    );
    let memory_peak = peak_memory(pid)?;
    let storm = storm(deployment, &mut crowd, agents, Duration::from_secs(options.away)).await?;
    Ok(IdleFigures {
        agents_asked: agents,
        agents,
        enrolled_seconds: enrolled.as_secs_f64(),
        connected_seconds: connected.as_secs_f64(),
        memory_before_mib: before as f64 / MIB,
        memory_idle_mib: with as f64 / MIB,
        memory_per_agent_kib: with.saturating_sub(before) as f64 / KIB / agents as f64,
        memory_peak_mib: memory_peak as f64 / MIB,
        idle_cores,
        storm,
        aims: Vec::new(),
        circumstances: Circumstances::now(),
    })
}

async fn connect(deployment: &Deployment, units: &[Enrolled]) -> anyhow::Result<Crowd> {
    let daemon = SocketAddr::from(([127, 0, 0, 1], deployment.port()));
    Crowd::start(deployment.dir(), daemon, units, (0, AGENTS_A_PROCESS))
}

/// Waits until so many streams stand; when each share of them did.
pub(super) async fn until(
    crowd: &mut Crowd,
    streams: usize,
    within: Duration,
    what: &'static str,
) -> anyhow::Result<[Duration; 3]> {
    let begun = Instant::now();
    let progress = bar(what, streams);
    let shares = [streams / 2, streams - streams / 100, streams];
    let mut reached = [None; 3];
    loop {
        let counts = crowd.counts()?;
        progress.set_position(counts.up());
        for (share, at) in shares.iter().zip(&mut reached) {
            if at.is_none() && counts.up() >= *share as u64 {
                *at = Some(begun.elapsed());
            }
        }
        if let [Some(half), Some(nearly), Some(all)] = reached {
            progress.finish_and_clear();
            return Ok([half, nearly, all]);
        }
        ensure!(
            begun.elapsed() < within,
            "within {within:?} not all {streams} {what}: {counts:?}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn storm(
    deployment: &Deployment,
    crowd: &mut Crowd,
    agents: usize,
    away: Duration,
) -> anyhow::Result<Storm> {
    deployment.kill();
    let killed = Instant::now();
    tokio::time::sleep(away).await;
    let before = crowd.counts()?;
    let gone = killed.elapsed();
    deployment.launch()?;
    let pid = deployment.pid()?;
    let [half, nearly, all] = until(crowd, agents * STREAMS, BACK_WITHIN, "streams stand again").await?;
    let after = crowd.counts()?;
    let since = |of: fn(&Counts) -> u64| of(&after).saturating_sub(of(&before));
    Ok(Storm {
        away_seconds: gone.as_secs_f64(),
        half_seconds: half.as_secs_f64(),
        nearly_all_seconds: nearly.as_secs_f64(),
        all_seconds: all.as_secs_f64(),
        attempts: since(|counts| counts.attempts),
        refused: since(|counts| counts.refused),
        turned_away: since(|counts| counts.turned_away),
        timeouts: since(|counts| counts.timeouts),
        cpu_seconds: cpu(pid)?.as_secs_f64(),
        memory_peak_mib: peak_memory(pid)? as f64 / MIB,
    })
}

fn aims(figures: &IdleFigures) -> Vec<Aim> {
    let agents = figures.agents as f64;
    let storm = &figures.storm;
    vec![
        Aim::at_least(
            "agents connected",
            figures.agents as f64,
            figures.agents_asked as f64,
            "agents",
        ),
        Aim::at_most(
            "the daemon's memory for each",
            figures.memory_per_agent_kib,
            MEMORY_AIM_KIB,
            "KiB",
        ),
        Aim::at_most("keepalives", figures.idle_cores, CPU_AIM_CORES, "cores"),
        Aim::at_most(
            "tries turned away or given up when all came back, of all agents",
            (storm.turned_away + storm.timeouts) as f64 / agents,
            IN_VAIN_AIM,
            "",
        ),
        Aim::at_most(
            "tries of each agent when all came back",
            storm.attempts as f64 / agents,
            TRIES_AIM,
            "",
        ),
    ]
}

impl Shown for IdleFigures {
    fn title(&self) -> &'static str {
        "Agents connected and idle, and all of them coming back"
    }

    fn rows(&self) -> Vec<(String, String)> {
        let storm = &self.storm;
        let row = |what: &str, much: String| (what.to_owned(), much);
        vec![
            row(
                "agents (one connection each)",
                format!("{} of {}", self.agents, self.agents_asked),
            ),
            row("enrolled in", format!("{:.1} s", self.enrolled_seconds)),
            row("connected in", format!("{:.1} s", self.connected_seconds)),
            row(
                "daemon's memory before, idle, most",
                format!(
                    "{:.0}, {:.0}, {:.0} MiB",
                    self.memory_before_mib, self.memory_idle_mib, self.memory_peak_mib
                ),
            ),
            row(
                "daemon's memory an agent",
                format!("{:.1} KiB", self.memory_per_agent_kib),
            ),
            row("daemon's CPU, idle", format!("{:.3} cores", self.idle_cores)),
            row(
                "killed, away, then back: 50 %, 99 %, all",
                format!(
                    "{:.1} s away; {:.1}, {:.1}, {:.1} s",
                    storm.away_seconds, storm.half_seconds, storm.nearly_all_seconds, storm.all_seconds
                ),
            ),
            row(
                "tries; not connected, turned away, given up",
                format!(
                    "{}; {}, {}, {}",
                    storm.attempts, storm.refused, storm.turned_away, storm.timeouts
                ),
            ),
            row(
                "daemon's CPU time, most memory",
                format!("{:.1} s, {:.0} MiB", storm.cpu_seconds, storm.memory_peak_mib),
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
