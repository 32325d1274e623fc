//! One run: a daemon, the units of the plan, a warm-up, the measured stretch, quiet, and the verdict.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::Side;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{
    Machine, Outcome,
    check::{Checker, Claim, Findings, Known, Pair, Saboteur},
    data::{self, Patients},
    drive::{Agent, Crowd, Offices, delay, dissent, loaded_layout, record_words, toggle},
    interrupt::{Interrupt, NOTHING_MEASURED},
    plan::{Agents, Layout, Plan},
    progress::Progress,
    sum::outcome,
    target::{Enrolled, Given, Target, codes},
    watch::{Counts, Measured, Watch},
};

/// Halves turned at one time before the load begins.
const JOINED_AT_ONCE: usize = 32;
/// How long what was sent may take to be durable once nothing more is sent.
const DURABLE_WITHIN: Duration = Duration::from_secs(120);
/// How long every recipient may take, from there on, until it holds what it must.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// What a run says that is asked to end, once more, while it waits for that.
const NO_VERDICT: &str = "interrupted before all was quiet: there is no verdict";

/// How a run is made, beside its plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// A daemon that is there; without it the run has one of its own.
    pub daemon: Option<Given>,
    /// Whether the run's course is shown on standard error.
    pub progress: bool,
    /// Where it runs, as the result is to say.
    pub machine: Machine,
}

/// Everyone who takes part.
struct Cast {
    known: Arc<Known>,
    checker: Checker,
    offices: Arc<Offices>,
    agents: Vec<Agent>,
    /// Where agents keep what is theirs, where they are the program itself.
    _folders: Option<TempDir>,
    units: Vec<Enrolled>,
    saboteur: Option<Arc<Saboteur>>,
}

/// Runs a plan and says what was found. An error: it could not be run.
pub async fn run(plan: &Plan, options: &Options) -> anyhow::Result<Outcome> {
    plan.check()?;
    let progress = Progress::new(options.progress);
    let layout = plan.layout();
    let mut interrupt = Interrupt::listen()?;
    let opened = Target::open(options.daemon.as_ref());
    let mut target = interrupt.unless(opened, NOTHING_MEASURED).await?;
    let ran = on(&mut target, (plan, &layout), options, &progress, &mut interrupt).await;
    progress.say("leaving the daemon");
    let left = target.leave().await;
    let outcome = ran?;
    left?;
    progress.end();
    Ok(outcome)
}

async fn on(
    target: &mut Target,
    (plan, layout): (&Plan, &Layout),
    options: &Options,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Outcome> {
    let stop = CancellationToken::new();
    let mut crowd = Crowd::new(stop.clone());
    let scene = (plan, layout);
    let made_ready = make_ready(target, scene, &mut crowd, progress);
    let (cast, withheld_before) = interrupt.unless(made_ready, NOTHING_MEASURED).await?;
    let withheld_of = codes(&cast.units, &layout.joined);
    let started_at = jiff::Timestamp::now().to_string();
    crowd.send(&cast.agents, scene, &cast.known)?;
    let mut changing = changes(plan, layout, &cast, &stop);
    let work = (&mut crowd, &mut changing);
    let measured = measure(target, plan, &cast, work, progress, interrupt).await;
    stop.cancel();
    let (measured, drops) = measured?;
    let settled = settle(&cast, &mut crowd, changing, progress);
    let findings = interrupt.unless(settled, NO_VERDICT).await?;
    let withheld = target.withheld(&withheld_of).await?;
    if let Some(saboteur) = &cast.saboteur {
        ensure!(
            saboteur.is_done(),
            "the sabotage found no amendment to work on: run longer, or send more"
        );
    }
    let (calls, machine) = (&cast.offices.calls, options.machine.clone());
    let mut outcome = outcome(plan, calls, measured, findings, machine)?;
    outcome.started_at = started_at;
    outcome.drops = drops;
    outcome.withheld = withheld
        .into_iter()
        .map(|(reason, count)| {
            let before = withheld_before.get(&reason).copied().unwrap_or(0);
            (reason, count.saturating_sub(before))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    Ok(outcome)
}

/// Everyone who takes part is there and receives, and what they hold hands for is joined; what was withheld before.
async fn make_ready(
    target: &mut Target,
    (plan, layout): (&Plan, &Layout),
    crowd: &mut Crowd,
    progress: &Progress,
) -> anyhow::Result<(Cast, BTreeMap<String, u64>)> {
    let cast = gather(target, plan, layout, progress).await?;
    let withheld_before = target.withheld(&codes(&cast.units, &layout.joined)).await?;
    progress.say("subscribing");
    crowd
        .receive(
            &cast.agents,
            (plan, layout),
            (&cast.known, &cast.checker),
            cast.saboteur.as_ref(),
        )
        .await?;
    progress.say("joining hands");
    join_all(&cast.offices, &layout.joined).await?;
    Ok((cast, withheld_before))
}

/// Enrols the units, and joins what stands beside the measured pairs.
async fn gather(
    target: &mut Target,
    plan: &Plan,
    layout: &Layout,
    progress: &Progress,
) -> anyhow::Result<Cast> {
    let all = layout.units.len() + layout.idle_units.len();
    progress.count("units enrolled", all);
    let units = target.enrol(&layout.units, || progress.one()).await?;
    let idle = target.enrol(&layout.idle_units, || progress.one()).await?;
    let numbers = (0..plan.data.patients)
        .map(|k| Patients::nhs(k).as_u64())
        .collect();
    let names = units.iter().map(|unit| unit.ods.clone()).collect();
    let known = Arc::new(Known::new(names, &layout.joined, numbers, claim));
    let is_slow = |unit: u32| !delay(plan, layout, unit).is_zero();
    // What is slow on purpose says nothing about the daemon, unless nobody else receives.
    let all_slow = layout.recipients.iter().all(|unit| is_slow(*unit));
    let checker = Checker::new(Arc::clone(&known), &layout.joined, |unit| {
        all_slow || !is_slow(unit)
    })?;
    let desks = units.iter().map(|unit| unit.desk.clone()).collect();
    let offices = Arc::new(Offices::new(Arc::clone(&known), desks)?);
    progress.say("joining idle pairs");
    join_beside(&idle, &layout.idle).await?;
    load_beside(target, plan, &units, progress).await?;
    let folders = folders(plan)?;
    progress.say("enrolling agents");
    let agents = target.agents(&units, folders.as_ref().map(TempDir::path)).await?;
    let saboteur = plan
        .sabotage
        .map(|what| Arc::new(Saboteur::new(what, &plan.changes)));
    Ok(Cast {
        known,
        checker,
        offices,
        agents,
        _folders: folders,
        units,
        saboteur,
    })
}

/// A folder for agents that are the program itself.
fn folders(plan: &Plan) -> anyhow::Result<Option<TempDir>> {
    if plan.agents == Agents::Protocol {
        return Ok(None);
    }
    ensure!(
        plan.sabotage.is_none() && plan.slow.recipients == 0,
        "with agents = \"full\" there is nothing between an agent and what it receives: no sabotage and no slow \
         recipients; use agents = \"protocol\" for them"
    );
    let folders = tempfile::Builder::new().prefix("handfast-load-").tempdir();
    folders.context("make a folder for the agents").map(Some)
}

/// What the deployment is to hold beside the measured pairs. Words come first, so that none of them begins or ends
/// anything.
async fn load_beside(
    target: &mut Target,
    plan: &Plan,
    units: &[Enrolled],
    progress: &Progress,
) -> anyhow::Result<()> {
    let beside = loaded_layout(plan.loaded.agreements);
    progress.count("units enrolled beside", beside.units.len());
    let others = target.enrol(&beside.units, || progress.one()).await?;
    if plan.loaded.patients > 0 {
        let desks: Vec<Channel> = units
            .iter()
            .chain(&others)
            .map(|unit| unit.desk.clone())
            .collect();
        progress.count("patients' words recorded", plan.loaded.patients as usize);
        record_words(&desks, plan.loaded.patients, plan.data.patients, |n| {
            progress.more(n);
        })
        .await?;
    }
    progress.say("joining pairs beside");
    join_beside(&others, &beside.joined).await
}

/// Joins pairs of which nothing is sent.
async fn join_beside(units: &[Enrolled], pairs: &[Pair]) -> anyhow::Result<()> {
    let names = units.iter().map(|unit| unit.ods.clone()).collect();
    let known = Arc::new(Known::new(names, pairs, Vec::new(), claim));
    let desks = units.iter().map(|unit| unit.desk.clone()).collect();
    join_all(&Arc::new(Offices::new(known, desks)?), pairs).await
}

fn claim(payload: &[u8]) -> Option<Claim> {
    let stamp = data::read(payload).ok()?;
    Some(Claim {
        source: stamp.source,
        seq: stamp.seq,
        record: stamp.record,
    })
}

/// Turns both halves of each pair on.
async fn join_all(offices: &Arc<Offices>, pairs: &[Pair]) -> anyhow::Result<()> {
    stream::iter(pairs)
        .map(|pair| async move {
            offices.turn(Side::ShareOut, *pair, true).await?;
            offices.turn(Side::ShareIn, *pair, true).await
        })
        .buffer_unordered(JOINED_AT_ONCE)
        .try_collect()
        .await
}

/// What changes while it runs, in tasks of their own.
fn changes(
    plan: &Plan,
    layout: &Layout,
    cast: &Cast,
    stop: &CancellationToken,
) -> JoinSet<anyhow::Result<()>> {
    let mut changing = JoinSet::new();
    let (offices, pairs) = (&cast.offices, &layout.joined);
    changing.spawn(toggle(
        Arc::clone(offices),
        pairs.clone(),
        plan.seed,
        plan.changes,
        stop.clone(),
    ));
    changing.spawn(dissent(
        Arc::clone(offices),
        pairs.clone(),
        (plan.seed, plan.data.patients),
        plan.changes,
        stop.clone(),
    ));
    changing
}

/// The warm-up and the measured stretch, or as much of it as there was until Ctrl-C; and how many agents were
/// dropped.
async fn measure(
    target: &Target,
    plan: &Plan,
    cast: &Cast,
    (crowd, changing): (&mut Crowd, &mut JoinSet<anyhow::Result<()>>),
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Measured, u64)> {
    progress.say("warming up");
    let mut goes_on = async |crowd: &mut Crowd, lasting: Duration| -> anyhow::Result<bool> {
        let end = tokio::time::sleep(lasting);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(true),
                () = interrupt.asked() => return Ok(false),
                error = crowd.failed() => return Err(error),
                Some(ended) = changing.join_next() => ended??,
            }
        }
    };
    let counts = |crowd: &Crowd| Counts {
        amendments: crowd.acked(),
        deliveries: cast.checker.delivered(),
        toggles: cast.offices.calls.toggles.load(Relaxed),
    };
    let mut on = goes_on(crowd, Duration::from_secs(u64::from(plan.warm_up_seconds))).await?;
    cast.offices.calls.clear();
    let dropped_before = crowd.dropped();
    if let Some(saboteur) = &cast.saboteur {
        saboteur.arm(true);
    }
    let daemon = target.pid().zip(target.state_dir());
    let mut watch = Watch::begin(daemon, counts(crowd), &cast.checker)?;
    progress.count("seconds", plan.seconds as usize);
    let begun = tokio::time::Instant::now();
    for second in 1..=plan.seconds {
        let due = begun + Duration::from_secs(u64::from(second));
        on = on && goes_on(crowd, due.saturating_duration_since(tokio::time::Instant::now())).await?;
        let seen = watch.second(counts(crowd), &cast.checker)?;
        progress.second(&seen, cast.checker.findings().total());
        if !on {
            break;
        }
    }
    let measured = watch.end(counts(crowd))?;
    if let Some(saboteur) = &cast.saboteur {
        saboteur.arm(false);
    }
    Ok((measured, crowd.dropped() - dropped_before))
}

/// Nothing is sent, turned or said any more: waits until all is where it must be.
async fn settle(
    cast: &Cast,
    crowd: &mut Crowd,
    mut changing: JoinSet<anyhow::Result<()>>,
    progress: &Progress,
) -> anyhow::Result<Findings> {
    progress.say("waiting until all is quiet");
    crowd.drained(DURABLE_WITHIN).await?;
    while let Some(ended) = changing.join_next().await {
        ended??;
    }
    let restless = cast.checker.quiet(QUIET_WITHIN).await;
    crowd.end().await;
    let mut findings = cast.checker.conclude();
    if let Some(restless) = restless {
        findings.words.insert(0, restless);
    }
    Ok(findings)
}
