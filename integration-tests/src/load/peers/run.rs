//! The rounds: every peer does the work of every shape in each, and who comes first, and who follows whom, changes from
//! round to round, so that a machine that slows down or warms up, and a neighbour that leaves work behind, favour
//! nobody. A run begins with its server at rest and nothing waiting for the disk.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    batches::Batches,
    choose::choose,
    compared::{PeerRun, PeersReport, compare, latencies},
    disk, find,
    handfastd::{Handfastd, Prepared},
    json_file::JsonFile,
    options::{Kind, PeersOptions, Shape},
    payloads::{PAYLOAD_BYTES, Payloads},
    peer::{About, Peer},
    postgres::PostgreSql,
    redis_streams::Redis,
    relay::Relay,
    round::{Stretch, measure},
    usage::settled,
    work::WINDOW_AMENDMENTS,
};
use crate::load::{
    Machine,
    interrupt::{Interrupt, NOTHING_MEASURED},
    progress::Progress,
};

/// How often the line that shows how far it is is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(250);
/// How long a peer may take until it is up and can be measured.
const STARTED_WITHIN: Duration = Duration::from_secs(300);

/// What every round needs, made once.
struct Ready {
    payloads: Arc<Payloads>,
    batches: Arc<Batches>,
    prepared: Prepared,
}

/// What the rounds gave until they were over, or until it was asked to end or something failed.
struct Rounds {
    abouts: Vec<About>,
    runs: Vec<PeerRun>,
    failed: Option<anyhow::Error>,
}

/// Runs the rounds, or as many as there are until it is asked to end or a peer fails. `show`s what they came to, and then
/// writes it as JSON where a file for it is named. An error where there is nothing to show.
pub async fn peers(options: PeersOptions, show: impl FnOnce(&PeersReport)) -> anyhow::Result<PeersReport> {
    let mut interrupt = Interrupt::listen()?;
    let machine = Machine::look();
    let file_system = disk::file_system()?;
    let started_at = jiff::Timestamp::now().to_string();
    let (kinds, missing) = choose(&options, find::installed)?;
    let json = options.json.as_deref().map(JsonFile::open).transpose()?;
    let works = options.works();
    let ready = make_ready(&options, &works, &mut interrupt).await?;
    let Rounds {
        mut abouts,
        runs,
        failed,
    } = rounds(&options, &works, &kinds, &ready, &mut interrupt).await;
    ready.prepared.finished();
    if runs.is_empty() {
        return Err(failed.unwrap_or_else(|| anyhow!(NOTHING_MEASURED)));
    }
    abouts.sort_by_key(|about| about.peer);
    let in_a_round = works.len() * kinds.len();
    let report = PeersReport {
        format: PeersReport::FORMAT,
        machine,
        file_system,
        started_at,
        rounds: u32::try_from(runs.len() / in_a_round)?,
        interrupted: failed.is_none() && runs.len() < options.rounds as usize * in_a_round,
        failed: failed.map(|error| format!("{error:#}")),
        seconds: options.seconds,
        beside: options.beside,
        payload_bytes: PAYLOAD_BYTES as u64,
        window_amendments: WINDOW_AMENDMENTS,
        peers: abouts,
        missing,
        compared: compare(&runs),
        latencies: latencies(&runs),
        runs,
    };
    show(&report);
    if let Some(json) = json {
        json.write(&report)?;
    }
    Ok(report)
}

/// Every peer at every shape, round by round, until it is asked to end or one of them fails: who took part, and what each
/// did.
async fn rounds(
    options: &PeersOptions,
    works: &[(Shape, Option<u64>)],
    kinds: &[Kind],
    ready: &Ready,
    interrupt: &mut Interrupt,
) -> Rounds {
    let progress = progress(options.rounds as usize * works.len() * kinds.len(), options.quiet);
    let (mut abouts, mut runs, mut failed) = (Vec::<About>::new(), Vec::new(), None);
    'rounds: for round in 0..options.rounds {
        for (shape, rate) in works {
            for kind in in_turn(kinds, round) {
                let at = rate.map_or(String::new(), |rate| format!(" at {rate}/s"));
                let what = format!("{kind} · {shape}{at} · round {}", round + 1);
                progress.set_message(what.clone());
                let stretch = Stretch {
                    shape: *shape,
                    seconds: options.seconds,
                    per_second: *rate,
                };
                let run = one(kind, stretch, round + 1, ready, interrupt).await;
                let (about, run) = match run.context(what) {
                    Ok(Some(done)) => done,
                    Ok(None) => break 'rounds,
                    Err(error) => {
                        failed = Some(error);
                        break 'rounds;
                    }
                };
                if !abouts.iter().any(|a| a.peer == kind) {
                    abouts.push(about);
                }
                runs.push(run);
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    Rounds { abouts, runs, failed }
}

async fn make_ready(
    options: &PeersOptions,
    works: &[(Shape, Option<u64>)],
    interrupt: &mut Interrupt,
) -> anyhow::Result<Ready> {
    let most = |side: fn(&Shape) -> usize| works.iter().map(|(shape, _)| side(shape)).max().unwrap_or(1);
    let most = Shape {
        sources: most(|shape| shape.sources),
        recipients: most(|shape| shape.recipients),
    };
    let progress = Progress::new(!options.quiet);
    let prepared = Prepared::make(most, options.beside, &progress, interrupt).await;
    progress.end();
    let payloads = Payloads::new();
    Ok(Ready {
        batches: Batches::new(Arc::clone(&payloads)),
        payloads,
        prepared: prepared.context("make a deployment ready")?,
    })
}

/// The peers in the order of a round, from 0: each comes first in turn, and the others follow it forwards and backwards
/// in turn, also where an even number of them would bring each always the same way.
fn in_turn(kinds: &[Kind], round: u32) -> Vec<Kind> {
    let (n, round) = (kinds.len().max(1), round as usize);
    let first = round % n;
    let turns = if n.is_multiple_of(2) {
        round + round / n
    } else {
        round
    };
    let mut order: Vec<Kind> = kinds
        .iter()
        .cycle()
        .skip(first)
        .take(kinds.len())
        .copied()
        .collect();
    if !turns.is_multiple_of(2)
        && let Some(others) = order.get_mut(1..)
    {
        others.reverse();
    }
    order
}

/// Starts a peer anew, has it work, and ends it; nothing where this process is asked to end before.
async fn one(
    kind: Kind,
    stretch: Stretch,
    round: u32,
    ready: &Ready,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Option<(About, PeerRun)>> {
    let (shape, load_average) = (stretch.shape, Machine::look().load_average);
    let starting = async {
        let peer = start(kind, shape, ready).await?;
        let at_rest = settled(peer.pid()?).await?;
        disk::write_out().await?;
        anyhow::Ok((peer, at_rest))
    };
    let Some(started) = interrupt.or(Box::pin(starting)).await else {
        return Ok(None);
    };
    let (peer, at_rest) = started?;
    let about = peer.about();
    let measuring = measure(peer.as_ref(), stretch, Arc::clone(&ready.payloads));
    let measured = interrupt.or(Box::pin(measuring)).await.transpose()?;
    peer.finished();
    let Some(measured) = measured else {
        return Ok(None);
    };
    let amendments = measured.amendments as f64;
    let run = PeerRun {
        round,
        shape,
        peer: kind,
        rate: stretch.per_second,
        load_average,
        at_rest,
        seconds: measured.seconds,
        amendments: measured.amendments,
        amendments_per_s: amendments / measured.seconds,
        server_cpu_s: measured.server_cpu_s,
        server_cpu_s_per_million: measured.server_cpu_s * 1e6 / amendments.max(1.0),
        client_cpu_s: measured.client_cpu_s,
        client_cpu_s_per_million: measured.client_cpu_s * 1e6 / amendments.max(1.0),
        sent_and_arrived: measured.sent,
        deliveries_checked: measured.checked,
        latency_ms: measured.latency,
    };
    Ok(Some((about, run)))
}

async fn start(kind: Kind, shape: Shape, ready: &Ready) -> anyhow::Result<Box<dyn Peer>> {
    let batches = || Arc::clone(&ready.batches);
    let starting = async {
        anyhow::Ok(match kind {
            Kind::Handfastd => {
                Box::new(Handfastd::start(&ready.prepared, shape, batches()).await?) as Box<dyn Peer>
            }
            Kind::Relay => Box::new(Relay::start(batches()).await?),
            Kind::PostgreSql => Box::new(PostgreSql::start(shape).await?),
            Kind::Redis => Box::new(Redis::start().await?),
        })
    };
    tokio::time::timeout(STARTED_WITHIN, Box::pin(starting))
        .await
        .with_context(|| format!("{kind} is not up within {STARTED_WITHIN:?}"))?
}

fn progress(of: usize, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::new(of as u64);
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    } else {
        bar.enable_steady_tick(DRAWN_EVERY);
    }
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, {eta} left)") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_every_place_as_often_and_follows_others_in_turn() {
        let all = [Kind::Handfastd, Kind::Relay, Kind::PostgreSql, Kind::Redis];
        for kinds in (1..=all.len()).filter_map(|n| all.get(..n)) {
            let n = kinds.len();
            let orders: Vec<Vec<Kind>> = (0..2 * n as u32).map(|round| in_turn(kinds, round)).collect();
            assert_eq!(orders[0], kinds);
            for kind in kinds {
                let place = |order: &Vec<Kind>| order.iter().position(|k| k == kind).unwrap();
                for at in 0..n {
                    assert_eq!(
                        orders.iter().filter(|o| place(o) == at).count(),
                        2,
                        "{kind} at {at}"
                    );
                }
                let follows = |other: &&Kind| {
                    orders
                        .iter()
                        .any(|o| o.windows(2).any(|pair| pair == [**other, *kind]))
                };
                let before = kinds.iter().filter(follows).count();
                assert!(before >= (n - 1).min(2), "{kind} follows {before} others alone");
            }
        }
    }
}
